"""Training a feed-forward network for fixed styles: Johnson et al., Ulyanov et al. and Dumoulin et al."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adain_lit.data.fixed_styles import read_styles, style_files
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.fixed_styles import fixed_style_net
from adain_lit.nets import FixedStyleNet, TransformerNet
from adain_lit.nets.transformer import thumbnails
from adain_lit.nets.vgg import PAPER_STYLE_LAYERS
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.normalization import NORMALIZATIONS
from adain_lit.tasks.schedule import adam
from adain_lit.tasks.style_transfer import LEAST_ACTIVATION, LEAST_ACTIVATION_VGG19
from adain_lit.weights.encoders import checksum, load_loss_network, require_checksum
from adain_lit.weights.files import read_checkpoint


class FixedStyleModule(LossModule):
    """A transformer network for S styles, trained on photographs with the losses of the paper.

    Sample number i of the training takes style i modulo S. The content target is f(c). The paintings of the data
    module play no part.

    Args:
        styles: the style pictures: a file, several, a folder, an image list, or ``demo``, see `style_files`.
        style_count: S, the first so many of a folder, a list or the demo; None: all.
        style_size: side in pixels of the middle squares of the style images, whose statistics are trained.
        norm: ``batch`` (Johnson), ``instance`` (Ulyanov), both for one style, or ``conditional`` (Dumoulin).
        width: channels at full size.
        blocks: number of residual blocks.
        add_to: checkpoint of a network with norm=conditional that is given `styles` in addition: nothing is trained
            but their scales and shifts, and norm, width and blocks are that network's.
        normalize: what photographs are brought to first (Sec. 4): ``none``, ``contrast`` or ``style``.
        normal_style: for ``style``: file of the style that all photographs get, or ``demo``.
        normal_network: for ``style``: the network that gives it to them, as `load_network` takes it.
        encoder: weights of the network that the losses are measured with, as `load_loss_network` takes them.
        encoder_widths: ``vgg19`` or ``compact`` for random weights; a file tells its own.
        encoder_preprocessing: ``auto``, ``rgb``, ``imagenet`` or ``caffe``: what input the weights expect.
        unit_mean_images: number of training photographs on which that network is scaled to unit mean activations.
        content_layer: layer of the content loss.
        style_layers: layers of the style loss.
        style_weight: lambda of Eq. 11.
        style_statistic: ``mean_std`` (as the paper compares them, Sec. 7.1) or ``gram`` (as they were published).
        reduction: ``mean`` or ``sum`` over channels in the style loss.
        lr: learning rate of Adam.
        lr_schedule: ``inverse`` or ``cosine``, see `adain_lit.tasks.schedule.adam`.
        lr_decay: of ``inverse``.
        lr_steps: of ``cosine``: the step at which the rate reaches 0.
        lr_warmup: steps over which the rate rises first.
        channels_last: keep images and weights in channels-last memory, which convolutions prefer.
        compile: compile both networks with ``torch.compile``.
    """

    frozen = ("phi.", "normalizer.")

    def __init__(
        self,
        *,
        styles: str | Sequence[str] = "demo",
        style_count: int | None = 1,
        style_size: int = 256,
        norm: str = "instance",
        width: int = 32,
        blocks: int = 5,
        add_to: str | None = None,
        normalize: str = "none",
        normal_style: str = "demo",
        normal_network: str = "compact",
        encoder: str | Sequence[str] = "torchvision",
        encoder_widths: str | None = None,
        encoder_preprocessing: str = "auto",
        unit_mean_images: int = 64,
        content_layer: str = "relu4_1",
        style_layers: Sequence[str] = PAPER_STYLE_LAYERS,
        style_weight: float = 10.0,
        style_statistic: str = "mean_std",
        reduction: str = "mean",
        lr: float = 1e-3,
        lr_schedule: str = "inverse",
        lr_decay: float = 0.0,
        lr_steps: int | None = None,
        lr_warmup: int = 0,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        styles = styles if isinstance(styles, str) else list(styles)
        encoder = encoder if isinstance(encoder, str) else list(encoder)
        style_layers = list(style_layers)
        self.save_hyperparameters(logger=False)
        self.criterion = PerceptualLoss(
            style_weight,
            style_layers=style_layers,
            content_layer=content_layer,
            reduction=reduction,
            statistic=style_statistic,
        )
        files = [str(path) for path in style_files(styles, style_count)]
        self.normalizer = self._normalizer(files)
        self.phi = load_loss_network(
            encoder, layers=self.criterion.layers, widths=encoder_widths, preprocessing=encoder_preprocessing
        )
        self.register_buffer("styles", read_styles(files, style_size), persistent=False)
        self.styles: Tensor  # (new styles, 3, style_size, style_size) in ``uint8``
        self.files = files
        self.net = self._network()
        self.first = len(self.net.thumbnails) - len(files)  # number of the first style that is trained
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile:
            self.net.transformer.compile()
            self.phi.compile()
        self.average_losses(["loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in style_layers)])

    def _network(self) -> FixedStyleNet:
        """A new network, or a trained one with room for more styles."""
        h: Any = self.hparams
        small = thumbnails(self.styles / 255)
        if h.add_to is None:
            shape = {"norm": h.norm, "styles": len(small), "width": h.width, "blocks": h.blocks}
            return FixedStyleNet(TransformerNet(**shape), small)
        checkpoint = read_checkpoint(h.add_to)
        net = fixed_style_net(checkpoint, h.add_to)
        self.files = [*checkpoint["fixed_styles"]["files"], *self.files]
        net.transformer.add_styles(len(small))
        net.thumbnails = torch.cat((net.thumbnails, small))
        return net

    def _normalizer(self, files: Sequence[str]) -> torch.nn.Module:
        h: Any = self.hparams
        if h.normalize not in NORMALIZATIONS:
            raise InputError(f"unknown normalize {h.normalize!r}; known are {', '.join(NORMALIZATIONS)}")
        style = ""
        if h.normalize == "style":
            style = str(style_files(h.normal_style)[-1])
            if style in files:
                raise InputError(f"normal_style {style} is among the styles to train; give another")
        return NORMALIZATIONS[h.normalize](style, h.normal_network)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise a batch, see `FixedStyleNet`."""
        stylized: Tensor = self.net(content, style)
        return stylized

    def seen(self, batch: PairBatch) -> PairBatch:
        """Normalised photographs, each with the style of its number."""
        own = self.styles[batch.number.to(self.device) % len(self.styles)].float() / 255
        return batch._replace(content=self.normalizer(batch.content), style=own)

    def losses(self, content: Tensor, number: Tensor) -> dict[str, Tensor]:
        """Losses of photographs in styles of those that are trained.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            number: of the style of each, (N,), 0 for the first.

        Returns:
            As `PerceptualLoss` gives them, each (N,).
        """
        layers, content_layer = self.criterion.layers, self.criterion.content_layer
        if self.hparams["channels_last"]:
            content = content.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            used, which = torch.unique(number, return_inverse=True)
            of_styles = self.phi(self.styles[used].float() / 255, layers)
            target = self.phi(content, (content_layer,))[content_layer]
        shares = F.one_hot(number + self.first, len(self.net.thumbnails)).to(content.dtype)
        stylized = self.net.transformer(content, shares)
        losses: dict[str, Tensor] = self.criterion(
            self.phi(stylized, layers), target, {layer: x[which] for layer, x in of_styles.items()}
        )
        return losses

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the photographs of a batch."""
        return self.losses(self.normalizer(batch.content), batch.number.to(self.device) % len(self.styles))

    def configure_optimizers(self) -> Any:
        """Adam on the network, of which only scales and shifts can be trained where styles are added.

        The rows of the styles that were there have no gradient, so Adam leaves them as they are, to the bit.
        """
        h: Any = self.hparams
        trained = [p for p in self.net.transformer.parameters() if p.requires_grad]
        return adam(trained, lr=h.lr, schedule=h.lr_schedule, decay=h.lr_decay, steps=h.lr_steps, warmup=h.lr_warmup)

    def on_fit_start(self) -> None:
        """Scale the network of the losses on the training photographs, unless a checkpoint brought the scale."""
        count = self.hparams["unit_mean_images"]
        if count and not self.phi.means:
            least = LEAST_ACTIVATION if self.hparams["encoder"] == "random" else LEAST_ACTIVATION_VGG19
            self.phi.normalize(self.photographs(count), least=least)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen networks out; keep what it takes to build the network and to find its styles."""
        self.leave_frozen_out(checkpoint)
        checkpoint["encoder"] = {"sha256": checksum(self.phi), "mean_activations": self.phi.means}
        shape = {name: getattr(self.net.transformer, name) for name in ("norm", "styles", "width", "blocks")}
        checkpoint["fixed_styles"] = {"files": self.files, **shape}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the networks that were built from the hyper-parameters beside the one of the checkpoint.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with other encoder weights.
        """
        if "fixed_styles" not in checkpoint:
            raise InputError("the checkpoint was not written by FixedStyleModule; give one of its runs")
        saved = checkpoint["encoder"]
        require_checksum(checksum(self.phi), saved["sha256"], f"encoder {self.hparams['encoder']}")
        self.phi.means = saved["mean_activations"]
        self.put_frozen_back(checkpoint)
