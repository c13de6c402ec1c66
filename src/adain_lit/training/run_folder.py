"""What a training leaves in its run folder beside the files of its loggers and callbacks."""

import logging
from collections.abc import Iterable
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from adain_lit.callbacks import SkippedFiles
from adain_lit.io.files import write_json
from adain_lit.runs.record import environment
from adain_lit.tasks import StyleTransferModule

log = logging.getLogger(__name__)


def write_settings(cfg: DictConfig, run: Path, module: L.LightningModule) -> None:
    """Write the resolved configuration, the packages and the machine, and warn of an untrained encoder."""
    OmegaConf.save(cfg, run / "config.yaml", resolve=True)
    write_json(environment(), run / "environment.json")
    if isinstance(module, StyleTransferModule) and cfg.model.encoder == "random":
        log.warning("the encoder has random weights: good to try things out, not to judge images by")


def report(run: Path, callbacks: Iterable[Callback]) -> None:
    """Print which file holds what."""
    grids = sorted((run / "grids").glob("step_*.png"))
    log.info("the run is in %s", run)
    log.info("  curves.png, metrics.csv   losses of every logged step")
    if grids:
        log.info("  grids/%s    content, style and stylised images after the last step", grids[-1].name)
    log.info("  checkpoints/              best.ckpt, last.ckpt")
    log.info("  config.yaml, environment.json")
    for callback in callbacks:
        if isinstance(callback, SkippedFiles) and callback.count:
            log.info("  %s         %d unreadable images and why", callback.path.name, callback.count)
