"""Training a style transfer network: the paper's system, its three ablations and extensions."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.nets import WIDTHS, LossNetwork, StyleTransferNet, VGGEncoder
from adain_lit.nets.style_transfer import Features
from adain_lit.nets.vgg import deepest, mean_activations, normalize_activations
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.config import ModelConfig, StyleTransferConfig
from adain_lit.tasks.schedule import adam, by_fan_in
from adain_lit.weights.encoders import checksum, load_encoder, load_loss_network, require_checksum
from adain_lit.weights.networks import load_network

LEAST_ACTIVATION_VGG19, LEAST_ACTIVATION = 0.01, 0.1
"""Lower bound of activation scales, see `mean_activations`. No channel of VGG-19 is below 1 %; random weights and small
encoders have many such channels, some of which are never active."""


class StyleTransferModule(LossModule):
    """Encoder, fusion and decoder with the paper's loss and optimiser.

    All options are strings, numbers and lists of them, so that a checkpoint describes itself. Networks that are not
    trained are excluded from checkpoints, which hold their names, checksums and activation scales. Options:
    `StyleTransferConfig`.

    Example:
        >>> module = StyleTransferModule(encoder="distilled", unit_mean_images=0)
        >>> images = torch.rand(2, 3, 32, 32)
        >>> module(images, images.flip(0)).shape, sorted(module.losses(images, images.flip(0)))[:3]
        (torch.Size([2, 3, 32, 32]), ['content_loss', 'loss', 'style_loss'])
    """

    config_class = StyleTransferConfig
    config: StyleTransferConfig

    def configure_losses(self) -> None:
        """The paper's loss, and that of the reconstruction if it has a weight."""
        c = self.config
        require_weights(c, "identity_weight", "color_weight")
        if c.train_encoder and c.loss_encoder is None:
            raise InputError("train_encoder needs a loss network that stays as it is; set loss_encoder (torchvision)")
        self.criterion = PerceptualLoss(c)
        names = ["loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in c.style_layers)]
        if c.identity_weight or c.color_weight:
            names += ["identity_loss", "color_loss"]
        self.average_losses(names)
        self._training_losses = self.losses

    def configure_networks(self) -> None:
        """Load the encoder and the loss network, and build the decoder."""
        c = self.config
        self.frozen = ("_loss_network.",) if c.train_encoder else ("net.encoder.", "_loss_network.")
        needed = self.criterion.layers if c.loss_encoder is None else (c.content_layer,)
        vgg = load_encoder(
            c.encoder, widths=c.encoder_widths, last=deepest(needed), preprocessing=c.encoder_preprocessing
        )
        self.encoder_checksum = checksum(vgg)
        self.encoder_scales: dict[str, Tensor] = {}
        self._loss_network: LossNetwork | None = None
        if c.loss_encoder is not None:
            self._loss_network = load_loss_network(c.loss_encoder, layers=self.criterion.layers)
        self.net = StyleTransferNet(vgg, c)
        self.net.encoder.requires_grad_(c.train_encoder)
        if c.decoder is not None:
            self._init_decoder_from(c.decoder)

    def configure_compilation(self) -> None:
        """Compile the losses and everything they depend on, in training only."""
        self._training_losses = torch.compile(self.losses, dynamic=False)

    def _init_decoder_from(self, source: str) -> None:
        """Initialise the decoder with that of another network.

        Raises:
            InputError: if it is of another shape, other than narrower.
        """
        other = load_network(source).decoder
        try:
            self.net.decoder.init_from(other)
        except InputError as error:
            raise InputError(
                f"the decoder of {source} {error}; train with the same settings, or leave out model.decoder"
            ) from None

    @property
    def loss_network(self) -> VGGEncoder | LossNetwork:
        """The network that computes the losses: the encoder itself unless ``loss_encoder`` names another."""
        return self.net.encoder if self._loss_network is None else self._loss_network

    def forward(self, content: Tensor, styles: Tensor | Sequence[Tensor], **controls: Any) -> Tensor:
        """Stylise a batch, see `StyleTransferNet.forward`."""
        stylized: Tensor = self.net(content, styles, **controls)
        return stylized

    def losses(self, content: Tensor, style: Tensor, skips: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of Eqs. 11 to 13 for a batch of pairs.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style: (N, 3, H', W'), RGB in [0, 1].
            skips: scalar factor, 0 or 1, of the skip layers' features on their way to the decoder; None is 1.

        Returns:
            As returned by `PerceptualLoss`, and ``identity_loss`` and ``color_loss`` if either has a weight, each
            (N,). Gradients flow through the output alone: the target and the style statistics are constants, as in
            the authors' code.
        """
        net, loss_network, layers = self.net, self.loss_network, self.criterion.layers
        if self.config.channels_last:
            content = content.contiguous(memory_format=torch.channels_last)
            style = style.contiguous(memory_format=torch.channels_last)
        own = loss_network is net.encoder
        is_fused = net.fusion.content_target == "fused"
        with torch.no_grad():
            style_features = loss_network(style, (*layers, *net.fused_layers) if own else layers)
        with torch.set_grad_enabled(self.config.train_encoder and torch.is_grad_enabled()):
            features = net.encode(content)
            fused_styles = tuple(style_features[layer] for layer in net.fused_layers) if own else net.encode(style)
            fused = net.fuse(features, [fused_styles])
        if own:
            target = fused[0] if is_fused else features[0]  # (N, C, H/8, W/8)
        else:
            with torch.no_grad():
                target = loss_network(content, (net.content_layer,))[net.content_layer]
                if is_fused:
                    target = net.fusion.fuse(target, style_features[net.content_layer])
        stylized = net.decode(_decoder_input(fused, skips), content.shape[2:])  # (N, 3, H, W)
        losses: dict[str, Tensor] = self.criterion(loss_network(stylized, layers), target, style_features)
        identity_weight, color_weight = self.config.identity_weight, self.config.color_weight
        if identity_weight or color_weight:
            same = net.decode(_decoder_input(net.fuse(features, [features]), skips), content.shape[2:])
            error = same.float() - content.float()
            losses["identity_loss"] = error.abs().flatten(1).mean(1)
            losses["color_loss"] = error.mean((2, 3)).abs().mean(1)
            rest = identity_weight * losses["identity_loss"] + color_weight * losses["color_loss"]
            losses["loss"] = losses["loss"] + rest
        return losses

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of a batch of pairs; before step ``skips_from`` of training without the skip layers."""
        if not self.training:
            return self.losses(batch.content, batch.style)
        skips = None
        if self.config.skips_from:  # a tensor: a Python number would recompile the graph
            skips = batch.content.new_full((), float(self.global_step >= self.config.skips_from))
        return self._training_losses(batch.content, batch.style, skips)

    def configure_optimizers(self) -> Any:
        """Adam (Sec. 6.2) on the decoder, and on the encoder if it is trained."""
        trained = (p for p in self.net.parameters() if p.requires_grad)
        return adam(by_fan_in(trained, lr=self.config.lr, widest=self.config.lr_fan_in), self.config)

    def on_fit_start(self) -> None:
        """Scale the encoder and the loss network on training images, unless a checkpoint provided the scales."""
        count = self.config.unit_mean_images
        if count and not self.encoder_scales:
            self.normalize_encoder(self.content_images(count))
        count = self.config.loss_unit_mean_images
        if count and self._loss_network is not None and not self._loss_network.scales:
            self._loss_network.normalize(self.content_images(count))

    def normalize_encoder(self, images: Iterable[Tensor]) -> None:
        """Scale every channel of the encoder to mean activation 1 over `images`, each (N, 3, H, W) in [0, 1]."""
        real = self.net.encoder.widths == WIDTHS["vgg19"] and self.config.encoder != "random"
        least = LEAST_ACTIVATION_VGG19 if real else LEAST_ACTIVATION
        on_device = (batch.to(self.device) for batch in images)
        self._divide_encoder(mean_activations(self.net.encoder, on_device, least=least))

    def _divide_encoder(self, scales: dict[str, Tensor]) -> None:
        normalize_activations(self.net.encoder, scales)
        self.encoder_scales = scales

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Exclude the frozen networks; save what is needed to rebuild them."""
        self.exclude_frozen(checkpoint)
        checkpoint["encoder"] = {"sha256": self.encoder_checksum, "mean_activations": self.encoder_scales}
        if self._loss_network is not None:
            found = {"sha256": checksum(self._loss_network), "mean_activations": self._loss_network.scales}
            checkpoint["loss_network"] = found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the frozen networks from the hyper-parameters.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with other encoder weights.
        """
        saved = checkpoint.get("encoder")
        if saved is None:
            raise InputError("the checkpoint was not written by StyleTransferModule; give one of an adain_lit run")
        if self.config.train_encoder:  # its weights are in the checkpoint, already scaled
            self.encoder_scales = saved["mean_activations"]
        else:
            require_checksum(self.encoder_checksum, saved["sha256"], f"encoder {self.config.encoder}")
            if saved["mean_activations"] and not self.encoder_scales:
                self._divide_encoder(saved["mean_activations"])
        if self._loss_network is not None:
            saved = checkpoint["loss_network"]
            require_checksum(checksum(self._loss_network), saved["sha256"], f"loss_encoder {self.config.loss_encoder}")
            self._loss_network.scales = saved["mean_activations"]
        self.restore_frozen(checkpoint)


def _decoder_input(fused: Features, skips: Tensor | None) -> Features:
    """Fused features with those of the skip layers multiplied by `skips`."""
    return fused if skips is None else (fused[0], *(layer * skips.to(layer.dtype) for layer in fused[1:]))


def require_weights(config: ModelConfig, *names: str) -> None:
    """Refuse weights of losses that are negative or not finite.

    Raises:
        InputError: for the first of the fields `names` that is.

    Example:
        >>> require_weights(StyleTransferConfig(), "identity_weight", "color_weight")
    """
    for name in names:
        weight = getattr(config, name)
        if not 0 <= weight < float("inf"):
            raise InputError(f"{name} is {weight}; it must be 0 or more")
