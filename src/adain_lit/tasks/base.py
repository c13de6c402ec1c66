"""Common to all training modules: per-sample losses, their log, and checkpoints without the frozen networks."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.loggers.csv import log_everywhere
from adain_lit.nets import LossNetwork
from adain_lit.tasks.config import ModelConfig


class LossModule(L.LightningModule):
    """Trains on the mean of ``loss``, and logs that and every other loss of the batch.

    Subclasses name their options in `config_class`, implement `configure_losses`, `configure_networks`,
    `configure_optimizers` and `batch_losses`, and list the submodules excluded from checkpoints in `frozen`.
    `stylizes` says whether the module turns (content, style) into images.

    Args:
        config: the options; they are the hyper-parameters of checkpoints.
        **options: fields of the configuration that replace those of `config`, as checkpoints and Hydra pass them.
    """

    config_class: type[ModelConfig]
    frozen: tuple[str, ...] = ()
    stylizes = True

    def __init__(self, config: ModelConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config: Any = replace(config or self.config_class(), **options)
        lists = {name: list(value) for name, value in vars(self.config).items() if isinstance(value, tuple)}
        self.save_hyperparameters(asdict(self.config) | lists, logger=False)
        self.configure_losses()
        self.configure_networks()
        if self.config.channels_last:
            self.to(memory_format=torch.channels_last)
        if self.config.compile:
            self.configure_compilation()

    def configure_losses(self) -> None:
        """Build the criterion, and call `average_losses`."""
        raise NotImplementedError

    def configure_networks(self) -> None:
        """Build or load every network."""
        raise NotImplementedError

    def configure_compilation(self) -> None:
        """Compile the slow parts of a training step with ``torch.compile``."""

    def average_losses(self, names: Iterable[str]) -> None:
        """Create the validation averages, one for each name of a loss."""
        self.val_losses = nn.ModuleDict({name: MeanMetric() for name in names})
        self.train_losses: dict[str, Tensor] = {}
        self.step_losses: list[dict[str, Tensor]] = []

    def preprocessed(self, batch: PairBatch) -> PairBatch:
        """The images that are actually stylised; the batch itself unless a subclass preprocesses it."""
        return batch

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses by name, each (N,); ``loss`` is the one to minimise."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Adopt the trainer's precision before, not after, a checkpoint's scales are folded into a network."""
        self.trainer.precision_plugin.convert_module(self)

    def on_train_start(self) -> None:
        """Broadcast the networks of rank 0: each rank has scaled its own, and devices may differ in the last bits."""
        if self.trainer.world_size == 1:
            return
        for tensor in self.state_dict().values():
            shared = tensor.contiguous()
            torch.distributed.broadcast(shared, src=0)
            tensor.copy_(shared)
        for module in self.modules():
            if isinstance(module, LossNetwork):
                module.scales = self.trainer.strategy.broadcast(module.scales)

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """The loss of one batch of pairs, or of one of several whose gradients are accumulated."""
        losses = {name: value.mean() for name, value in self.batch_losses(batch).items()}
        self.train_losses = {name: value.detach() for name, value in losses.items()}
        self.step_losses.append(self.train_losses)
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the step about to be taken, every ``trainer.log_every_n_steps`` steps.

        Losses are means over all batches of the step: those of ``trainer.accumulate_grad_batches`` and of all ranks.
        """
        losses, self.step_losses = self.step_losses, []
        step = self.global_step + 1
        if step % self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        own = torch.stack([torch.stack(list(batch.values())) for batch in losses]).mean(0)  # all batches have one size
        whole = self.trainer.strategy.reduce(own, reduce_op="mean")  # and all ranks as many
        self.train_losses = dict(zip(losses[0], whole, strict=True))
        values = self.train_losses | {
            "grad_norm": nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None]),
            "lr": torch.tensor(optimizer.param_groups[0]["lr"]),
        }
        self.write_log({f"train/{name}": value for name, value in values.items()}, step)

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Collect the losses of held-out pairs; padding samples (index -1) are ignored."""
        counts = batch.indices >= 0
        for name, value in self.batch_losses(batch).items():
            metric = self.val_losses[name]
            assert isinstance(metric, MeanMetric)
            metric.update(value, counts.repeat(len(value) // len(counts)))

    def on_validation_epoch_end(self) -> None:
        """Average over all held-out pairs of all ranks, and log."""
        values: dict[str, Tensor] = {}
        for name, metric in self.val_losses.items():
            assert isinstance(metric, MeanMetric)
            values[f"val/{name}"] = metric.compute()
            metric.reset()
        self.log_dict(values, logger=False)
        if not self.trainer.sanity_checking:
            self.write_log(values, self.global_step)

    def write_log(self, values: dict[str, Tensor], step: int) -> None:
        """Write values to every logger at an optimiser step, counted from 1.

        ``self.log`` is not used: its step is one less, and it writes after the checkpoint of the step is saved, so that
        a run killed between the two would lose the row.
        """
        log_everywhere(self.loggers, {name: float(value) for name, value in values.items()}, step)

    def content_images(self, count: int) -> Iterable[Tensor]:
        """The first `count` training crops of content images, on this device, to scale a network on.

        Raises:
            InputError: if the trainer has no `PairedDataModule`.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, PairedDataModule):
            raise InputError(
                "scaling a network to unit mean activations needs the content images of a PairedDataModule; train "
                "with one, or set unit_mean_images to 0"
            )
        dtype: Any = self.dtype
        return (crop.to(self.device, dtype) for crop in data.content_images(count))

    def exclude_frozen(self, checkpoint: dict[str, Any]) -> None:
        """Remove the frozen networks from a checkpoint."""
        for key in [key for key in checkpoint["state_dict"] if key.startswith(self.frozen)]:
            del checkpoint["state_dict"][key]

    def restore_frozen(self, checkpoint: dict[str, Any]) -> None:
        """Add the frozen networks, built from the hyper-parameters, to the weights of a checkpoint."""
        own = self.state_dict()
        checkpoint["state_dict"] |= {key: value for key, value in own.items() if key.startswith(self.frozen)}
