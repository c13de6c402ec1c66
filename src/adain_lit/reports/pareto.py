"""Content against style loss of several runs, and which of them no other beats in both."""

import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from matplotlib.transforms import Bbox

from adain_lit.reports.style import COLOURS, MARKERS


@dataclass(frozen=True)
class Point:
    """A run in the plot.

    Attributes:
        name: of the run.
        settings: those that differ between the runs, other than the seed, by dotted key.
        content: its content loss, finite and positive.
        style: its style loss.
    """

    name: str
    settings: Mapping[str, str]
    content: float
    style: float


def plot_points(points: Sequence[Point], *, title: str = "", note: str = "") -> Figure:
    """Plot content against style loss: a point for each run, and the Pareto front.

    Runs of one name share colour and marker. The other settings are written beside the points, once for runs that
    differ only in their seed.

    Args:
        points: the runs, with finite losses.
        title: of the figure.
        note: written below the figure.

    Example:
        >>> figure = plot_points([Point("adain", {"model.lr": "0.1"}, 1.5, 2.5)], title="learning rate")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['adain', 'no run is better in both']
    """
    losses = [(point.content, point.style) for point in points]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.set(xscale="log", yscale="log", title=title)
    axes.set(xlabel="content loss $L_c$ on held-out pairs", ylabel="style loss $L_s$ on held-out pairs")
    for i, name in enumerate(sorted({point.name for point in points})):
        x, y = zip(*(xy for point, xy in zip(points, losses, strict=True) if point.name == name), strict=True)
        marker, colour = MARKERS[i % len(MARKERS)], COLOURS[i % len(COLOURS)]
        axes.scatter(x, y, s=60, marker=marker, color=colour, edgecolor="white", linewidth=0.7, label=name, zorder=3)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    best = front(losses)
    x, y = zip((best[0][0], top), *best, (right, best[-1][1]), strict=True)
    axes.step(x, y, where="post", color="0.6", linestyle="--", label="no run is better in both")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(PlainLogFormatter(minor_thresholds=(2, 0.5)))
    axes.grid(alpha=0.3, which="both")
    beside = list(dict.fromkeys(key.rpartition(".")[2] for point in points for key in point.settings))
    figure.legend(loc="outside right upper", title=f"beside the points:\n{', '.join(beside)}" if beside else None)
    if note:
        figure.supxlabel(textwrap.fill(note, 100), fontsize=9)
    _write_beside(axes, losses, _labels(points, losses))
    return figure


def _labels(points: Sequence[Point], losses: Sequence[tuple[float, float]]) -> dict[int, str]:
    """Labels of the points: settings as text, by the index of the run most central among those that differ in seed."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, point in enumerate(points):
        text = ", ".join(short(value) for value in point.settings.values())
        groups.setdefault((point.name, text), []).append(i)
    logs = np.log(losses)  # (runs, 2)
    middle = {}
    for (_, text), group in groups.items():
        distances = np.linalg.norm(logs[group] - logs[group].mean(0), axis=1)
        middle[group[int(distances.argmin())]] = text
    return middle


def _write_beside(axes: Axes, points: Sequence[tuple[float, float]], labels: Mapping[int, str]) -> None:
    """Write each label beside its point, at the first of 18 places where it covers no point and no other label."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # positions in pixels are only known after layout
    places = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in places]
    for i, text in labels.items():
        for distance, angle in itertools.product((10, 18, 28), range(30, 390, 60)):
            dx, dy = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
            where: Any = {"ha": "left" if dx > 0 else "right", "va": "center"}
            label = axes.annotate(text, points[i], (dx, dy), textcoords="offset points", fontsize=8, zorder=4, **where)
            box = label.get_window_extent()
            free = not any(box.overlaps(other) for other in taken if other is not taken[i])
            if (free and axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)) or (distance, angle) == (28, 330):
                taken.append(box)
                break
            label.remove()


class PlainLogFormatter(LogFormatter):
    """Writes 0.3 instead of matplotlib's 3e-01."""

    def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:
        return f"{x:g}"


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front: points that no other point dominates, from left to right.

    Example:
        >>> front([(1.0, 3.0), (2.0, 2.0), (3.0, 2.5)])
        [(1.0, 3.0), (2.0, 2.0)]
    """
    best: list[tuple[float, float]] = []
    for point in sorted(points):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


def short(value: str) -> str:
    """A number with four digits; any other value unchanged.

    Example:
        >>> short("0.300000001"), short("adain")
        ('0.3', 'adain')
    """
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value
