"""Build the data module, the callbacks, the loggers and the Lightning trainer from the configuration."""

import logging
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from omegaconf import DictConfig

from adain_lit.callbacks import AtomicCheckpointIO
from adain_lit.config.hydra import in_sweep
from adain_lit.config.instantiate import instantiate
from adain_lit.data.pairs import per_process
from adain_lit.devices import choose_device, multiplies_bfloat16, slow_bfloat16
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.loggers import wandb as wandb_runs
from adain_lit.loggers.csv import MetricsFile
from adain_lit.training.resume import Saved

log = logging.getLogger(__name__)


def build_data(cfg: DictConfig) -> L.LightningDataModule:
    """Build the data module and read its folders, so that a missing one ends the run before anything is written."""
    data: L.LightningDataModule = instantiate(cfg.data, "data")
    data.prepare_data()
    data.setup("fit")
    return data


def build_callbacks(cfg: DictConfig) -> list[Callback]:
    """Build the callbacks in the order of the configuration.

    Example:
        >>> from omegaconf import OmegaConf
        >>> node = {"_target_": "adain_lit.callbacks.TrainingProgress", "refresh_every_n_steps": 5}
        >>> [callback] = build_callbacks(OmegaConf.create({"callbacks": {"progress": node}}))
        >>> callback.refresh_every_n_steps
        5
    """
    return [instantiate(node, f"callbacks.{name}") for name, node in cfg.callbacks.items()]


def build_trainer(
    cfg: DictConfig,
    callbacks: list[Callback],
    loggers: list[Logger],
    data: L.LightningDataModule,
    saved: Saved | None = None,
) -> L.Trainer:
    """Build the trainer.

    Args:
        cfg: the configuration.
        callbacks: of the run.
        loggers: of the run.
        data: the data module.
        saved: the checkpoint that the run is to be resumed from; it is not read again.

    Raises:
        InputError: for a job of a sweep whose strategy starts processes of its own; if torchrun or srun has started
            another number of processes than the trainer is to use; and if these cannot share the batches of `data`.
    """
    trainer: L.Trainer = instantiate(
        cfg.trainer,
        "trainer",
        precision=trainer_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        callbacks=callbacks,
        logger=loggers,
        plugins=[AtomicCheckpointIO({saved.path: saved.state} if saved else {})],
    )
    if in_sweep() and _runs_the_command_again(trainer):
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
    per_process(data.hparams.get("batch_size", 0), trainer.world_size)
    return trainer


def trainer_precision(precision: str, accelerator: str) -> str:
    """The precision that Lightning is given; ``auto`` is ``bf16-mixed`` where the device multiplies bfloat16.

    Logs one line if bfloat16 is asked for on a CPU that is slower with it.

    Args:
        precision: ``trainer.precision``: ``auto`` or one of Lightning's.
        accelerator: ``trainer.accelerator``.

    Example:
        >>> trainer_precision("32-true", "cpu")
        '32-true'
    """
    device = None  # of accelerators that torch alone does not know
    if accelerator in ("auto", "gpu", "cpu", "cuda", "mps"):
        device = choose_device(None if accelerator in ("auto", "gpu") else accelerator)
    if precision == "auto":
        found = "bf16-mixed" if device is not None and multiplies_bfloat16(device) else "32-true"
        log.info("precision: %s", found)
        return found
    if device is not None and str(precision).startswith("bf16") and (line := slow_bfloat16(device)):
        log.warning("trainer.precision=%s: %s (trainer.precision=auto chooses)", precision, line)
    return precision


def needs_processes(trainer: L.Trainer) -> bool:
    """Whether the command has to be started once more for every device, since neither torchrun nor srun has done so."""
    return trainer.world_size > processes.world_size() and _runs_the_command_again(trainer)


def _runs_the_command_again(trainer: L.Trainer) -> bool:
    """Whether the strategy is one that runs the command again for every further device.

    Lightning has no public word for it; the tests name the class that this needs.
    """
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def build_loggers(cfg: DictConfig, run: Path) -> list[Logger]:
    """Build the loggers that the configuration names, and the CSV file in any case."""
    loggers = wandb_runs.chosen_loggers(cfg)
    if not any(isinstance(logger, MetricsFile) for logger in loggers):
        loggers.insert(0, MetricsFile(run / "metrics.csv"))
    return loggers
