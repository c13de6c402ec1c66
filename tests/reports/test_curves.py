"""Curves: what is drawn is what was logged, and runs can be distinguished."""

import math

import numpy as np
import pytest
from matplotlib.axes import Axes

from adain_lit.errors import InputError
from adain_lit.reports.curves import draw_curves
from adain_lit.reports.style import COLOURS, DASHES
from support.run_folders import losses


def drawn(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """Coordinates of each line: for each run training, its running mean, held-out pairs."""
    return [tuple(np.asarray(values).tolist() for values in line.get_data()) for line in axes.lines]  # type: ignore[misc]


def test_content_and_style_loss_of_every_run_are_drawn_over_each_other() -> None:
    runs = {"a": losses(6), "b": losses(6, content=3.0)}
    content, style = draw_curves(runs).axes
    assert "content loss" in content.get_ylabel()
    assert "style loss" in style.get_ylabel()
    assert all("optimiser steps" in axes.get_xlabel() for axes in (content, style))
    for axes, name in ((content, "content_loss"), (style, "style_loss")):
        lines = drawn(axes)
        assert len(lines) == 6
        for (training, _, held_out), rows in zip((lines[:3], lines[3:]), runs.values(), strict=True):
            assert training == ([1, 2, 3, 4, 5, 6], [row[f"train/{name}"] for row in rows.values()])
            assert held_out == ([2, 4, 6], [rows[step][f"val/{name}"] for step in (2, 4, 6)])


def test_running_mean_is_that_of_the_last_twentieth() -> None:
    """Oracle: NumPy's mean of each window of 5, shorter at the beginning."""
    values = [2 + math.sin(i) for i in range(100)]
    (axes,) = draw_curves({"a": {i: {"train/loss": value} for i, value in enumerate(values)}}).axes
    expected = [np.mean(values[max(0, i - 4) : i + 1]) for i in range(100)]
    np.testing.assert_allclose(drawn(axes)[1][1], expected)


def test_a_run_of_the_total_loss_alone_gets_one_panel_and_none_beside_one_of_both() -> None:
    alone = {1: {"train/loss": 1.0, "val/loss": 2.0}}
    assert len(draw_curves({"a": alone}).axes) == 1
    content, _ = draw_curves({"a": alone, "b": losses(2)}).axes
    assert drawn(content)[0] == ([], [])


def test_runs_differ_in_colour_or_dashes_and_neighbours_in_the_marker_too() -> None:
    (axes,) = draw_curves({str(i): {1: {"val/loss": 1.0}} for i in range(len(COLOURS) * len(DASHES))}).axes
    points, means = axes.lines[1::2], axes.lines[::2]  # without the single batches, of so many runs
    assert len({(line.get_color(), line.get_linestyle()) for line in means}) == len(COLOURS) * len(DASHES)
    assert len({line.get_marker() for line in points[: len(COLOURS)]}) == len(COLOURS)


def test_legend_names_every_run_and_lies_within_the_figure() -> None:
    names = [f"enc_adain_dec, style_weight {10**i}, content_layer relu4_1" for i in range(6)]
    figure = draw_curves({name: losses(2) for name in names})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:6] == names
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_of_many_runs_the_single_batches_are_left_out_and_the_legend_is_beside_the_panels() -> None:
    figure = draw_curves({str(i): losses(4 + i) for i in range(8)})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_window_extent().x0 > max(axes.bbox.x1 for axes in figure.axes)
    assert all(len(axes.lines) == 16 for axes in figure.axes)


def test_steps_end_with_the_shortest_run_or_are_logarithmic_and_smoothing_is_chosen() -> None:
    runs = {"short": losses(4), "long": losses(40)}
    assert draw_curves(runs, x="shortest").axes[0].get_xlim() == (0, 4)
    assert draw_curves(runs, x="log").axes[0].get_xscale() == "log"
    assert list(draw_curves(runs, smooth=0).axes[0].lines[0].get_ydata()) == [1 / step for step in range(1, 5)]
    means = draw_curves({"a": losses(40)}, smooth=0.5).axes[0].lines[1].get_ydata()
    assert np.asarray(means)[-1] == pytest.approx(np.mean([1 / step for step in range(21, 41)]))
    with pytest.raises(InputError, match=r"^curves with smooth=2 and x=all; give 0 to 1"):
        draw_curves(runs, smooth=2)
