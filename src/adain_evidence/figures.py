"""Figures of the claims: curves with their spread over seeds, image grids, captions with the paper's statement."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from adain_lit.io.files import write_atomically
from adain_lit.reports.curves import running_mean
from adain_lit.reports.style import WIDTH, look

Curve = tuple[Sequence[float], Sequence[float]]
"""Positions (optimiser steps, seconds, iterations) and the values there."""

MOST_BYTES = 300_000
"""Upper bound of the size of a figure's file."""


def new_figure(columns: int = 1, rows: int = 1, *, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """An empty figure as wide as a page of print, and its axes, row by row; `height` inches for each row."""
    width = WIDTH if columns > 1 else WIDTH * 0.75
    figure = Figure(figsize=(width, height * rows), layout="constrained", dpi=200)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def draw_with_spread(axes: Axes, systems: Mapping[str, Sequence[Curve]], *, smooth: bool = False) -> None:
    """Draw the mean over seeds of each system as a line, and the range from minimum to maximum as a band.

    Args:
        axes: to draw in.
        systems: for each label a curve for each seed, all at the same steps.
        smooth: draw running means, for losses of single batches.
    """
    for i, (name, curves) in enumerate(systems.items()):
        style = look(i)
        length = min(len(values) for _, values in curves)
        steps = list(curves[0][0])[:length]
        values = np.array([running_mean(v) if smooth else list(v) for _, v in curves], dtype=float)[:, :length]
        line = style | ({"marker": ""} if smooth else {})
        axes.plot(steps, values.mean(0), label=name, linewidth=1.4, markersize=4, **line)
        axes.fill_between(steps, values.min(0), values.max(0), color=style["color"], alpha=0.2, linewidth=0)


def save_figure(figure: Figure, path: Path, *, caption: str) -> None:
    """Write a figure as PNG with a caption below it.

    Raises:
        ValueError: if the file is larger than 300 kB.
    """
    letters = round(figure.get_figwidth() * 14.5)
    figure.supxlabel("\n".join(textwrap.wrap(caption, letters)), fontsize=8, ha="left", x=0.01)
    _write(figure, path)
    if path.stat().st_size > MOST_BYTES:  # curves and letters need few colours
        with Image.open(path) as image:
            fewer = image.convert("RGB").quantize(64)
        write_atomically(path, lambda temporary: fewer.save(temporary, "PNG", optimize=True))
    require_small(path)


def save_grid(grid: Image.Image, path: Path) -> None:
    """Write an image grid as JPEG, at the best quality that keeps it within 300 kB.

    Raises:
        ValueError: if there is none.
    """
    for quality in (92, 85, 75, 65):
        write_atomically(path, partial(grid.save, format="JPEG", quality=quality))
        if path.stat().st_size <= MOST_BYTES:
            return
    require_small(path)


def require_small(path: Path) -> None:
    """Raise a ValueError if a file is larger than 300 kB."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path.name} is {path.stat().st_size} bytes, more than {MOST_BYTES}; show less in it")


def _write(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))
