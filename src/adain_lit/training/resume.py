"""Resume a run: from which checkpoint, and under which settings."""

import logging
from pathlib import Path

import lightning as L
from omegaconf import DictConfig

from adain_lit.config.hydra import in_sweep
from adain_lit.config.overrides import MAY_CHANGE
from adain_lit.config.paths import checkpoints_of, last_checkpoint
from adain_lit.distributed import processes
from adain_lit.errors import InputError
from adain_lit.loggers.csv import MetricsFile
from adain_lit.runs.rows import read_rows
from adain_lit.weights.files import read_checkpoint

log = logging.getLogger(__name__)


def find_checkpoint(cfg: DictConfig, run: Path) -> Path | None:
    """The checkpoint to resume from; None for a new training.

    Raises:
        InputError: if `resume` and `ckpt_path` exclude each other or do not fit a sweep, if there is no such file, or
            if no checkpoint of the run to resume is whole.
    """
    if processes.queued_again() and checkpoints_of(run):
        return newest_whole(run)
    if cfg.resume is not None and cfg.ckpt_path is not None:
        raise InputError("resume and ckpt_path are both set; give one of them")
    if cfg.resume is not None:
        if in_sweep():
            raise InputError("resume continues one run; leave it out, the same command continues a sweep")
        return newest_whole(run)
    if in_sweep() and checkpoints_of(run):
        return newest_whole(run)
    if cfg.ckpt_path is None:
        return None
    path = Path(cfg.ckpt_path)
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; give the path of a .ckpt file of a run")
    return path


def newest_whole(run: Path) -> Path:
    """``last.ckpt`` of a run or, if it is damaged or missing, the newest of its whole checkpoints.

    Raises:
        InputError: if there is none.
    """
    last = last_checkpoint(run)
    try:
        read_checkpoint(last)
    except InputError as error:
        reason = str(error)
    else:
        return last
    steps: dict[Path, int] = {}
    for path in checkpoints_of(run):
        try:
            steps[path] = read_checkpoint(path)["global_step"]
        except InputError:
            continue
    if not steps:
        raise InputError(f"{reason}; no other checkpoint of {run} is whole, train it anew")
    newest = max(steps, key=lambda path: steps[path])
    if processes.rank() == 0:
        log.warning("%s; resuming from %s, step %d", reason.partition("; ")[0], newest.name, steps[newest])
    return newest


def require_same_settings(checkpoint: Path, module: L.LightningModule, data: L.LightningDataModule) -> None:
    """Refuse to resume under settings other than those of the checkpoint, naming all that differ."""
    saved = read_checkpoint(checkpoint)
    differing = []
    for what, asked in (("hyper_parameters", module.hparams), ("datamodule_hyper_parameters", data.hparams)):
        group = "model" if what == "hyper_parameters" else "data"
        differing += [
            (f"{group}.{name}", value, asked.get(name))
            for name, value in saved[what].items()
            if name not in MAY_CHANGE and asked.get(name) != value
        ]
    if differing:
        trained = " ".join(f"{key}={value}" for key, value, _ in differing)
        asks = " ".join(f"{key}={value}" for key, _, value in differing)
        raise InputError(
            f"{checkpoint} was trained with {trained}; this run asks for {asks}; give the former to resume from it"
        )


def carry_over_log(checkpoint: Path, run: Path) -> None:
    r"""Copy the log up to the checkpoint into a new run folder, so that its curves begin at step 1.

    Example:
        >>> import tempfile, torch
        >>> old, new = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> (old / "checkpoints").mkdir()
        >>> torch.save({"global_step": 5, "encoder": {}}, old / "checkpoints" / "last.ckpt")
        >>> _ = (old / "metrics.csv").write_text("step,train/loss\n5,2.0\n6,1.0\n")
        >>> carry_over_log(old / "checkpoints" / "last.ckpt", new)
        >>> (new / "metrics.csv").read_text().split()
        ['step,train/loss', '5,2.0']
    """
    source = checkpoint.parents[1] / "metrics.csv"
    if (run / "metrics.csv").exists() or not source.is_file():
        return
    step = read_checkpoint(checkpoint)["global_step"]
    history = MetricsFile(run / "metrics.csv")
    for row in read_rows(source)[1]:
        if int(row["step"]) <= step:
            history.log_metrics({k: float(v) for k, v in row.items() if k != "step"}, int(row["step"]))
    history.save()
