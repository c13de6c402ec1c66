"""Training the decoder of a style transfer network: the paper's system and its three ablations."""

from collections.abc import Iterable, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss
from adain_lit.metrics_file import log_everywhere
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.vgg import PAPER_STYLE_LAYERS, deepest, mean_activations, normalize_activations
from adain_lit.weights import checksum, load_encoder

ENCODER_PREFIX = "net.encoder."
LEAST_ACTIVATION, LEAST_ACTIVATION_RANDOM = 0.01, 0.1
"""Least mean activation, see `mean_activations`. Below 1 % VGG-19 has no channel; random weights have many."""


class StyleTransferModule(L.LightningModule):
    """Encoder, fusion and decoder with the paper's loss and optimiser.

    All arguments are strings, numbers and lists of them, so that a checkpoint describes itself. The frozen encoder
    is left out of checkpoints; they hold its name, its checksum and the mean activations it was divided by.

    Args:
        fusion: ``adain`` or ``concat`` (Enc-Concat-Dec), a name in `adain_lit.nets.FUSIONS`.
        norm: normalisation in the decoder: ``none``, ``batch`` (BNDec) or ``instance`` (INDec).
        encoder: weights: ``torchvision``, ``vgg_normalised``, ``random`` or a path, see `adain_lit.weights`.
        encoder_widths: ``vgg19`` or ``compact`` for random weights; a file tells its own.
        encoder_preprocessing: ``auto``, ``rgb``, ``imagenet`` or ``caffe``: what input the weights expect.
        unit_mean_images: number of training photographs on which every channel of the encoder is scaled to mean
            activation 1; 0 leaves the weights as they are (right for ``vgg_normalised``, which is so already).
        content_layer: the layer that is fused and that the content loss compares.
        style_layers: layers of the style loss.
        style_weight: lambda of Eq. 11; 10 goes with `reduction` ``mean``, 1e-2 or 1e-1 with ``sum``.
        style_statistic: ``mean_std`` (Eq. 13) or ``gram``.
        reduction: ``mean`` or ``sum`` over channels in the style loss.
        lr: learning rate of Adam at step 0.
        lr_decay: the rate at step t is lr / (1 + lr_decay t), as in the authors' code.
        channels_last: keep images and weights in channels-last memory, which convolutions prefer.
        compile: compile encoder and decoder with ``torch.compile``.
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
        content_layer: str = "relu4_1",
        style_layers: Sequence[str] = PAPER_STYLE_LAYERS,
        style_weight: float = 10.0,
        style_statistic: str = "mean_std",
        reduction: str = "mean",
        lr: float = 1e-4,
        lr_decay: float = 5e-5,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        style_layers = list(style_layers)
        self.save_hyperparameters(logger=False)
        self.criterion = PerceptualLoss(
            style_weight,
            style_layers=style_layers,
            content_layer=content_layer,
            reduction=reduction,
            statistic=style_statistic,
        )
        vgg = load_encoder(
            encoder, widths=encoder_widths, last=deepest(self.criterion.layers), preprocessing=encoder_preprocessing
        )
        self.encoder_checksum = checksum(vgg)
        self.encoder_means: dict[str, Tensor] = {}
        self.net = StyleTransferNet(vgg, fusion=fusion, norm=norm, content_layer=content_layer)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)
        if compile:
            self.net.encoder.compile()
            self.net.decoder.compile()
        names = ("loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in style_layers))
        self.val_losses = nn.ModuleDict({name: MeanMetric() for name in names})
        self.train_losses: dict[str, Tensor] = {}

    def forward(self, content: Tensor, styles: Tensor | Sequence[Tensor], **controls: Any) -> Tensor:
        """Stylise a batch, see `StyleTransferNet.forward`."""
        stylized: Tensor = self.net(content, styles, **controls)
        return stylized

    def losses(self, content: Tensor, style: Tensor) -> dict[str, Tensor]:
        """Losses of Eqs. 11 to 13 for a batch of pairs.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style: (N, 3, H', W'), RGB in [0, 1].

        Returns:
            As `PerceptualLoss` gives them, each (N,). The gradient goes through the output alone: the target and
            the style statistics are constants, as in the authors' code.
        """
        net, layers = self.net, self.criterion.layers
        if self.hparams["channels_last"]:
            content = content.contiguous(memory_format=torch.channels_last)
            style = style.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            content_features = net.encode(content)  # (N, C, H/8, W/8)
            style_features = net.encoder(style, layers)
            fused = net.fuse(content_features, [style_features[net.content_layer]])
            target = fused if net.fusion.content_target == "fused" else content_features
        stylized = net.decode(fused, content.shape[2:])  # (N, 3, H, W)
        losses: dict[str, Tensor] = self.criterion(net.encoder(stylized, layers), target, style_features)
        return losses

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """One batch of pairs; the losses are kept for the log."""
        losses = {name: value.mean() for name, value in self.losses(batch.content, batch.style).items()}
        self.train_losses = {name: value.detach() for name, value in losses.items()}
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the step that is about to be made, every ``trainer.log_every_n_steps`` steps."""
        step = self.global_step + 1
        if step % self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        gradients = [p.grad for p in self.net.decoder.parameters() if p.grad is not None]
        values = self.train_losses | {
            "grad_norm": nn.utils.get_total_norm(gradients),
            "lr": torch.tensor(optimizer.param_groups[0]["lr"]),
        }
        self.write_log({f"train/{name}": value for name, value in values.items()}, step)

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Collect the losses of held-out pairs."""
        for name, value in self.losses(batch.content, batch.style).items():
            metric = self.val_losses[name]
            assert isinstance(metric, MeanMetric)
            metric.update(value)

    def on_validation_epoch_end(self) -> None:
        """Average over all held-out pairs, in all processes, and log."""
        values: dict[str, Tensor] = {}
        for name, metric in self.val_losses.items():
            assert isinstance(metric, MeanMetric)
            values[f"val/{name}"] = metric.compute()
            metric.reset()
        self.log_dict(values, logger=False)
        if not self.trainer.sanity_checking:
            self.write_log(values, self.global_step)

    def write_log(self, values: dict[str, Tensor], step: int) -> None:
        """Hand values to every logger under the number of the optimiser step, counted from 1.

        Not through ``self.log``, whose step is one less and which writes after a checkpoint of the step is saved: a
        run that dies between the two would lose the row.
        """
        log_everywhere(self.loggers, {name: float(value) for name, value in values.items()}, step)

    def configure_optimizers(self) -> Any:
        """Adam (Sec. 6.2), with the authors' decay of the learning rate."""
        optimizer = torch.optim.Adam(self.net.decoder.parameters(), lr=self.hparams["lr"])
        decay = self.hparams["lr_decay"]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + decay * step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Scale the encoder on the training photographs, unless a checkpoint brought the scale."""
        count = self.hparams["unit_mean_images"]
        if not count or self.encoder_means:
            return
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, PairedDataModule):
            raise InputError(
                "scaling the encoder to unit mean activations needs the photographs of a PairedDataModule; train with "
                "one, call normalize_encoder(images) before, or set unit_mean_images to 0"
            )
        self.normalize_encoder(data.photographs(count))

    def normalize_encoder(self, images: Iterable[Tensor]) -> None:
        """Scale every channel of the encoder to mean activation 1 over `images`, each (N, 3, H, W) in [0, 1]."""
        least = LEAST_ACTIVATION_RANDOM if self.hparams["encoder"] == "random" else LEAST_ACTIVATION
        on_device = (batch.to(self.device) for batch in images)
        self._divide_encoder(mean_activations(self.net.encoder, on_device, least=least))

    def _divide_encoder(self, means: dict[str, Tensor]) -> None:
        normalize_activations(self.net.encoder, means)
        self.encoder_means = means

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen encoder out; keep what it takes to build it again."""
        state = checkpoint["state_dict"]
        for key in [key for key in state if key.startswith(ENCODER_PREFIX)]:
            del state[key]
        checkpoint["encoder"] = {"sha256": self.encoder_checksum, "mean_activations": self.encoder_means}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the encoder that was built from the hyper-parameters beside the decoder of the checkpoint.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with other encoder weights.
        """
        saved = checkpoint.get("encoder")
        if saved is None:
            raise InputError("the checkpoint was not written by StyleTransferModule; give one of an adain_lit run")
        if saved["sha256"] != self.encoder_checksum:
            raise InputError(
                f"the checkpoint was trained with other encoder weights (SHA-256 {saved['sha256'][:12]}) than "
                f"{self.hparams['encoder']} (SHA-256 {self.encoder_checksum[:12]}); set encoder to the same weights"
            )
        if saved["mean_activations"] and not self.encoder_means:
            self._divide_encoder(saved["mean_activations"])
        own = self.state_dict()
        checkpoint["state_dict"] |= {key: value for key, value in own.items() if key.startswith(ENCODER_PREFIX)}
