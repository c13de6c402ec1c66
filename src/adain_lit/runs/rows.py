"""The rows of a run's log: one for each optimiser step that was logged, with a value by name."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

Row = dict[str, str]


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows of a ``metrics.csv``; a row that a killed run left half-written is dropped."""
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
    """The rows as numbers, by optimiser step.

    Raises:
        ValueError: if one holds something else.
    """
    return {int(row["step"]): {k: float(v) for k, v in row.items() if k != "step"} for row in rows}


def curve(rows: Mapping[int, Mapping[str, float]], name: str) -> tuple[list[int], list[float]]:
    """Steps at which a value was logged, and the values."""
    steps = [step for step, row in rows.items() if name in row]
    return steps, [rows[step][name] for step in steps]
