"""Training a style transfer network: the paper's system, its three ablations and what goes beyond."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.nets import WIDTHS, LossNetwork, StyleTransferNet, VGGEncoder
from adain_lit.nets.style_transfer import Features
from adain_lit.nets.vgg import PAPER_STYLE_LAYERS, deepest, mean_activations, normalize_activations
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.schedule import adam, by_fan_in
from adain_lit.weights.encoders import checksum, load_encoder, load_loss_network, require_checksum
from adain_lit.weights.networks import load_network

LEAST_ACTIVATION_VGG19, LEAST_ACTIVATION = 0.01, 0.1
"""Least mean activation, see `mean_activations`. Below 1 % VGG-19 has no channel; random weights and small encoders
have many, some of which are never on."""


class StyleTransferModule(LossModule):
    """Encoder, fusion and decoder with the paper's loss and optimiser.

    All arguments are strings, numbers and lists of them, so that a checkpoint describes itself. Networks that are not
    trained are left out of checkpoints; they hold their names, checksums and the mean activations they were divided
    by.

    Args:
        fusion: ``adain``, ``concat`` (Enc-Concat-Dec) or another name in `adain_lit.nets.FUSIONS`.
        norm: normalisation in the decoder: ``none``, ``batch`` (BNDec) or ``instance`` (INDec).
        encoder: weights: ``torchvision``, ``vgg_normalised``, ``random`` or a path, see `adain_lit.weights.encoders`.
        encoder_widths: ``vgg19`` or ``compact`` for random weights; a file tells its own.
        encoder_preprocessing: ``auto``, ``rgb``, ``imagenet`` or ``caffe``: what input the weights expect.
        unit_mean_images: number of training photographs on which every channel of the encoder is scaled to mean
            activation 1; 0 leaves the weights as they are (right for ``vgg_normalised``, which is so already).
        decoder: a network, as `load_network` takes it, whose decoder training begins with; it may be narrower, see
            `Decoder.take_over`. None is the paper's random beginning.
        loss_encoder: weights of the network that the losses are measured with, as `load_loss_network` takes them; None:
            the encoder itself, as in the paper.
        loss_unit_mean_images: number of training photographs on which the loss network is scaled likewise.
        content_layer: the layer that is fused and that the content loss compares.
        skip_layers: further layers to fuse, whose features the decoder gets beside the up-sampled ones, see
            `StyleTransferNet`; the paper has none.
        skips_from: step from which training hands the skip layers to the decoder; before, they are 0, so that it has to
            learn to use the deepest layer, which it otherwise ignores.
        decoder_widths: channels of the decoder's blocks; None: the encoder's, as in the paper.
        residual: shortcuts in the decoder, see `adain_lit.nets.Decoder`; the paper has none.
        decoder_slope: slope of the decoder's ReLUs for what is negative; 0 in the paper.
        train_encoder: train the encoder with the decoder, on the losses of `loss_encoder`; the paper's is fixed. Its
            weights are in the checkpoints then.
        style_layers: layers of the style loss.
        style_weight: lambda of Eq. 11; 10 goes with `reduction` ``mean``, 1e-2 or 1e-1 with ``sum``.
        style_statistic: ``mean_std`` (Eq. 13) or ``gram``.
        reduction: ``mean`` or ``sum`` over channels in the style loss.
        identity_weight: weight of the mean absolute difference between the photograph and g(f(c)), its reconstruction
            at alpha 0; the paper has no such term.
        color_weight: weight of the mean absolute difference between the mean colours of the two; nor has it this one.
        lr: learning rate of Adam.
        lr_schedule: ``inverse``, the authors', or ``cosine``, see `adain_lit.tasks.schedule.adam`.
        lr_decay: of ``inverse``: the rate at step t is lr / (1 + lr_decay t), as in the authors' code.
        lr_steps: of ``cosine``: the step at which the rate reaches 0.
        lr_warmup: steps over which the rate rises first.
        lr_fan_in: convolutions that sum over more values than this learn more slowly, see
            `adain_lit.tasks.schedule.by_fan_in`; None: all alike, as in the paper.
        channels_last: keep images and weights in channels-last memory, which convolutions prefer.
        compile: compile the losses, with all that leads to them, with ``torch.compile``; in training alone.
    """

    def __init__(
        self,
        *,
        fusion: str = "adain",
        norm: str = "none",
        encoder: str = "torchvision",
        encoder_widths: str | None = None,
        encoder_preprocessing: str = "auto",
        unit_mean_images: int = 64,
        decoder: str | None = None,
        loss_encoder: str | Sequence[str] | None = None,
        loss_unit_mean_images: int = 64,
        content_layer: str = "relu4_1",
        skip_layers: Sequence[str] = (),
        skips_from: int = 0,
        decoder_widths: Sequence[int] | None = None,
        residual: bool = False,
        decoder_slope: float = 0.0,
        train_encoder: bool = False,
        style_layers: Sequence[str] = PAPER_STYLE_LAYERS,
        style_weight: float = 10.0,
        style_statistic: str = "mean_std",
        reduction: str = "mean",
        identity_weight: float = 0.0,
        color_weight: float = 0.0,
        lr: float = 1e-4,
        lr_schedule: str = "inverse",
        lr_decay: float = 5e-5,
        lr_steps: int | None = None,
        lr_warmup: int = 0,
        lr_fan_in: int | None = None,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        style_layers = list(style_layers)
        loss_encoder = loss_encoder if loss_encoder is None or isinstance(loss_encoder, str) else list(loss_encoder)
        skip_layers = list(skip_layers)
        decoder_widths = None if decoder_widths is None else list(decoder_widths)
        for name, weight in (("identity_weight", identity_weight), ("color_weight", color_weight)):
            if not 0 <= weight < float("inf"):
                raise InputError(f"{name} is {weight}; it must be 0 or more")
        if train_encoder and loss_encoder is None:
            raise InputError("train_encoder needs a loss network that stays as it is; set loss_encoder (torchvision)")
        self.frozen = ("loss_network.",) if train_encoder else ("net.encoder.", "loss_network.")
        self.save_hyperparameters(logger=False)
        self.criterion = PerceptualLoss(
            style_weight,
            style_layers=style_layers,
            content_layer=content_layer,
            reduction=reduction,
            statistic=style_statistic,
        )
        needed = self.criterion.layers if loss_encoder is None else (content_layer,)
        vgg = load_encoder(encoder, widths=encoder_widths, last=deepest(needed), preprocessing=encoder_preprocessing)
        self.encoder_checksum = checksum(vgg)
        self.encoder_means: dict[str, Tensor] = {}
        self.loss_network: LossNetwork | None = None
        if loss_encoder is not None:
            self.loss_network = load_loss_network(loss_encoder, layers=self.criterion.layers)
        self.net = StyleTransferNet(
            vgg,
            fusion=fusion,
            norm=norm,
            content_layer=content_layer,
            skip_layers=skip_layers,
            decoder_widths=decoder_widths,
            residual=residual,
            decoder_slope=decoder_slope,
        )
        self.net.encoder.requires_grad_(train_encoder)
        if decoder is not None:
            self._begin_with(decoder)
        if channels_last:
            self.to(memory_format=torch.channels_last)
        self._trained_losses = torch.compile(self.losses, dynamic=False) if compile else self.losses
        names = ["loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in style_layers)]
        if identity_weight or color_weight:
            names += ["identity_loss", "color_loss"]
        self.average_losses(names)

    def _begin_with(self, source: str) -> None:
        """Take over the decoder of another network.

        Raises:
            InputError: if it is of another shape, other than narrower.
        """
        other = load_network(source).decoder
        try:
            self.net.decoder.take_over(other)
        except InputError as error:
            raise InputError(
                f"the decoder of {source} {error}; train with the same settings, or leave out model.decoder"
            ) from None

    @property
    def phi(self) -> VGGEncoder | LossNetwork:
        """The network that the losses are measured with."""
        return self.net.encoder if self.loss_network is None else self.loss_network

    def forward(self, content: Tensor, styles: Tensor | Sequence[Tensor], **controls: Any) -> Tensor:
        """Stylise a batch, see `StyleTransferNet.forward`."""
        stylized: Tensor = self.net(content, styles, **controls)
        return stylized

    def losses(self, content: Tensor, style: Tensor, skips: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of Eqs. 11 to 13 for a batch of pairs.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style: (N, 3, H', W'), RGB in [0, 1].
            skips: what the features of the skip layers are multiplied by on their way to the decoder, 0 or 1, without
                dimensions; None is 1.

        Returns:
            As `PerceptualLoss` gives them, and where either has a weight ``identity_loss`` and ``color_loss``, each
            (N,). The gradient goes through the output alone: the target and the style statistics are constants, as in
            the authors' code.
        """
        net, phi, layers = self.net, self.phi, self.criterion.layers
        if self.hparams["channels_last"]:
            content = content.contiguous(memory_format=torch.channels_last)
            style = style.contiguous(memory_format=torch.channels_last)
        own = phi is net.encoder
        is_fused = net.fusion.content_target == "fused"
        with torch.no_grad():
            style_features = phi(style, (*layers, *net.fused_layers) if own else layers)
        with torch.set_grad_enabled(self.hparams["train_encoder"] and torch.is_grad_enabled()):
            features = net.encode(content)
            fused_styles = tuple(style_features[layer] for layer in net.fused_layers) if own else net.encode(style)
            fused = net.fuse(features, [fused_styles])
        if own:
            target = fused[0] if is_fused else features[0]  # (N, C, H/8, W/8)
        else:
            with torch.no_grad():
                target = phi(content, (net.content_layer,))[net.content_layer]
                if is_fused:
                    target = net.fusion.fuse(target, style_features[net.content_layer])
        stylized = net.decode(_handed_over(fused, skips), content.shape[2:])  # (N, 3, H, W)
        losses: dict[str, Tensor] = self.criterion(phi(stylized, layers), target, style_features)
        identity_weight, color_weight = (self.hparams[name] for name in ("identity_weight", "color_weight"))
        if identity_weight or color_weight:
            same = net.decode(_handed_over(net.fuse(features, [features]), skips), content.shape[2:])
            error = same.float() - content.float()
            losses["identity_loss"] = error.abs().flatten(1).mean(1)
            losses["color_loss"] = error.mean((2, 3)).abs().mean(1)
            rest = identity_weight * losses["identity_loss"] + color_weight * losses["color_loss"]
            losses["loss"] = losses["loss"] + rest
        return losses

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of a batch of pairs; in the first steps of training without the skip layers."""
        if not self.training:
            return self.losses(batch.content, batch.style)
        skips = None
        if self.hparams["skips_from"]:  # a tensor, lest a compiled graph be made anew for each value
            skips = batch.content.new_full((), float(self.global_step >= self.hparams["skips_from"]))
        return self._trained_losses(batch.content, batch.style, skips)

    def configure_optimizers(self) -> Any:
        """Adam (Sec. 6.2) on the decoder, and on the encoder where it is trained."""
        h: Any = self.hparams
        return adam(
            by_fan_in((p for p in self.net.parameters() if p.requires_grad), lr=h.lr, widest=h.lr_fan_in),
            lr=h.lr,
            schedule=h.lr_schedule,
            decay=h.lr_decay,
            steps=h.lr_steps,
            warmup=h.lr_warmup,
        )

    def on_fit_start(self) -> None:
        """Scale the encoder and the loss network on the training photographs, unless a checkpoint brought the scale."""
        count = self.hparams["unit_mean_images"]
        if count and not self.encoder_means:
            self.normalize_encoder(self.photographs(count))
        count = self.hparams["loss_unit_mean_images"]
        if count and self.loss_network is not None and not self.loss_network.means:
            self.loss_network.normalize(self.photographs(count))

    def normalize_encoder(self, images: Iterable[Tensor]) -> None:
        """Scale every channel of the encoder to mean activation 1 over `images`, each (N, 3, H, W) in [0, 1]."""
        real = self.net.encoder.widths == WIDTHS["vgg19"] and self.hparams["encoder"] != "random"
        least = LEAST_ACTIVATION_VGG19 if real else LEAST_ACTIVATION
        on_device = (batch.to(self.device) for batch in images)
        self._divide_encoder(mean_activations(self.net.encoder, on_device, least=least))

    def _divide_encoder(self, means: dict[str, Tensor]) -> None:
        normalize_activations(self.net.encoder, means)
        self.encoder_means = means

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen networks out; keep what it takes to build them again."""
        self.leave_frozen_out(checkpoint)
        checkpoint["encoder"] = {"sha256": self.encoder_checksum, "mean_activations": self.encoder_means}
        if self.loss_network is not None:
            found = {"sha256": checksum(self.loss_network), "mean_activations": self.loss_network.means}
            checkpoint["loss_network"] = found

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the networks that were built from the hyper-parameters beside the decoder of the checkpoint.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with other encoder weights.
        """
        saved = checkpoint.get("encoder")
        if saved is None:
            raise InputError("the checkpoint was not written by StyleTransferModule; give one of an adain_lit run")
        if self.hparams["train_encoder"]:  # its weights are in the checkpoint, divided
            self.encoder_means = saved["mean_activations"]
        else:
            require_checksum(self.encoder_checksum, saved["sha256"], f"encoder {self.hparams['encoder']}")
            if saved["mean_activations"] and not self.encoder_means:
                self._divide_encoder(saved["mean_activations"])
        if self.loss_network is not None:
            saved = checkpoint["loss_network"]
            require_checksum(
                checksum(self.loss_network), saved["sha256"], f"loss_encoder {self.hparams['loss_encoder']}"
            )
            self.loss_network.means = saved["mean_activations"]
        self.put_frozen_back(checkpoint)


def _handed_over(fused: Features, skips: Tensor | None) -> Features:
    """What the decoder is given of the fused features."""
    return fused if skips is None else (fused[0], *(layer * skips.to(layer.dtype) for layer in fused[1:]))
