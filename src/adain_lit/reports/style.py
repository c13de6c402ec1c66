"""The look of figures: one palette and one way to format axes."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), distinguishable for the colour-blind, without the yellow that white paper swallows."""
MARKERS = "os^DvPX"
DASHES = ("-", "--", ":", "-.")
"""Of the first seven runs, the second seven, and so on."""
WIDTH = 7.2
"""Width of a figure in inches: a printed page without its margins, so that 8 pt letters stay 8 pt."""


def look(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of the run of an index, as matplotlib's keywords.

    Example:
        >>> look(0)["color"], look(7)["color"], look(0)["linestyle"], look(7)["linestyle"]
        ('#0072B2', '#0072B2', '-', '--')
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index // len(COLOURS) % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def label_axes(
    axes: Axes, x: str, y: str, *, title: str = "", logarithmic: bool = False, logarithmic_x: bool = False
) -> None:
    """Label and format both axes. Call it after drawing: the ticks of a logarithmic axis depend on the data.

    Args:
        axes: holds the data already.
        x: label with unit.
        y: label with unit.
        title: of the panel.
        logarithmic: scale of the y axis.
        logarithmic_x: scale of the x axis.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> _ = axes.plot([1, 10], [0.5, 50])
        >>> label_axes(axes, "optimiser steps", "loss (no unit)", logarithmic=True)
        >>> axes.get_yscale(), axes.get_ylabel()
        ('log', 'loss (no unit)')
    """
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.set_title(title, fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.grid(alpha=0.25, which="both", linewidth=0.5)
    for axis, wanted, scale in (
        (axes.xaxis, logarithmic_x, axes.set_xscale),
        (axes.yaxis, logarithmic, axes.set_yscale),
    ):
        if wanted:
            scale("log")
            axis.set_major_locator(_ticks(*axis.get_data_interval()))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())


def _ticks(low: float, high: float) -> Locator:
    """About five ticks for a logarithmic axis, whatever its range."""
    if low <= 0 or high >= 30 * low:
        return LogLocator(subs=(1, 3))
    return LogLocator(subs=(1, 1.5, 2, 3, 5, 7)) if high >= 3 * low else MaxNLocator(5)
