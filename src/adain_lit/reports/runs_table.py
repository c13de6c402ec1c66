"""The table of several runs: what differs in their settings, how far each came, and its losses."""

import io
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from adain_lit.runs.comparison import LOSSES, Summary, Validation, differences, shown, summarise
from adain_lit.runs.run import Run

NOTHING = "-"
HEADS = {"content_loss": "content", "style_loss": "style", "loss": "total"}
"""Heads of the columns of losses."""
MOST_SETTINGS = 8
"""Differing settings that the table for a terminal shows of each run."""

Cells = dict[str, str]


def rows_of(runs: Mapping[str, Run]) -> list[Cells]:
    """A row for each run, by the head of its column.

    Args:
        runs: by label.
    """
    differing = differences(list(runs.values()))
    rows = []
    for i, (label, run) in enumerate(runs.items()):
        summary = summarise(run)
        settings = [f"{key}={shown(values[i])}" for key, values in differing.items()] if run.settings else ["unknown"]
        rows.append({"run": label, "settings that differ": "\n".join(settings)} | _figures(summary))
    return rows


def as_text(rows: Sequence[Cells], width: int = 160) -> str:
    """The table for a terminal."""
    sheet = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(rows[0]):
        sheet.add_column(head, justify="right" if i > 1 else "left", overflow="fold")
    for cells in rows:
        settings = cells["settings that differ"].splitlines()
        more = [f"and {len(settings) - MOST_SETTINGS} more"] if len(settings) > MOST_SETTINGS else []
        sheet.add_row(*(cells | {"settings that differ": "\n".join(settings[:MOST_SETTINGS] + more)}).values())
    text = io.StringIO()
    Console(file=text, width=width, markup=False).print(sheet)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _figures(summary: Summary) -> Cells:
    cells = {"steps": str(summary.steps)}
    cells |= {f"last {HEADS[name]}": _loss(summary.last, name) for name in LOSSES}
    cells |= {f"best {HEADS[name]}": _loss(summary.best, name) for name in LOSSES}
    cells["best step"] = str(summary.best.step) if summary.best else NOTHING
    cells["training time"] = NOTHING if summary.seconds is None else duration(summary.seconds)
    return cells


def _loss(validation: Validation | None, name: str) -> str:
    return f"{validation.losses[name]:.4g}" if validation and name in validation.losses else NOTHING


def duration(seconds: float) -> str:
    """Seconds as ``38 s``, ``2 min 05 s`` or ``1 h 02 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_rest:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
