"""``python -m adain_lit.train``: train one network, or many with ``-m``."""

import adain_lit.cli  # noqa: F401  # before torch

# isort: split
import logging
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from adain_lit.callbacks import Pruning, SkippedFiles, objective_value
from adain_lit.config.hydra import in_sweep, run_command
from adain_lit.config.instantiate import instantiate
from adain_lit.data.pairs import per_process
from adain_lit.devices import keep_freed_memory
from adain_lit.distributed import processes
from adain_lit.distributed.launch import launch
from adain_lit.io.files import write_json
from adain_lit.loggers import wandb as wandb_runs
from adain_lit.loggers.csv import last_validation
from adain_lit.reports.curves import plot_curves
from adain_lit.runs.record import environment
from adain_lit.sweeps.jobs import recording
from adain_lit.tasks import StyleTransferModule
from adain_lit.training.resume import carry_over_log, find_checkpoint, require_same_settings
from adain_lit.training.trainer import build_loggers, build_trainer, starts_processes

log = logging.getLogger(__name__)


def main() -> None:
    """Command line entry point."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)  # its notes on defaults, and an advertisement
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.")  # about torch, not about the run
    keep_freed_memory()
    run_command(train, "train")


def train(cfg: DictConfig) -> float | None:
    """Run the training that `cfg` describes in Hydra's output folder.

    Returns:
        In a sweep what it minimises, of the last validation.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    if not in_sweep():
        _train(cfg, run)
        return None
    with recording(run) as job:
        callbacks = _train(cfg, run)
        job.objective = objective_value(cfg.objective, last_validation(run / "metrics.csv"))
        if any(isinstance(callback, Pruning) and callback.pruned for callback in callbacks):
            job.status = "pruned"
    return job.objective


def _train(cfg: DictConfig, run: Path) -> list[Any]:
    """Train, and leave in the folder `run` what a person looks for; the callbacks."""
    checkpoint = find_checkpoint(cfg, run)
    wandb_runs.name_run(cfg, checkpoint)
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    with wandb_runs.closing(cfg) as loggers:
        data = instantiate(cfg.data, "data")
        data.prepare_data()
        data.setup("fit")  # now, so that a missing folder ends the run before anything is written
        module = instantiate(cfg.model, "model")
        if checkpoint:
            require_same_settings(checkpoint, module, data)
            carry_over_log(checkpoint, run)
        callbacks = {name: instantiate(node, f"callbacks.{name}") for name, node in cfg.callbacks.items()}
        loggers += build_loggers(cfg, run)
        trainer = build_trainer(cfg, list(callbacks.values()), loggers)
        per_process(data.hparams.get("batch_size", 0), trainer.world_size)  # or an error, before any process starts
        if trainer.world_size > processes.world_size() and starts_processes(trainer):
            launch(trainer.world_size, run)
            return []
        if isinstance(module, StyleTransferModule) and cfg.model.encoder == "random" and trainer.is_global_zero:
            log.warning("the encoder has random weights: good to try things out, not to judge images by")
        if trainer.is_global_zero:
            OmegaConf.save(cfg, run / "config.yaml", resolve=True)
            write_json(environment(), run / "environment.json")
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        for logger in loggers:
            logger.log_hyperparams(settings)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        finally:
            if trainer.is_global_zero and (run / "metrics.csv").is_file():
                plot_curves(run / "metrics.csv", run / "curves.png", title=cfg.name)
    if trainer.is_global_zero:
        _report(run, [c for c in callbacks.values() if isinstance(c, SkippedFiles)])
    return list(callbacks.values())


def _report(run: Path, skipped: list[SkippedFiles]) -> None:
    """Say what lies where."""
    grids = sorted((run / "grids").glob("step_*.png"))
    log.info("the run is in %s", run)
    log.info("  curves.png, metrics.csv   losses of every logged step")
    if grids:
        log.info("  grids/%s    content, style and stylised images after the last step", grids[-1].name)
    log.info("  checkpoints/              best.ckpt, last.ckpt")
    log.info("  config.yaml, environment.json")
    for callback in skipped:
        if callback.count:
            log.info("  %s         %d unreadable images and why", callback.path.name, callback.count)


if __name__ == "__main__":
    main()
