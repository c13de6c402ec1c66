"""``python -m adain_lit.train``: train one network, or many with ``-m``."""

from adain_lit import cli  # before torch

if __name__ == "__main__":  # before the imports below, which take seconds: a command line is checked without them
    cli.train()
    raise SystemExit

import logging
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf

from adain_lit.callbacks import Pruning, objective_value
from adain_lit.config.hydra import in_sweep
from adain_lit.config.instantiate import instantiate
from adain_lit.devices import keep_freed_memory
from adain_lit.distributed import processes
from adain_lit.distributed.launch import launch
from adain_lit.loggers import tensorboard
from adain_lit.loggers import wandb as wandb_runs
from adain_lit.loggers.csv import last_validation
from adain_lit.reports.curves import plot_curves
from adain_lit.runs.lock import only_process
from adain_lit.sweeps.jobs import recording
from adain_lit.training.arguments import record
from adain_lit.training.resume import carry_over_log, find_checkpoint, require_same_settings
from adain_lit.training.run_folder import add_time, announce, report, write_settings
from adain_lit.training.trainer import build_callbacks, build_data, build_loggers, build_trainer, needs_processes


def main() -> None:
    """Command line entry point."""
    cli.train()


def train(cfg: DictConfig) -> float | None:
    """Run the training that `cfg` describes in Hydra's output folder.

    Returns:
        The objective of a job of a sweep, from its last validation; None for a run of its own.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # its notes on defaults, and an advertisement
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.")  # about torch, not about the run
    # about values that every process has averaged over all of them already
    warnings.filterwarnings("ignore", message=".*sync_dist=True")
    keep_freed_memory()
    run = Path(HydraConfig.get().runtime.output_dir)
    if not in_sweep():
        run_training(cfg, run)
        return None
    with recording(run) as job:
        callbacks = run_training(cfg, run)
        job.objective = objective_value(cfg.objective, last_validation(run / "metrics.csv"))
        if any(isinstance(callback, Pruning) and callback.pruned for callback in callbacks):
            job.status = "pruned"
    return job.objective


def run_training(cfg: DictConfig, run: Path) -> list[Callback]:
    """Train into the folder `run`; the callbacks of the training."""
    with ExitStack() as lock:
        if processes.rank() == 0 and not in_sweep():  # a job's folder is locked already
            lock.enter_context(only_process(run))
        return _run_training(cfg, run, lock)


def _run_training(cfg: DictConfig, run: Path, lock: ExitStack) -> list[Callback]:
    saved = find_checkpoint(cfg, run)
    checkpoint = saved.path if saved else None
    wandb_runs.name_run(cfg, checkpoint)
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    with wandb_runs.closing(cfg) as loggers:
        data = build_data(cfg)
        module: L.LightningModule = instantiate(cfg.model, "model")
        if saved:
            require_same_settings(saved, module, data)
            carry_over_log(saved, run)
        callbacks = build_callbacks(cfg)
        loggers += build_loggers(cfg, run)
        trainer = build_trainer(cfg, callbacks, loggers, data, saved)
        if needs_processes(trainer):
            lock.close()  # process 0 of those takes it
            launch(trainer.world_size, run)
            return []
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        for logger in loggers:
            logger.log_hyperparams(settings)
        if trainer.is_global_zero:
            write_settings(cfg, run, module, data)
            record(run)
            announce(cfg, trainer, data, saved)
        saved = None  # the trainer has it, and lets it go once it is restored
        begun = time.monotonic()
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        finally:
            if trainer.is_global_zero:
                add_time(run, time.monotonic() - begun)
            if trainer.is_global_zero and (run / "metrics.csv").is_file():
                plot_curves(run / "metrics.csv", run / "curves.png", title=cfg.name)
        if trainer.is_global_zero:
            tensorboard.log_results(loggers, settings, last_validation(run / "metrics.csv"), trainer.global_step)
    if trainer.is_global_zero:
        report(cfg, run, callbacks, stylizes=getattr(module, "stylizes", True))
    return callbacks
