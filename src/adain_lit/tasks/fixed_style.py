"""Training a feed-forward network for fixed styles: Johnson et al., Ulyanov et al. and Dumoulin et al."""

from collections.abc import Sequence
from typing import Any

import torch
from hydra.utils import get_method
from torch import Tensor
from torch.nn import functional as F

from adain_lit.data.fixed_styles import read_styles, style_files
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.fixed_styles import fixed_style_net
from adain_lit.nets import FixedStyleNet, TransformerNet
from adain_lit.nets.transformer import thumbnails
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.config import FixedStyleConfig
from adain_lit.tasks.schedule import adam
from adain_lit.tasks.style_transfer import LEAST_ACTIVATION, LEAST_ACTIVATION_VGG19
from adain_lit.weights.encoders import checksum, load_loss_network, require_checksum
from adain_lit.weights.files import read_checkpoint


def content_normalizer(config: FixedStyleConfig, files: Sequence[str]) -> torch.nn.Module:
    """Preprocessing of the content images that ``normalize`` names: (N, 3, H, W) to the same shape, RGB in [0, 1].

    Args:
        config: the options.
        files: the style images.

    Raises:
        InputError: if that function cannot be imported.
    """
    if config.normalize == "none":
        return torch.nn.Identity()
    try:
        build = get_method(config.normalize)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"cannot import normalize {config.normalize!r}; needed is none or the dotted name of a function, and"
            " adain_evidence, which has those of fig1_*, is in a checkout of the repository only"
        ) from error
    module: torch.nn.Module = build(config, files)
    return module


class FixedStyleModule(LossModule):
    """A transformer network for S styles, trained on content images with the losses of the paper.

    Training sample i uses style i modulo S. The content target is f(c). The style images of the data module are not
    used. Options: `FixedStyleConfig`.

    Example:
        >>> module = FixedStyleModule(encoder="distilled", unit_mean_images=0, style_size=32, width=4, blocks=1)
        >>> losses = module.losses(torch.rand(2, 3, 32, 32), style_index=torch.tensor([0, 0]))
        >>> losses["style_loss"].shape, len(module.files)
        (torch.Size([2]), 1)
    """

    config_class = FixedStyleConfig
    config: FixedStyleConfig
    frozen = ("loss_network.", "normalizer.")

    def configure_losses(self) -> None:
        """The paper's loss."""
        self.criterion = PerceptualLoss(self.config)
        layers = (f"style_loss/{layer}" for layer in self.config.style_layers)
        self.average_losses(["loss", "content_loss", "style_loss", *layers])

    def configure_networks(self) -> None:
        """Read the style images, load the loss network and build the transformer network."""
        c = self.config
        files = [str(path) for path in style_files(c.styles, c.style_count)]
        self.normalizer = content_normalizer(c, files)
        self.loss_network = load_loss_network(
            c.encoder, layers=self.criterion.layers, widths=c.encoder_widths, preprocessing=c.encoder_preprocessing
        )
        self.register_buffer("styles", read_styles(files, c.style_size), persistent=False)
        self.styles: Tensor  # (new styles, 3, style_size, style_size) in ``uint8``
        self.files = files
        self.net = self._network()
        self.first = len(self.net.thumbnails) - len(files)  # index of the first style that is trained

    def configure_compilation(self) -> None:
        """Compile both networks."""
        self.net.transformer.compile()
        self.loss_network.compile()

    def _network(self) -> FixedStyleNet:
        """A new network, or a trained one extended by the new styles."""
        c = self.config
        small = thumbnails(self.styles / 255)
        if c.add_to is None:
            new = TransformerNet(norm=c.norm, styles=len(small), width=c.width, blocks=c.blocks)
            return FixedStyleNet(new, small)
        checkpoint = read_checkpoint(c.add_to)
        net = fixed_style_net(checkpoint, c.add_to)
        self.files = [*checkpoint["fixed_styles"]["files"], *self.files]
        net.transformer.add_styles(len(small))
        net.thumbnails = torch.cat((net.thumbnails, small))
        return net

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise a batch, see `FixedStyleNet`."""
        stylized: Tensor = self.net(content, style)
        return stylized

    def preprocessed(self, batch: PairBatch) -> PairBatch:
        """Normalised content images, each with the style of its index."""
        own = self.styles[batch.indices.to(self.device) % len(self.styles)].float() / 255
        return batch._replace(content=self.normalizer(batch.content), style=own)

    def losses(self, content: Tensor, style_index: Tensor) -> dict[str, Tensor]:
        """Losses of content images in trained styles.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style_index: (N,), 0 for the first trained style.

        Returns:
            As returned by `PerceptualLoss`, each (N,).
        """
        layers, content_layer = self.criterion.layers, self.criterion.content_layer
        if self.config.channels_last:
            content = content.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            used, which = torch.unique(style_index, return_inverse=True)  # encode each style once
            of_styles = self.loss_network(self.styles[used].float() / 255, layers)
            target = self.loss_network(content, (content_layer,))[content_layer]
        weights = F.one_hot(style_index + self.first, len(self.net.thumbnails)).to(content.dtype)
        stylized = self.net.transformer(content, weights)
        losses: dict[str, Tensor] = self.criterion(
            self.loss_network(stylized, layers), target, {layer: x[which] for layer, x in of_styles.items()}
        )
        return losses

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the content images of a batch."""
        return self.losses(self.normalizer(batch.content), batch.indices.to(self.device) % len(self.styles))

    def configure_optimizers(self) -> Any:
        """Adam on the network; where styles are added, on its scales and shifts alone.

        The rows of the earlier styles have no gradient, so Adam leaves them unchanged to the bit.
        """
        return adam([p for p in self.net.transformer.parameters() if p.requires_grad], self.config)

    def on_fit_start(self) -> None:
        """Scale the loss network on training images, unless a checkpoint provided the scales."""
        count = self.config.unit_mean_images
        if count and not self.loss_network.scales:
            least = LEAST_ACTIVATION if self.config.encoder == "random" else LEAST_ACTIVATION_VGG19
            self.loss_network.normalize(self.content_images(count), least=least)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Exclude the frozen networks; save what is needed to rebuild the network and to find its styles."""
        self.exclude_frozen(checkpoint)
        checkpoint["encoder"] = {"sha256": checksum(self.loss_network), "mean_activations": self.loss_network.scales}
        shape = {name: getattr(self.net.transformer, name) for name in ("norm", "styles", "width", "blocks")}
        checkpoint["fixed_styles"] = {"files": self.files, **shape}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the frozen networks from the hyper-parameters.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with other encoder weights.
        """
        if "fixed_styles" not in checkpoint:
            raise InputError("the checkpoint was not written by FixedStyleModule; give one of its runs")
        saved = checkpoint["encoder"]
        require_checksum(checksum(self.loss_network), saved["sha256"], f"encoder {self.config.encoder}")
        self.loss_network.scales = saved["mean_activations"]
        self.restore_frozen(checkpoint)
