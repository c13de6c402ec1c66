"""A loss that is NaN or infinite: noticed at its step, and what follows from it."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, distributed, nn

from adain_lit.callbacks.checkpoints import Checkpoints
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.distributed import processes
from adain_lit.errors import InputError

log = logging.getLogger(__name__)

ACTIONS = ("stop", "skip", "lower")
LIMIT = 10
"""Steps in a row that may be left out; then the training stops."""


class NonFinite(Callback):
    """Leaves out a step whose loss is NaN or infinite, names its files, and stops, goes on, or lowers the rate.

    The weights stay as they were before that step. Its files are appended to `path`, one line for each pair: step,
    content, style. On a GPU the value is copied while the backward pass runs, so nothing waits for it.

    Under ``skip`` and ``lower`` a gradient that is not finite counts too, which waits for the device once a step (not
    under ``16-mixed``, whose loss scaling causes such gradients and leaves their steps out itself). Under ``stop`` it
    is noticed at the next loss or checkpoint, when the weights are lost already, and named as the step it came from.

    Args:
        path: where the files go.
        action: ``stop`` saves and ends the training, ``skip`` goes on, ``lower`` halves the learning rate and goes on.
            After `LIMIT` such steps in a row the training stops.

    Raises:
        InputError: for an unknown action.
    """

    def __init__(self, path: str, *, action: str = "stop") -> None:
        if action not in ACTIONS:
            raise InputError(f"callbacks.non_finite.action is {action}; it must be one of {', '.join(ACTIONS)}")
        self.path = Path(path)
        self.action = action
        self.in_a_row = 0
        self._indices = torch.empty(0, dtype=torch.long)
        self._batches: list[tuple[_Finite, Tensor]] = []
        self._previous: list[Tensor] = []
        self._running: list[tuple[Tensor, Tensor]] = []
        self._reason: str | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Let `Checkpoints` name the files of a step that has lost the weights."""
        checkpoints = _checkpoints(trainer)
        if checkpoints is not None:
            checkpoints.lost = lambda trainer: self._lost(trainer, trainer.global_step)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the indices of the batch, and what batch normalisation would take over from it."""
        self._indices = getattr(batch, "indices", self._indices)
        if not self._batches:
            running = (buffer for name, buffer in pl_module.named_buffers() if ".running_" in name)
            self._running = [(buffer, buffer.clone()) for buffer in running]

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Begin to copy whether the loss is finite."""
        self._batches.append((_Finite(loss), self._indices))

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Leave the step out if one of its losses is not finite, in any process."""
        batches, self._batches = self._batches, []
        wrong = [indices for finite, indices in batches if not finite]
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if not wrong and self.action != "stop" and scaler is None:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            wrong = [] if norm.isfinite() else [indices for _, indices in batches]
        if not _anywhere(bool(wrong), trainer):
            self._previous, self.in_a_row = [indices for _, indices in batches], 0
            return
        self._leave_out(trainer, pl_module, wrong)
        for parameter in parameters:
            parameter.grad = None  # Adam passes over parameters without one
        for buffer, before in self._running:
            buffer.copy_(before)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop, through `Checkpoints`, which save first."""
        if self._reason is None:
            return
        checkpoints = _checkpoints(trainer)
        if checkpoints is None:
            raise InputError(self._reason)
        checkpoints.stop(self._reason)

    def _leave_out(self, trainer: L.Trainer, module: L.LightningModule, wrong: list[Tensor]) -> None:
        """Write which files they were, and decide what follows."""
        step = trainer.global_step + 1
        if not all(bool(p.isfinite().all()) for p in module.parameters() if p.requires_grad):
            raise InputError(self._lost(trainer, step - 1))
        self.in_a_row += 1
        what = f"the loss of step {step} is not finite{self._write_files(trainer, step, wrong)}"
        if self.action == "stop" or self.in_a_row == LIMIT:
            again = "" if self.action == "stop" else f", the {LIMIT}th in a row"
            self._reason = (
                f"{what}{again}; its update was left out and the state saved; resume=last continues after it, and "
                "callbacks.non_finite.action=skip passes over such steps"
            )
            return
        if self.action == "lower":
            what += f"; the learning rate is now {_halve(trainer):.3g}"
        if trainer.is_global_zero:
            log.warning("%s; its update is left out", what)

    def _lost(self, trainer: L.Trainer, step: int) -> str:
        """Which step made the weights NaN, and what there is to go back to."""
        checkpoints = _checkpoints(trainer)
        return (
            f"the weights are not finite after step {step}, whose own loss was finite"
            f"{self._write_files(trainer, step, self._previous)}; "
            f"{checkpoints.kept() if checkpoints else 'nothing was saved'}; lower model.lr, set "
            "trainer.gradient_clip_val or callbacks.non_finite.action=skip, or leave trainer.precision=16-mixed"
        )

    def _write_files(self, trainer: L.Trainer, step: int, batches: list[Tensor]) -> str:
        """Append the files of the batches of all processes to the list; the first of them, for a message."""
        own = [int(index) for indices in batches for index in indices]
        indices = [index for part in processes.gather(own) for index in part]
        data = getattr(trainer, "datamodule", None)
        if not indices or not isinstance(data, PairedDataModule):
            return ""
        pairs = data.files(indices)
        if trainer.is_global_zero:
            with self.path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.writelines(f"{step}\t{content}\t{style}\n" for content, style in pairs)
        more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
        return f" (content {pairs[0][0]}, style {pairs[0][1]}{more}, see {self.path.name})"


class _Finite:
    """Whether a loss is finite, without waiting for the device before it is asked."""

    def __init__(self, loss: Tensor) -> None:
        self.value = loss.detach().isfinite()
        self.copied: torch.cuda.Event | None = None
        if self.value.is_cuda:
            on_host = torch.empty((), dtype=torch.bool, pin_memory=True)
            self.value = on_host.copy_(self.value, non_blocking=True)
            self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.copied.record()

    def __bool__(self) -> bool:
        if self.copied is not None:
            self.copied.synchronize()
        return bool(self.value)


def _anywhere(value: bool, trainer: L.Trainer) -> bool:
    """Whether `value` is true in any process."""
    if trainer.world_size == 1:
        return value
    count = torch.tensor(int(value), device=trainer.strategy.root_device)
    distributed.all_reduce(count)
    return bool(count)


def _checkpoints(trainer: L.Trainer) -> Checkpoints | None:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, Checkpoints)), None)


def _halve(trainer: L.Trainer) -> float:
    """Halve all learning rates, the schedule's too, which checkpoints hold; the first of them."""
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    for config in trainer.lr_scheduler_configs:
        config.scheduler.base_lrs = [rate * 0.5 for rate in config.scheduler.base_lrs]
    return float(trainer.optimizers[0].param_groups[0]["lr"])
