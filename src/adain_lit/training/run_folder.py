"""What a training leaves in its run folder beside the files of its loggers and callbacks."""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from adain_lit.callbacks import SkippedFiles
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.errors import counted
from adain_lit.io.files import write_json
from adain_lit.runs.record import environment
from adain_lit.runs.run import read_environment
from adain_lit.tasks import StyleTransferModule
from adain_lit.training.resume import Saved

log = logging.getLogger(__name__)

CLOCK_SLACK = 60.0
"""Seconds by which clocks of a machine and its file server may differ."""


def write_settings(cfg: DictConfig, run: Path, module: L.LightningModule, data: L.LightningDataModule) -> None:
    """Write the resolved configuration, the packages, the machine and the data, and warn of an untrained encoder."""
    OmegaConf.save(cfg, run / "config.yaml", resolve=True)
    earlier = read_environment(run)
    own = {"seed": cfg.seed, "started": earlier.get("started") or datetime.now(UTC).isoformat(timespec="seconds")}
    lists = data.fingerprints() if isinstance(data, PairedDataModule) else {}
    took = {"seconds": earlier["seconds"]} if "seconds" in earlier else {}
    write_json(own | environment() | {"data": lists} | took, run / "environment.json")
    if isinstance(module, StyleTransferModule) and cfg.model.encoder == "random":
        log.warning("the encoder has random weights: good to try things out, not to judge images by")


def add_time(run: Path, seconds: float) -> None:
    """Add the time of this attempt, validation included, to that of earlier ones in ``environment.json``."""
    known = read_environment(run)
    with suppress(OSError):  # a full disk; what ended the training is to be seen
        write_json(known | {"seconds": round(known.get("seconds", 0.0) + seconds, 1)}, run / "environment.json")


def announce(cfg: DictConfig, trainer: L.Trainer, data: L.LightningDataModule, saved: Saved | None) -> None:
    """Print what is trained, on which images, and where it is logged."""
    images = ""
    if isinstance(data, PairedDataModule) and data.train_set is not None:
        sides = (
            (data.train_set.contents.paths, data.held_out_contents, "content image"),
            (data.train_set.styles.paths, data.held_out_styles, "style image"),
        )
        parts = [f"{counted(len(paths), what)} ({len(held_out)} held out)" for paths, held_out, what in sides]
        images = f", {' and '.join(parts)}"
    log.info("training %s to step %d%s, W&B %s", cfg.name, trainer.max_steps, images, _wandb_mode(cfg))
    if saved:
        log.info("resuming %s at step %d", relative(saved.path.parents[1]), saved.step)
        if saved.path.stat().st_mtime > time.time() + CLOCK_SLACK:
            log.warning(
                "%s is dated in the future: the clock went back, and resume=last may take an older run for the last; "
                "resume=RUN names one",
                relative(saved.path),
            )


def _wandb_mode(cfg: DictConfig) -> str:
    logger = (cfg.get("logger") or {}).get("wandb")
    if logger is None:
        return "off"
    return "offline" if logger.get("offline") else "online"


def relative(path: Path) -> Path:
    """A path as one types it: relative to the working folder if it lies below it."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def report(cfg: DictConfig, run: Path, callbacks: Iterable[Callback], *, stylizes: bool) -> None:
    """Print which file holds what, and the commands that come next.

    Args:
        cfg: of the run.
        run: its folder.
        callbacks: of the run.
        stylizes: whether it trained a network that stylises.
    """
    run = relative(run)
    grids = sorted((run / "grids").glob("step_*.png"))
    log.info("the run is in %s", run)
    log.info("  curves.png, metrics.csv   losses of every logged step")
    if grids:
        log.info("  grids/%s    content, style and stylised images after the last step", grids[-1].name)
    log.info("  checkpoints/              best.ckpt, last.ckpt")
    log.info("  config.yaml, environment.json")
    for callback in callbacks:
        if isinstance(callback, SkippedFiles) and callback.count:
            log.info("  %s         %s and why", callback.path.name, counted(callback.count, "unreadable image"))
    looks = [f"python -m adain_lit.report {run}"]
    if "wandb" in (cfg.get("logger") or {}) and (run / "wandb").is_dir():
        looks.append(f"wandb leet {run / 'wandb'}")
    if "tensorboard" in (cfg.get("logger") or {}):
        looks.append(f"tensorboard --logdir {run}")
    log.info("look at it:   %s", "   or   ".join(looks))
    if stylizes:
        log.info("judge it:     python -m adain_lit.evaluate ckpt_path=%s", run)
        if "fusion" in cfg.model:
            log.info("stylise:      python -m adain_lit.stylize demo --style demo --grid --checkpoint %s", run)
