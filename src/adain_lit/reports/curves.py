"""Training curves as in Fig. 6 of the paper, of one or several runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically
from adain_lit.reports.style import WIDTH, label_axes, look
from adain_lit.runs.rows import curve, read_rows, values_by_step

LOSSES = {"content_loss": "content loss $L_c$ (Eq. 12, no unit)", "style_loss": "style loss $L_s$ (Eq. 13, no unit)"}
TOTAL = {"loss": "loss (no unit)"}
STEPS = ("all", "shortest", "log")
FEW = 4
"""Most runs whose single batches can be told apart."""
LETTERS = 105
"""How many 8 pt letters fit side by side into `WIDTH`."""

Rows = Mapping[int, Mapping[str, float]]


def draw_curves(runs: Mapping[str, Rows], *, smooth: float = 0.05, x: str = "all") -> Figure:
    """Plot content and style loss against the optimiser step; the total loss if no run has these two.

    Training batches are faint, their running mean is a line, held-out pairs are points. Of more than `FEW` runs the
    single batches are left out, and the legend is beside the panels.

    Args:
        runs: logged values of each run by label, each by optimiser step and name.
        smooth: window of the running mean as a fraction of all logged values; 0 draws the values themselves.
        x: the steps that are shown, one of `STEPS`: ``all``, those of the ``shortest`` run, or all on a ``log`` axis.

    Raises:
        InputError: if `smooth` or `x` is none of these.

    Example:
        >>> runs = {"adain": {1: {"train/content_loss": 2.0, "train/style_loss": 3.0}, 2: {"val/content_loss": 1.5}}}
        >>> [axes.get_ylabel() for axes in draw_curves(runs).axes]
        ['content loss $L_c$ (Eq. 12, no unit)', 'style loss $L_s$ (Eq. 13, no unit)']
    """
    if x not in STEPS or not 0 <= smooth < 1:
        raise InputError(f"curves with smooth={smooth} and x={x}; give 0 to 1, and one of {', '.join(STEPS)}")
    logged = {name for rows in runs.values() for row in rows.values() for name in row}
    losses = LOSSES if logged & {f"{part}/{name}" for part in ("train", "val") for name in LOSSES} else TOTAL
    kinds = _kinds()[1 if len(runs) > FEW or not smooth else 0 :]
    entries = [*(Line2D([], [], **look(i), markersize=5, label=label) for i, label in enumerate(runs)), *kinds]
    many = len(runs) > FEW
    columns = 1 if many else max(1, min(4, LETTERS // (max(len(str(entry.get_label())) for entry in entries) + 7)))
    height = max(3.2, 0.4 + 0.19 * len(entries)) if many else 2.9 + 0.17 * -(-len(entries) // columns)
    width = (WIDTH if len(losses) > 1 else WIDTH * 0.7) + (2.4 if many else 0)
    figure = Figure(figsize=(width, height), layout="constrained", dpi=300)
    for axes, (name, label) in zip(figure.subplots(1, len(losses), squeeze=False)[0], losses.items(), strict=True):
        for i, rows in enumerate(runs.values()):
            _draw(axes, rows, name, i, smooth=smooth, batches=not many and smooth > 0)
        label_axes(axes, "training (optimiser steps)", label, logarithmic=True, logarithmic_x=x == "log")
        if x != "log":
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if x == "shortest":
            axes.set_xlim(0, min(max(rows, default=0) for rows in runs.values()))
    loc: Literal["outside right upper", "outside lower center"] = "outside lower center"
    if many:
        loc = "outside right upper"
    figure.legend(handles=entries, loc=loc, ncols=columns, fontsize=8, frameon=False)
    return figure


def plot_curves(metrics: Path, image: Path, *, title: str = "") -> None:
    r"""Plot the losses of a ``metrics.csv`` to a PNG.

    Args:
        metrics: the log of a run.
        image: the PNG to write.
        title: name of the run; that of its folder by default.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "metrics.csv").write_text("step,train/loss\n1,3.0\n2,2.0\n")
        >>> plot_curves(folder / "metrics.csv", folder / "curves.png", title="adain")
        >>> (folder / "curves.png").read_bytes()[1:4]
        b'PNG'
    """
    figure = draw_curves({title or metrics.parent.name: values_by_step(read_rows(metrics)[1])})
    write_atomically(image, figure.savefig)


def _draw(axes: Axes, rows: Rows, name: str, index: int, *, smooth: float, batches: bool) -> None:
    style = look(index)
    steps, values = curve(rows, f"train/{name}")
    if batches:
        axes.plot(steps, values, color=style["color"], alpha=0.25, linewidth=0.6)
    means = running_mean(values, smooth) if smooth else values
    axes.plot(steps, means, color=style["color"], linestyle=style["linestyle"], linewidth=1.3)
    steps, values = curve(rows, f"val/{name}")
    points = style | {"linestyle": "", "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.5}
    axes.plot(steps, values, **points, zorder=3)


def _kinds() -> list[Line2D]:
    """Legend entries, in grey, for what lines and points mean."""
    return [
        Line2D([], [], color="0.4", alpha=0.4, linewidth=0.6, label="training batches"),
        Line2D([], [], color="0.4", linewidth=1.3, label="running mean of training batches"),
        Line2D([], [], color="0.4", linestyle="", marker="o", markersize=5, label="held-out pairs"),
    ]


def running_mean(values: Sequence[float], fraction: float = 0.05) -> list[float]:
    """Trailing mean over a window of a `fraction` of all values, but at least 3; shorter at the beginning.

    Example:
        >>> running_mean([3.0, 1.0, 2.0, 6.0])
        [3.0, 2.0, 2.0, 3.0]
    """
    window = max(3, int(len(values) * fraction))
    # each slice ends with value i and begins `window` values before its end, or at the first value
    return [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i + 1 - window) : i + 1])]
