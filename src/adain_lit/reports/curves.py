"""Training curves, as in Fig. 6 of the paper: of one run, or of several over each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from adain_lit.io.files import write_atomically
from adain_lit.runs.rows import curve, read_rows, values_by_step

LOSSES = {"content_loss": "content loss $L_c$ (Eq. 12, no unit)", "style_loss": "style loss $L_s$ (Eq. 13, no unit)"}
TOTAL = {"loss": "loss (no unit)"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), which the colour-blind tell apart, without the yellow that paper swallows."""
MARKERS = "os^DvPX"
DASHES = ("-", "--", ":", "-.")
"""Of the first seven runs, the second seven, and so on."""
WIDTH = 7.2
"""Inches: a page of print with its margins, so that letters of 8 points stay so."""
LETTERS = 105
"""Of 8 points that stand beside each other there."""

Rows = Mapping[int, Mapping[str, float]]


def draw_curves(runs: Mapping[str, Rows]) -> Figure:
    """Content and style loss against the optimiser step; the total loss, where no run has these two.

    Batches of training are faint, their running mean is a line, held-out pairs are points.

    Args:
        runs: the rows of each run, by its label.
    """
    logged = {name for rows in runs.values() for row in rows.values() for name in row}
    losses = LOSSES if logged & {f"{part}/{name}" for part in ("train", "val") for name in LOSSES} else TOTAL
    entries = [*(_entry(i, label) for i, label in enumerate(runs)), *_kinds()]
    columns = max(1, min(4, LETTERS // (max(len(str(entry.get_label())) for entry in entries) + 7)))
    height = 2.9 + 0.17 * -(-len(entries) // columns)
    figure = Figure(figsize=(WIDTH if len(losses) > 1 else WIDTH * 0.7, height), layout="constrained", dpi=300)
    for axes, (name, label) in zip(figure.subplots(1, len(losses), squeeze=False)[0], losses.items(), strict=True):
        for i, rows in enumerate(runs.values()):
            _draw(axes, rows, name, i)
        axes.set_yscale("log")
        axes.set_xlabel("training (optimiser steps)", fontsize=9)
        axes.set_ylabel(label, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="both", labelsize=8)
        axes.grid(alpha=0.25, which="both", linewidth=0.5)
    figure.legend(handles=entries, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure


def plot_curves(metrics: Path, image: Path, *, title: str = "") -> None:
    """Draw the content and the style loss of a ``metrics.csv`` against the optimiser step.

    Args:
        metrics: the log of a run.
        image: the PNG to write.
        title: name of the run.
    """
    figure = draw_curves({title or metrics.parent.name: values_by_step(read_rows(metrics)[1])})
    write_atomically(image, figure.savefig)


def _draw(axes: Axes, rows: Rows, name: str, number: int) -> None:
    look = _look(number)
    steps, values = curve(rows, f"train/{name}")
    axes.plot(steps, values, color=look["color"], alpha=0.25, linewidth=0.6)
    axes.plot(steps, running_mean(values), color=look["color"], linestyle=look["linestyle"], linewidth=1.3)
    steps, values = curve(rows, f"val/{name}")
    axes.plot(steps, values, **look | {"linestyle": ""}, markeredgecolor="white", markeredgewidth=0.5, zorder=3)


def _look(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of a run."""
    dashes = DASHES[number // len(COLOURS) % len(DASHES)]
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": dashes,
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
    }


def _entry(number: int, label: str) -> Line2D:
    return Line2D([], [], **_look(number), label=label)


def _kinds() -> list[Line2D]:
    """What lines and points mean, in grey."""
    return [
        Line2D([], [], color="0.4", alpha=0.4, linewidth=0.6, label="training batches"),
        Line2D([], [], color="0.4", linewidth=1.3, label="their running mean"),
        Line2D([], [], color="0.4", linestyle="", marker="o", markersize=5, label="held-out pairs"),
    ]


def running_mean(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Mean over a window of the last `share` of all values, at least 3."""
    window = max(3, int(len(values) * share))
    return [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i + 1 - window) : i + 1])]
