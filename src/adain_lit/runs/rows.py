"""The log of a run as rows: one for each logged optimiser step, with values by name."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

Row = dict[str, str]


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    r"""Columns and rows of a ``metrics.csv``; an incomplete last line, left by a killed run, is dropped.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "metrics.csv")
        >>> _ = path.write_text("step,train/loss\n5,1.5\n10,1")  # killed while it wrote the last line
        >>> read_rows(path)
        (['step', 'train/loss'], [{'step': '5', 'train/loss': '1.5'}])
    """
    if not path.is_file():
        return ["step"], []
    text = path.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines.pop()
    reader = csv.DictReader(lines)
    rows = [{name: value for name, value in row.items() if value} for row in reader]
    return list(reader.fieldnames or ["step"]), rows


def values_by_step(rows: Iterable[Row]) -> dict[int, dict[str, float]]:
    """Convert rows to numbers by optimiser step.

    Raises:
        ValueError: if a value is not a number.

    Example:
        >>> values_by_step([{"step": "5", "train/loss": "1.5"}])
        {5: {'train/loss': 1.5}}
    """
    return {int(row["step"]): {k: float(v) for k, v in row.items() if k != "step"} for row in rows}


def curve(rows: Mapping[int, Mapping[str, float]], name: str) -> tuple[list[int], list[float]]:
    """Steps at which a value was logged, and the values.

    Example:
        >>> curve({1: {"train/loss": 3.0}, 2: {"train/loss": 2.0, "val/loss": 4.0}}, "val/loss")
        ([2], [4.0])
    """
    steps = [step for step, row in rows.items() if name in row]
    return steps, [rows[step][name] for step in steps]
