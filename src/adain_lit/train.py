"""``python -m adain_lit.train``: train one network, or many with ``-m``."""

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from omegaconf import DictConfig, OmegaConf

from adain_lit import processes, wandb_runs
from adain_lit.callbacks import AtomicCheckpointIO, Pruning, SkippedFiles, objective_value
from adain_lit.config import instantiate, is_multirun, last_checkpoint, run_command
from adain_lit.data.pairs import share
from adain_lit.devices import keep_freed_memory
from adain_lit.errors import InputError
from adain_lit.jobs import recording
from adain_lit.launch import launch
from adain_lit.metrics_file import MetricsFile, last_validation
from adain_lit.overrides import MAY_CHANGE
from adain_lit.run_record import environment, plot_curves, write_json
from adain_lit.runs.rows import read_rows
from adain_lit.state_files import read_checkpoint
from adain_lit.tasks import StyleTransferModule

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
    if not is_multirun():
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
    checkpoint = _checkpoint(cfg, run)
    wandb_runs.name_run(cfg, checkpoint)
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    with wandb_runs.closing(cfg) as loggers:
        data = instantiate(cfg.data, "data")
        data.prepare_data()
        data.setup("fit")  # now, so that a missing folder ends the run before anything is written
        module = instantiate(cfg.model, "model")
        if checkpoint:
            _require_same(checkpoint, module, data)
            _carry_over_log(checkpoint, run)
        callbacks = {name: instantiate(node, f"callbacks.{name}") for name, node in cfg.callbacks.items()}
        loggers += _loggers(cfg, run)
        trainer = _trainer(cfg, list(callbacks.values()), loggers)
        share(data.hparams.get("batch_size", 0), trainer.world_size)  # or an error, before any process starts
        if trainer.world_size > processes.world_size() and _starts_processes(trainer):
            launch(trainer.world_size, run)
            return []
        if isinstance(module, StyleTransferModule) and cfg.model.encoder == "random" and trainer.is_global_zero:
            log.warning("the encoder has random weights: good to try things out, not to judge pictures by")
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


def _trainer(cfg: DictConfig, callbacks: list[Any], loggers: list[Logger]) -> L.Trainer:
    """Build the trainer.

    Raises:
        InputError: for a multirun whose strategy starts processes of its own, each of which would run the sweep again;
            and where torchrun or srun has started another number of processes than the trainer is to use.
    """
    trainer: L.Trainer = instantiate(
        cfg.trainer, "trainer", callbacks=callbacks, logger=loggers, plugins=[AtomicCheckpointIO()]
    )
    if is_multirun() and _starts_processes(trainer):
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


def _starts_processes(trainer: L.Trainer) -> bool:
    """Whether the strategy is one that runs the command again for every further device."""
    return isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


def _checkpoint(cfg: DictConfig, run: Path) -> Path | None:
    """The checkpoint to go on from."""
    if processes.queued_again() and last_checkpoint(run).is_file():
        return last_checkpoint(run)
    if cfg.resume is not None and cfg.ckpt_path is not None:
        raise InputError("resume and ckpt_path are both set; give one of them")
    if cfg.resume is not None:
        if is_multirun():
            raise InputError("resume goes on with one run; leave it out, the same command goes on with a sweep")
        return last_checkpoint(run)
    if is_multirun() and last_checkpoint(run).is_file():
        return last_checkpoint(run)
    if cfg.ckpt_path is None:
        return None
    path = Path(cfg.ckpt_path)
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; give the path of a .ckpt file of a run")
    return path


def _require_same(checkpoint: Path, module: L.LightningModule, data: L.LightningDataModule) -> None:
    """Refuse to go on under settings with which the checkpoint was not trained."""
    saved = read_checkpoint(checkpoint)
    for what, asked in (("hyper_parameters", module.hparams), ("datamodule_hyper_parameters", data.hparams)):
        group = "model" if what == "hyper_parameters" else "data"
        for name, value in saved[what].items():
            if name not in MAY_CHANGE and asked.get(name) != value:
                raise InputError(
                    f"{checkpoint} was trained with {group}.{name}={value}, this run asks for {asked.get(name)}; "
                    f"set {group}.{name}={value} to go on with it"
                )


def _carry_over_log(checkpoint: Path, run: Path) -> None:
    """Begin the log of a new folder with the steps before the checkpoint, so that its curves are whole."""
    source = checkpoint.parents[1] / "metrics.csv"
    if (run / "metrics.csv").exists() or not source.is_file():
        return
    step = read_checkpoint(checkpoint)["global_step"]
    history = MetricsFile(run / "metrics.csv")
    for row in read_rows(source)[1]:
        if int(row["step"]) <= step:
            history.log_metrics({k: float(v) for k, v in row.items() if k != "step"}, int(row["step"]))
    history.save()


def _loggers(cfg: DictConfig, run: Path) -> list[Logger]:
    """The loggers that were chosen, and the CSV file in any case."""
    loggers = wandb_runs.chosen_loggers(cfg)
    if not any(isinstance(logger, MetricsFile) for logger in loggers):
        loggers.insert(0, MetricsFile(run / "metrics.csv"))
    return loggers


def _report(run: Path, skipped: list[SkippedFiles]) -> None:
    """Say what lies where."""
    grids = sorted((run / "grids").glob("step_*.png"))
    log.info("the run is in %s", run)
    log.info("  curves.png, metrics.csv   losses of every logged step")
    if grids:
        log.info("  grids/%s    content, style and stylised pictures after the last step", grids[-1].name)
    log.info("  checkpoints/              best.ckpt, last.ckpt")
    log.info("  config.yaml, environment.json")
    for callback in skipped:
        if callback.count:
            log.info("  %s         %d unreadable pictures and why", callback.path.name, callback.count)


if __name__ == "__main__":
    main()
