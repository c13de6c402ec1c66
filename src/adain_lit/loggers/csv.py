"""The log of a run as one CSV file that stays correct when a run is interrupted and resumed."""

import csv
import logging
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import Logger as FabricLogger
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from adain_lit.io.files import naming, write_atomically
from adain_lit.runs.rows import Row, read_rows

log = logging.getLogger(__name__)

AnyLogger = Logger | FabricLogger
_reported: set[int] = set()


class MetricsFile(Logger):
    r"""Writes ``metrics.csv``: a row for each step that was logged, a column for each value.

    Values of one step share a row. Steps only go forward: a value for an earlier step than the last row's means that
    the run was resumed from before it, so the rows from there on never happened and are dropped.

    Args:
        path: the CSV file; an existing one is appended to.

    Example:
        >>> import tempfile
        >>> log_file = MetricsFile(Path(tempfile.mkdtemp(), "metrics.csv"))
        >>> log_file.log_metrics({"train/loss": 2.0}, step=10)
        >>> log_file.log_metrics({"val/loss": 3.0}, step=10)
        >>> log_file.save()
        >>> log_file.path.read_text()
        'step,train/loss,val/loss\n10,2.0,3.0\n'
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._columns, self._rows = read_rows(self.path)
        # rows that the file holds as they are here; a half one at its end would run into the next
        self._written = len(self._rows) if not self._rows or self.path.read_bytes().endswith(b"\n") else -1
        self._resumed = bool(self._rows)

    @property
    def name(self) -> str:
        """Name of the logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """A run folder holds one version."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds the whole configuration."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Put values into the row of `step`."""
        step = 0 if step is None else step
        last = _step(self._rows[-1]) if self._rows else -1
        if step < last or (step == last and self._resumed):
            self._rows = [row for row in self._rows if _step(row) < step]
            self._written = -1
            last = -1
        self._resumed = False
        new = [name for name in metrics if name not in self._columns]
        if new:
            self._columns += new
            self._written = -1
        if step == last:
            if self._written == len(self._rows):
                self._written = -1
        else:
            self.save()
            self._rows.append({"step": str(step)})
        self._rows[-1] |= {name: repr(float(value)) for name, value in metrics.items()}

    @rank_zero_only
    def save(self) -> None:
        """Append the new rows to the file, or rewrite it if older rows changed."""
        if self._written < 0 or not self.path.is_file():
            write_atomically(self.path, self._write)
        else:
            with naming(self.path), self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerows(self._rows[self._written :])
        self._written = len(self._rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the remaining rows."""
        self.save()

    def _write(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)


def log_everywhere(loggers: Iterable[AnyLogger], values: Mapping[str, float], step: int) -> None:
    """Pass values to every logger under the index of an optimiser step.

    A logger other than `MetricsFile` that fails (a service that died, a full quota) is reported once and does not end
    the training; the file holds the values in any case.

    Example:
        >>> import tempfile
        >>> file = MetricsFile(Path(tempfile.mkdtemp(), "metrics.csv"))
        >>> log_everywhere([file], {"train/loss": 2.0}, step=10)
        >>> file.finalize("success")
        >>> file.path.read_text().split()
        ['step,train/loss', '10,2.0']
    """
    for logger in loggers:
        if isinstance(logger, MetricsFile):
            logger.log_metrics(dict(values), step)
        else:
            attempt(logger, partial(logger.log_metrics, dict(values), step))


def attempt(logger: AnyLogger, action: Callable[[], object]) -> None:
    """Call a logger that training can do without; only its first failure is reported.

    Example:
        >>> attempt(MetricsFile("no such folder/metrics.csv"), lambda: 1 / 0)  # a warning in the log
    """
    try:
        action()
    except Exception as error:  # whatever a service's client raises
        if id(logger) not in _reported:
            _reported.add(id(logger))
            log.warning("%s fails (%s: %s); going on without it", type(logger).__name__, type(error).__name__, error)


def last_validation(path: Path) -> dict[str, float]:
    r"""The values of the last validation in a ``metrics.csv``, with its step; empty if there was none.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "metrics.csv")
        >>> _ = path.write_text("step,train/loss,val/loss\n10,1.5,2.5\n20,1.0,\n")
        >>> last_validation(path)
        {'step': 10.0, 'train/loss': 1.5, 'val/loss': 2.5}
    """
    for row in reversed(read_rows(path)[1]):
        if any(name.startswith("val/") for name in row):
            return {name: float(value) for name, value in row.items()}
    return {}


def _step(row: Row) -> int:
    return int(row["step"])
