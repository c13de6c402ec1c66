"""Checkpoints that are never left half-written, and leaving on a signal without losing a step."""

import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint
from torch import distributed

from adain_lit.data.pairs import LoaderError
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.io.files import remove_partial_files, write_atomically
from adain_lit.loggers.csv import attempt
from adain_lit.weights.files import require_whole

log = logging.getLogger(__name__)

SECOND_SIGNAL_AFTER = 2.0
"""Seconds within which signals count as one: timeout(1) and schedulers signal the process and its group at once."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there when it is whole.

    Args:
        read: checkpoints that were read and checked already, by path; each is handed out once and let go.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "last.ckpt")
        >>> AtomicCheckpointIO().save_checkpoint({"global_step": 5}, path)
        >>> torch.load(path)
        {'global_step': 5}
    """

    def __init__(self, read: Mapping[Path, dict[str, Any]] | None = None) -> None:
        super().__init__()
        self._read = dict(read or {})

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Save; a file that was there before stays until the new one is complete."""
        write_atomically(path, lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Load a checkpoint whose checksums are right."""
        if (state := self._read.pop(Path(path), None)) is not None:
            return state
        require_whole(path)
        return super().load_checkpoint(path, *args, **kwargs)


class Checkpoints(Checkpoint):
    """Keeps ``last.ckpt``, ``best.ckpt`` and ``step_*.ckpt``, and saves on SIGINT, SIGTERM, SIGUSR1 and SIGHUP.

    The checkpoint of a step is written after its log, and after its validation if one is due, so that a run resumed
    from it writes the same log as an uninterrupted one. A signal to one process of the run ends all of them with exit
    status 128 + its number once the step in progress is complete; a second signal ends them at once. After SIGUSR1 a
    SLURM job is queued again.

    Args:
        folder: where the files go.
        every_n_steps: how often ``last.ckpt`` is written; it is also written at each validation and at the end.
        keep_every_n_steps: how often a ``step_*.ckpt`` is kept; 0 keeps none.
        monitor: the validation value to minimise; its least value so far is that of ``best.ckpt``.

    Example:
        >>> Checkpoints("run/checkpoints", every_n_steps=100).state_dict()
        {'best': None, 'best_step': 0}
    """

    def __init__(
        self, folder: str, *, every_n_steps: int = 1000, keep_every_n_steps: int = 10_000, monitor: str = "val/loss"
    ) -> None:
        if every_n_steps < 1 or keep_every_n_steps < 0:
            raise InputError(
                f"checkpoints every {every_n_steps} steps, kept every {keep_every_n_steps}: "
                "every_n_steps must be at least 1 and keep_every_n_steps at least 0"
            )
        self.folder = Path(folder)
        self.every_n_steps = every_n_steps
        self.keep_every_n_steps = keep_every_n_steps
        self.monitor = monitor
        self.best: float | None = None
        self.best_step = 0
        self.lost = self.weights_lost
        self._reason: str | None = None
        self._signal: int | None = None
        self._signalled = 0.0
        self._leaving_together = False
        self._handlers: dict[int, Any] = {}

    def state_dict(self) -> dict[str, Any]:
        """The best value so far and its step."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best value from the run that is resumed."""
        self.best, self.best_step = state_dict["best"], state_dict["best_step"]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take over the signals, and remove what a killed process of this run left half-written."""
        if trainer.is_global_zero:
            remove_partial_files(self.folder)
        self._signal = None
        self._handlers = {number: signal.signal(number, self._note) for number in processes.SIGNALS}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take SIGTERM over again: Lightning has installed a handler that calls other processes amid a step."""
        for number in processes.SIGNALS:
            signal.signal(number, self._note)
        if hasattr(signal, "SIGCHLD"):
            # torch raises the death of a loader worker from a handler, amid a step; the next batch shows it as well
            self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL) or signal.SIG_DFL

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Give the signals back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if a checkpoint is due and no validation follows; after the last step one always does."""
        step = trainer.global_step
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if step == trainer.max_steps:
            trainer.should_stop = True  # makes the trainer validate now, whatever its interval
        if self._validates_now(trainer):
            return
        number = self._agreed_signal(trainer)
        if step % self.every_n_steps == 0 or number or self._reason:
            self._save(trainer, "last.ckpt")
        self._keep(trainer)
        self._leave(trainer, number)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the best and the last."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        value = trainer.callback_metrics.get(self.monitor)
        if value is None:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise InputError(f"no value {self.monitor!r} to choose the best checkpoint by; known are {known}")
        if value.isfinite() and (self.best is None or float(value) < self.best):
            self.best, self.best_step = float(value), trainer.global_step
            self._save(trainer, "best.ckpt")
        self._save(trainer, "last.ckpt")
        self._keep(trainer)
        self._leave(trainer, self._agreed_signal(trainer))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save if no further batch can be read, since the last step is complete then."""
        if not isinstance(exception, LoaderError) or trainer.world_size > 1:  # others may be amid the next step
            return
        steps = trainer.fit_loop.epoch_loop.total_batch_idx + 1
        if trainer.global_step and steps % trainer.accumulate_grad_batches == 0:
            self._save(trainer, "last.ckpt")
            log.warning("saved after step %d; resume=last continues from there", trainer.global_step)

    def weights_lost(self, trainer: L.Trainer) -> str:
        """What is said when the weights are not finite; `NonFinite` says more in place of it."""
        return (
            f"weights are not finite after step {trainer.global_step}; {self.kept()}; lower model.lr or use "
            "trainer.precision=bf16-mixed or 32-true"
        )

    def stop(self, reason: str) -> None:
        """Save after the step in progress, and its validation if one is due, and raise an `InputError`."""
        self._reason = reason

    def kept(self) -> str:
        """Whether there is a checkpoint to go back to, for messages."""
        there = any(self.folder.glob("[!.]*.ckpt"))
        return f"the last good checkpoint stays in {self.folder}" if there else "there is no checkpoint yet"

    def _keep(self, trainer: L.Trainer) -> None:
        if self.keep_every_n_steps and trainer.global_step % self.keep_every_n_steps == 0:
            self._save(trainer, f"step_{trainer.global_step:06d}.ckpt")

    def _validates_now(self, trainer: L.Trainer) -> bool:
        if not trainer.enable_validation:
            return False
        return trainer.should_stop or (
            isinstance(trainer.val_check_batch, int)
            and (trainer.fit_loop.epoch_loop.total_batch_idx + 1) % trainer.val_check_batch == 0
        )

    def _save(self, trainer: L.Trainer, name: str) -> None:
        """Save, but never overwrite good weights with non-finite ones."""
        module = trainer.lightning_module
        if not all(bool(p.isfinite().all()) for p in module.parameters() if p.requires_grad):
            raise InputError(self.lost(trainer))
        for logger in trainer.loggers:
            attempt(logger, logger.save)
        trainer.save_checkpoint(self.folder / name, weights_only=False)  # all of the state, not the weights alone

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._leaving_together and number == signal.SIGTERM:
            return  # from torch's launcher, since another process was faster; process 0 still closes the loggers
        if self._signal is None:
            self._signal, self._signalled = number, now
            if processes.rank() == 0:
                log.warning("%s: leaving after this step; once more leaves now", signal.Signals(number).name)
        elif now - self._signalled > SECOND_SIGNAL_AFTER:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _agreed_signal(self, trainer: L.Trainer) -> int:
        """The number of a signal that any process has received, the same in all of them; 0 for none."""
        number = self._signal or (signal.SIGTERM if processes.abandoned() else 0)
        if trainer.world_size == 1:
            return number
        greatest = torch.tensor(number, device=trainer.strategy.root_device)
        distributed.all_reduce(greatest, op=distributed.ReduceOp.MAX)
        return int(greatest)

    def _leave(self, trainer: L.Trainer, number: int) -> None:
        if self._reason:
            raise InputError(self._reason)
        if not number:
            return
        if trainer.is_global_zero:
            name = signal.Signals(number).name
            log.warning("stopped by %s after step %d; resume=last continues from there", name, trainer.global_step)
            if number == getattr(signal, "SIGUSR1", None):
                processes.queue_again()
        self._leaving_together = trainer.world_size > 1
        raise SystemExit(128 + number)
