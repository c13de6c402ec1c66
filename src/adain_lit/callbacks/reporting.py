"""What a run shows while it trains: images, skipped files, throughput and a progress bar."""

import logging
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ProgressBar
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch.nn import functional as F
from torchvision.utils import make_grid
from tqdm import tqdm

from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.pairs import PairBatch, SkippedFile, collate
from adain_lit.distributed import processes
from adain_lit.io.images import to_image, write_image
from adain_lit.loggers.csv import attempt, log_everywhere
from adain_lit.reports.contact_sheet import GRID_COLUMNS, GRID_GAP

log = logging.getLogger(__name__)


class ImageGrid(Callback):
    """Writes the first held-out pairs after each validation, as rows of content, style and stylised image.

    Args:
        folder: where ``step_*.png`` go.
        pairs: number of rows.
    """

    def __init__(self, folder: str, *, pairs: int = 6) -> None:
        self.folder = Path(folder)
        self.pairs = pairs

    @torch.no_grad()
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the grid and pass it to the loggers."""
        data = getattr(trainer, "datamodule", None)
        if trainer.sanity_checking or not trainer.is_global_zero or not isinstance(data, PairedDataModule):
            return
        if not getattr(pl_module, "stylizes", True):
            return
        count = min(self.pairs, len(data.val_set))
        batch = collate([data.val_set[i] for i in range(count)])
        dtype: Any = pl_module.dtype
        content, style = (x.to(pl_module.device, dtype) / 255 for x in (batch.content, batch.style))
        if (preprocessed := getattr(pl_module, "preprocessed", None)) is not None:
            content, style, *_ = preprocessed(batch._replace(content=content, style=style))
        stylized = pl_module(content, style)
        style = F.interpolate(style, size=content.shape[2:], mode="area")
        rows = torch.stack((content, style, stylized.float()), dim=1).flatten(0, 1)  # (3 pairs, 3, H, W)
        grid = make_grid(rows, nrow=len(GRID_COLUMNS), padding=GRID_GAP, pad_value=1.0)
        image = to_image(grid)
        step = trainer.global_step
        write_image(image, self.folder / f"step_{step:06d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                show = partial(logger.log_image, "val/pictures", [image], step, caption=[", ".join(GRID_COLUMNS)])
                attempt(logger, show)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("val/pictures", grid.cpu().clamp(0, 1), step)


class SkippedFiles(Callback):
    """Lists every unreadable file once, with the reason, in a file of the run folder; `count` is their number.

    The other processes send theirs to process 0 with every checkpoint.

    Args:
        path: the list, a line for each file: path, tab, reason.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._known: set[str] = set()
        self._unsent: list[SkippedFile] = []

    @property
    def count(self) -> int:
        """Number of files on the list."""
        return len(self._known)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Read the list of the run that is resumed, and add the files found before the first batch."""
        if not trainer.is_global_zero:
            return
        if self.path.is_file():
            self._known = {line.split("\t")[0] for line in self.path.read_text("utf-8").splitlines()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()  # an empty list says that nothing was skipped
        data = getattr(trainer, "datamodule", None)
        self._add(data.skipped if isinstance(data, PairedDataModule) else [])

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: PairBatch, batch_idx: int
    ) -> None:
        """Add the files that the loader skipped on the way to this batch."""
        if trainer.is_global_zero:
            self._add(batch.skipped)
        else:
            self._unsent += batch.skipped

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Send the files found since the last checkpoint to process 0."""
        sent = processes.gather(self._unsent)
        self._unsent = []
        if trainer.is_global_zero:
            self._add([skipped for found in sent for skipped in found])

    def _add(self, skipped: list[SkippedFile]) -> None:
        new = {path: reason for path, reason in skipped if path not in self._known}
        if not new:
            return
        self._known |= new.keys()
        with self.path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            for path, reason in new.items():
                file.write(f"{path}\t{reason}\n")
                log.warning("skipped %s: %s", path, reason)


class Throughput(Callback):
    """Logs ``train/pairs_per_second``, the mean since it was last logged; validation does not count."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._pairs = 0
        self._last = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._last = time.perf_counter()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Do not count the time of validation."""
        self._last = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: PairBatch, batch_idx: int
    ) -> None:
        """Count the batch and log with the other values of the step."""
        now = time.perf_counter()
        self._seconds += now - self._last
        self._last = now
        self._pairs += len(batch.content) * trainer.world_size
        step = trainer.global_step
        due = step % trainer.log_every_n_steps == 0  # type: ignore[attr-defined]
        if due and (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            log_everywhere(trainer.loggers, {"train/pairs_per_second": self._pairs / self._seconds}, step)
            self._seconds, self._pairs = 0.0, 0


class TrainingProgress(ProgressBar):
    """One bar over all optimiser steps, with both losses and the time left.

    Args:
        refresh_every_n_steps: how often the losses are read from the device, which waits for it.
    """

    def __init__(self, *, refresh_every_n_steps: int = 10) -> None:
        super().__init__()
        self.refresh_every_n_steps = refresh_every_n_steps
        self._bar: tqdm[Any] | None = None
        self._enabled = True

    def disable(self) -> None:
        """Hide the bar; the trainer calls this in all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar."""
        self._enabled = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar at the current step."""
        total = trainer.max_steps if trainer.max_steps > 0 else None
        self._bar = tqdm(
            total=total,
            initial=trainer.global_step,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 15,  # a log file need not hold ten lines a second
            disable=not self._enabled,
        )

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: PairBatch, batch_idx: int
    ) -> None:
        """Advance the bar, and show the losses from time to time."""
        bar, losses = self._bar, getattr(pl_module, "train_losses", {})
        if bar is None:
            return
        step = trainer.global_step
        if self._enabled and losses and (step % self.refresh_every_n_steps == 0 or bar.n == bar.initial):
            names = [name for name in ("content_loss", "style_loss") if name in losses] or ["loss"]
            bar.set_postfix({n.removesuffix("_loss"): f"{float(losses[n]):.3f}" for n in names}, refresh=False)
        bar.update(step - bar.n)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar before the reason is printed, which would follow it on its line."""
        self.teardown(trainer, pl_module, "fit")

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
