"""The W&B run of a training: its id and group, and that it is closed however the training ends."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger, WandbLogger
from omegaconf import DictConfig, OmegaConf

from adain_lit.config.hydra import in_sweep
from adain_lit.config.instantiate import instantiate
from adain_lit.loggers.csv import attempt
from adain_lit.runs.settings import read_settings


def name_run(cfg: DictConfig, checkpoint: Path | None) -> None:
    """Choose id and group: a resumed run keeps its id, the jobs of a sweep are one group."""
    saved = checkpoint.parents[1] / "config.yaml" if checkpoint else None
    if cfg.wandb_id is None and saved is not None and saved.is_file():
        cfg.wandb_id = OmegaConf.select(read_settings(saved), "wandb_id")
    cfg.wandb_id = cfg.wandb_id or secrets.token_hex(4)
    if cfg.group is None and in_sweep():
        cfg.group = Path(HydraConfig.get().sweep.dir).name


def chosen_loggers(cfg: DictConfig) -> list[Logger]:
    """Build the loggers that a configuration names. W&B begins its run when something is logged, not now.

    The W&B run of a sweep's job is named after its folder, which tells it from the others, unless it is given a name.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # it waits for a network that may not be there
    os.environ.setdefault("WANDB_SILENT", "true")
    chosen: dict[str, DictConfig] = dict(cfg.get("logger") or {})
    for key, node in chosen.items():
        if key == "wandb" and in_sweep() and node.name == cfg.name:
            # jobs of one experiment share its name
            chosen[key] = OmegaConf.merge(node, {"name": Path(node.save_dir).name})  # type: ignore[assignment]
    loggers: list[Logger] = [instantiate(node, f"logger.{name}") for name, node in chosen.items()]
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            # Lightning passes this setting as None, and wandb warns that it has no effect.
            logger._wandb_init.pop("anonymous", None)
    return loggers


@contextmanager
def closing(cfg: DictConfig) -> Iterator[list[Logger]]:
    """Close the W&B run with the training, as failed if it failed, so that the next job of a sweep has its own.

    A job of a sweep that fails before it has begun its run gets one that says so.

    Yields:
        A list to put the loggers of the training into.
    """
    loggers: list[Logger] = []
    status = 1
    try:
        yield loggers
        status = 0
    except Exception:
        if in_sweep() and not _begun():
            write_failed(cfg)
        raise
    finally:
        _close(loggers, status)


def write_failed(cfg: DictConfig) -> None:
    """Close the W&B run of a training as failed if its own process could not, or never began it.

    Args:
        cfg: the configuration of the training; with the id of a run that was never closed it is that run.
    """
    loggers = [logger for logger in chosen_loggers(cfg) if isinstance(logger, WandbLogger)]
    for logger in loggers:
        attempt(logger, partial(_log_settings, logger, cfg))
    _close(loggers, exit_code=1)


def _log_settings(logger: WandbLogger, cfg: DictConfig) -> None:
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    logger.log_hyperparams(settings)


def _close(loggers: list[Logger] | list[WandbLogger], exit_code: int) -> None:
    for logger in loggers:
        if isinstance(logger, WandbLogger) and _begun():
            attempt(logger, partial(logger.experiment.finish, exit_code=exit_code))


def _begun() -> bool:
    """Whether this process has a W&B run; wandb itself takes a second to import."""
    wandb = sys.modules.get("wandb")
    return wandb is not None and wandb.run is not None
