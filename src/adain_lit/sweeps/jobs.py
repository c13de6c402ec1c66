"""The jobs of a sweep: their folders, how they ended, and which are still to be done."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from adain_lit.config.messages import one_line
from adain_lit.config.overrides import of_the_training, quoted
from adain_lit.config.paths import last_checkpoint
from adain_lit.errors import InputError
from adain_lit.io.files import write_json
from adain_lit.loggers.wandb import write_failed
from adain_lit.runs.lock import only_process
from adain_lit.runs.settings import read_settings

DONE = ("finished", "pruned")


@dataclass
class Record:
    """How a job ended; ``job.json`` in its folder.

    `status` is ``running``, ``finished``, ``pruned``, ``failed`` or ``interrupted``; `seconds` counts all attempts;
    `objective` is what a sweeper minimises; `error` is one line.

    Example:
        >>> Record("finished", seconds=12.5, objective=0.3)
        Record(status='finished', seconds=12.5, objective=0.3, error=None)
    """

    status: str
    seconds: float = 0.0
    objective: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Job:
    """One training of a sweep.

    Attributes:
        name: of the run.
        folder: of the run.
        overrides: all that the command sets for it, ``KEY=VALUE`` each.
        swept: those of them that differ from job to job.
        settings: what makes the training what it is, see `of_the_training`.
        unwritten: why it failed, where its folder takes no record of it, as on a full disk.

    Example:
        >>> job = Job("adain", Path("sweep/seed=0"), ("seed=0",), {"seed": "0"}, {"seed": 0})
        >>> job.status, job.arguments
        ('not begun', ['seed=0', "hydra.sweep.dir='sweep'", "hydra.sweep.subdir='seed=0'"])
    """

    name: str
    folder: Path
    overrides: tuple[str, ...]
    swept: Mapping[str, str]
    settings: Mapping[str, Any]
    unwritten: list[str] = field(default_factory=list, compare=False)

    @property
    def record(self) -> Record | None:
        """The record in its folder; None if it was never begun."""
        return read_record(self.folder)

    @property
    def status(self) -> str:
        """How it ended, provided that no process works on it any more."""
        record = self.record
        if self.unwritten:
            return "failed"
        if record is None:
            return "not begun"
        return "died" if record.status == "running" else record.status

    @property
    def arguments(self) -> list[str]:
        """Its overrides for a launcher, with its folder."""
        folders = {"hydra.sweep.dir": str(self.folder.parent), "hydra.sweep.subdir": self.folder.name}
        return [
            *self.overrides,
            *(f"{key}={quoted(value)}" for key, value in folders.items()),
        ]

    def is_done(self) -> bool:
        """Whether nothing is left to do.

        Raises:
            InputError: if the folder holds another training, or if a process is at work in it.
        """
        record = self.record
        if record is None:
            return False
        if record.status in DONE or last_checkpoint(self.folder).is_file():
            self._require_same_settings()
        with only_process(self.folder):
            return record.status in DONE

    def _require_same_settings(self) -> None:
        """Refuse a folder whose training had other settings, given or default ones that have changed since."""
        found = of_the_training(self._config())
        keys = sorted(key for key in found.keys() | self.settings if found.get(key) != self.settings.get(key))
        if not keys:
            return
        shown = [f"{key}={found.get(key)}, now {self.settings.get(key)}" for key in keys[:3]]
        more = f"; and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise InputError(
            f"{self.folder} holds a training with other settings ({'; '.join(shown)}{more}); "
            "give another sweep=NAME, or remove that folder"
        )

    def conclude(self, before: Record | None, error: BaseException) -> None:
        """Mark the job as failed if its own process could not (killed, or crashed before training).

        Args:
            before: the record when the process was started.
            error: the reason that the launcher knows.
        """
        record = self.record
        if record is not None and record != before and record.status != "running":
            return  # by its own process
        self.folder.mkdir(parents=True, exist_ok=True)
        with suppress(InputError), only_process(self.folder):  # unless another process is at work there
            failed = Record("failed", record.seconds if record else 0.0, error=described(error))
            try:
                _write(failed, self.folder)
            except OSError:
                self.unwritten.append(described(error))
            if record is not None and record.status == "running" and (self.folder / "config.yaml").is_file():
                write_failed(self._config())  # its W&B run is still open

    def _config(self) -> DictConfig:
        return read_settings(self.folder / "config.yaml")


def read_record(folder: Path) -> Record | None:
    """The record of a job, None if it was never begun.

    Example:
        >>> read_record(Path("no such folder")) is None
        True
    """
    path = folder / "job.json"
    try:
        return Record(**json.loads(path.read_text("utf-8"))) if path.is_file() else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({' '.join(str(error).split()):.100}); remove it") from error


@contextmanager
def recording(folder: Path) -> Iterator[Record]:
    """Keep the record of a job while it runs, and write how it ended.

    Args:
        folder: of the run.

    Yields:
        The record, which takes the objective and may be given the status ``pruned``.

    Raises:
        InputError: if another process is at work in the folder.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with recording(folder) as record:
        ...     record.objective = 0.3
        >>> read_record(folder).status, read_record(folder).objective
        ('finished', 0.3)
    """
    before = read_record(folder)
    record = Record("running", before.seconds if before else 0.0)
    with only_process(folder):
        begun = time.monotonic()
        _write(record, folder)
        try:
            yield record
            record.status = "finished" if record.status == "running" else record.status
        except Exception as error:
            record.status = "failed"
            record.error = described(error)
            raise
        except BaseException:  # a signal, in one way or another
            record.status = "interrupted"
            raise
        finally:
            record.seconds += time.monotonic() - begun
            failed = record.status in ("failed", "interrupted")
            with suppress(OSError) if failed else nullcontext():  # a full disk must not hide its own reason
                _write(record, folder)


def described(error: BaseException) -> str:
    """An error in one line.

    Example:
        >>> described(InputError("no image a.jpg")), described(ZeroDivisionError("division by zero"))
        ('no image a.jpg', 'ZeroDivisionError: division by zero')
    """
    return one_line(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"


def _write(record: Record, folder: Path) -> None:
    objective = record.objective
    finite = objective is not None and math.isfinite(objective)
    write_json(asdict(record) | {"objective": objective if finite else None}, folder / "job.json")
