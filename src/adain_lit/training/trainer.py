"""Build the Lightning trainer and its loggers."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from omegaconf import DictConfig

from adain_lit.callbacks import AtomicCheckpointIO
from adain_lit.config.hydra import in_sweep
from adain_lit.config.instantiate import instantiate
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.loggers import wandb as wandb_runs
from adain_lit.loggers.csv import MetricsFile


def build_trainer(cfg: DictConfig, callbacks: list[Any], loggers: list[Logger]) -> L.Trainer:
    """Build the trainer.

    Raises:
        InputError: for a multirun whose strategy starts processes of its own, each of which would run the sweep again;
            and where torchrun or srun has started another number of processes than the trainer is to use.
    """
    trainer: L.Trainer = instantiate(
        cfg.trainer, "trainer", callbacks=callbacks, logger=loggers, plugins=[AtomicCheckpointIO()]
    )
    if in_sweep() and starts_processes(trainer):
        raise InputError(
            f"-m with {trainer.num_devices} devices for each run would start the sweep again in every process; "
            "give each run one device (trainer.devices=1) and run them side by side (launcher=local_gpus), or train "
            "one run on several devices, without -m (torchrun)"
        )
    started = processes.world_size()
    if started != trainer.world_size and (started > 1 or trainer.num_nodes > 1):
        raise InputError(
            f"the trainer is to use {trainer.num_devices} devices on each of {trainer.num_nodes} machines, but "
            f"torchrun or srun has started {started} processes; trainer=multinode takes the numbers from them"
        )
    return trainer


def starts_processes(trainer: L.Trainer) -> bool:
    """Whether the strategy is one that runs the command again for every further device."""
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def build_loggers(cfg: DictConfig, run: Path) -> list[Logger]:
    """The loggers that were chosen, and the CSV file in any case."""
    loggers = wandb_runs.chosen_loggers(cfg)
    if not any(isinstance(logger, MetricsFile) for logger in loggers):
        loggers.insert(0, MetricsFile(run / "metrics.csv"))
    return loggers
