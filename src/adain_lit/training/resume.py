"""Resume a run: from which checkpoint, and under which settings."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

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


class Saved(NamedTuple):
    """A checkpoint to resume from, read once.

    Attributes:
        path: of the file.
        state: what Lightning saved, with all tensors on the CPU.
    """

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """The optimiser step after which it was saved."""
        return int(self.state["global_step"])


def find_checkpoint(cfg: DictConfig, run: Path) -> Saved | None:
    """The checkpoint to resume from; None for a new training.

    Raises:
        InputError: if `resume` and `ckpt_path` exclude each other or do not fit a sweep, if there is no such file, if
            it is damaged, or if no checkpoint of the run to resume is whole.
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
    return Saved(path, read_checkpoint(path))


def newest_whole(run: Path) -> Saved:
    """``last.ckpt`` of a run or, if it is damaged or missing, the newest of its whole checkpoints.

    Raises:
        InputError: if there is none.
    """
    last = last_checkpoint(run)
    try:
        return Saved(last, read_checkpoint(last))
    except InputError as error:
        reason = str(error)
    newest: Saved | None = None
    for path in checkpoints_of(run):
        with suppress(InputError):
            saved = Saved(path, read_checkpoint(path))
            if newest is None or saved.step > newest.step:
                newest = saved
    if newest is None:
        raise InputError(f"{reason}; no other checkpoint of {run} is whole, train it anew")
    if processes.rank() == 0:
        log.warning("%s; resuming from %s, step %d", reason.partition("; ")[0], newest.path.name, newest.step)
    return newest


def require_same_settings(saved: Saved, module: L.LightningModule, data: L.LightningDataModule) -> None:
    """Refuse to resume under settings other than those of the checkpoint, naming all that differ."""
    differing = []
    for what, asked in (("hyper_parameters", module.hparams), ("datamodule_hyper_parameters", data.hparams)):
        group = "model" if what == "hyper_parameters" else "data"
        differing += [
            (f"{group}.{name}", value, asked.get(name))
            for name, value in saved.state[what].items()
            if name not in MAY_CHANGE and asked.get(name) != value
        ]
    if differing:
        trained = " ".join(f"{key}={value}" for key, value, _ in differing)
        asks = " ".join(f"{key}={value}" for key, _, value in differing)
        raise InputError(
            f"{saved.path} was trained with {trained}; this run asks for {asks}; give the former to resume from it"
        )


def carry_over_log(saved: Saved, run: Path) -> None:
    r"""Copy the log up to the checkpoint into a new run folder, so that its curves begin at step 1.

    Example:
        >>> import tempfile
        >>> old, new = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (old / "metrics.csv").write_text("step,train/loss\n5,2.0\n6,1.0\n")
        >>> carry_over_log(Saved(old / "checkpoints" / "last.ckpt", {"global_step": 5}), new)
        >>> (new / "metrics.csv").read_text().split()
        ['step,train/loss', '5,2.0']
    """
    source = saved.path.parents[1] / "metrics.csv"
    if (run / "metrics.csv").exists() or not source.is_file():
        return
    history = MetricsFile(run / "metrics.csv")
    for row in read_rows(source)[1]:
        if int(row["step"]) <= saved.step:
            history.log_metrics({k: float(v) for k, v in row.items() if k != "step"}, int(row["step"]))
    history.save()
