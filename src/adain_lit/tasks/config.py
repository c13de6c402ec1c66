"""Options of each training module: the fields that Hydra offers as ``model.FIELD``, with defaults and explanations."""

from dataclasses import dataclass, field, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from adain_lit.nets.config import PAPER_STYLE_LAYERS, LossConfig, NetConfig


@dataclass
class OptimConfig:
    """Adam and its learning rate schedule.

    Example:
        >>> OptimConfig(lr_schedule="cosine", lr_steps=1000).lr
        0.0001
    """

    lr: float = 1e-4
    """learning rate of Adam (authors' code)"""
    lr_schedule: str = "inverse"
    """inverse (the authors') or cosine"""
    lr_decay: float = 5e-5
    """of inverse: the rate at step t is lr / (1 + lr_decay t) (authors' code)"""
    lr_steps: int | None = None
    """of cosine: the step at which the rate reaches 0"""
    lr_warmup: int = 0
    """number of first steps over which the rate rises linearly"""


@dataclass
class EncoderConfig:
    """Where an encoder's weights come from, see `adain_lit.weights.load_encoder`."""

    encoder: str = "torchvision"
    """weights: distilled, compact, torchvision, vgg_normalised, random, the path of a file, or a function of a module
    of your own, my_module.my_encoder"""
    encoder_widths: str | None = None
    """channels of random weights: vgg19 or compact; a file has its own"""
    encoder_preprocessing: str = "auto"
    """input that the weights expect: auto, rgb, imagenet or caffe"""
    unit_mean_images: int = 64
    """number of training images on which every channel is scaled to mean activation 1; 0 leaves the weights as they
    are (right for vgg_normalised and distilled, which are scaled already)"""


@dataclass
class ModelConfig(OptimConfig):
    """What every training module has."""

    channels_last: bool = True
    """keep images and weights in channels-last memory, which convolutions prefer"""
    compile: bool = False
    """compile the training step with torch.compile"""


@dataclass
class StyleTransferConfig(ModelConfig, LossConfig, EncoderConfig, NetConfig):
    """Options of `StyleTransferModule`.

    Example:
        >>> config = StyleTransferConfig(encoder="distilled", style_weight=1.0)
        >>> config.fusion, config.train_encoder, config.lr
        ('adain', False, 0.0001)
    """

    train_encoder: bool = False
    """train the encoder with the decoder, on the losses of loss_encoder; fixed in the paper (Sec. 6.1)"""
    decoder: str | None = None
    """network whose decoder initialises this one, which may be wider: compact or a file; null: random (Sec. 6.1)"""
    loss_encoder: Any = None
    """weights of the network that computes the losses, or a list of them; null: the encoder itself (Sec. 6.2)"""
    loss_unit_mean_images: int = 64
    """unit_mean_images of that network; weights that are scaled already, as the bundled ones, stay as they are"""
    skips_from: int = 0
    """step from which training passes the skip layers to the decoder; before, they are 0, so that it has to learn to
    use the deepest layer, which it otherwise ignores"""
    identity_weight: float = 0.0
    """weight of |g(f(c)) - c|, the reconstruction at alpha 0; not in the paper"""
    color_weight: float = 0.0
    """weight of the difference of their mean colours; not in the paper"""
    lr_fan_in: int | None = None
    """convolutions that sum over more values than this learn more slowly, see `adain_lit.tasks.schedule.by_fan_in`;
    null: all alike, as in the paper"""


@dataclass
class InversionConfig(StyleTransferConfig):
    """Options of `InversionModule`; the defaults are those of Chen & Schmidt (2016) and their code."""

    fusion: str = "style_swap"
    """adain, wct, histogram or style_swap, whose features lie in the encoder's space"""
    norm: str = "batch"
    content_layer: str = "relu3_1"
    style_weight: float = 0.0
    """weight of the style loss of fused images; theirs is 0, and it is logged all the same"""
    lr: float = 1e-3
    lr_decay: float = 1e-4
    pixel_weight: float = 1.0
    """weight of the mean absolute difference of pixels of content and style images"""
    tv_weight: float = 0.1
    """weight of the total variation of all decoded images"""


@dataclass
class FixedStyleConfig(ModelConfig, LossConfig, EncoderConfig):
    """Options of `FixedStyleModule`."""

    encoder: Any = "torchvision"
    """weights of the network that computes the losses, or a list of them"""
    styles: Any = "demo"
    """style images: a file, a list of files, a folder, an image list, or demo"""
    style_count: int | None = 1
    """S, the first so many of a folder, an image list or the demo; null: all"""
    style_size: int = 256
    """side in pixels of the centre crops of the style images"""
    norm: str = "instance"
    """batch (Johnson), instance (Ulyanov), both for one style, or conditional (Dumoulin)"""
    width: int = 32
    """channels at full size"""
    blocks: int = 5
    """number of residual blocks"""
    add_to: str | None = None
    """checkpoint of a network with norm=conditional to which the styles are added: only their scales and shifts are
    trained, and norm, width and blocks are that network's"""
    normalize: str = "none"
    """preprocessing of the content images: none, or the dotted name of a function (config, style files) -> module, as
    in conf/experiment/fig1_in_contrast.yaml"""
    normal_style: str = "demo"
    """of fig1_*_stylized: file of the style that all content images get; demo: one of the demo's"""
    normal_network: str = "compact"
    """of fig1_*_stylized: the network that stylises them"""
    lr: float = 1e-3
    """learning rate of Adam (Johnson, Ulyanov, Dumoulin)"""
    lr_decay: float = 0.0


@dataclass
class DistillationConfig(ModelConfig, EncoderConfig):
    """Options of `DistillationModule`; the encoder is the student."""

    encoder: str = "random"
    encoder_widths: str | None = "compact"
    unit_mean_images: int = 64
    """number of training images on which every channel of the teacher is scaled to mean activation 1, unless its
    weights are scaled already"""
    teacher: Any = "torchvision"
    """weights to follow, or a list of them: each layer is taken from the first that reaches it"""
    layers: list[str] = field(default_factory=lambda: list(PAPER_STYLE_LAYERS))
    """layers to follow; the student ends at the deepest"""
    fixed_weights: str | None = None
    """weights of the student's first convolutions, which are scaled like the teacher and not trained; they take the
    input of encoder_preprocessing; null: every convolution is trained"""
    fixed_layer: str = "relu3_1"
    """deepest layer of those convolutions"""
    heads: bool = True
    """compare the student's features through 1x1 heads; without heads it needs the teacher's widths"""
    style_weight: float = 1.0
    """weight of the differences of means and standard deviations"""
    lr: float = 1e-3
    head_lr: float = 1e-2
    """learning rate of the heads, whose weights have further to go"""


SCHEMAS: dict[str, type[ModelConfig]] = {
    "style_transfer": StyleTransferConfig,
    "inversion": InversionConfig,
    "fixed_style": FixedStyleConfig,
    "distillation": DistillationConfig,
}
"""By name in Hydra's group ``schema``: the files of conf/model begin with them, so that OmegaConf refuses what has no
field or the wrong type."""

for _name, _config in SCHEMAS.items():
    _node = make_dataclass(_config.__name__, [("_target_", str, MISSING)], bases=(_config,))
    ConfigStore.instance().store(_name, _node, group="schema")
