"""Curves: what is drawn is what was logged, and runs can be told apart."""

import math
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from skimage.color import deltaE_ciede2000, rgb2lab

from adain_lit.reports.curves import COLOURS, DASHES, draw_curves
from support.run_folders import losses

SIGHTS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


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
    points, means = axes.lines[2::3], axes.lines[1::3]
    assert len({(line.get_color(), line.get_linestyle()) for line in means}) == len(COLOURS) * len(DASHES)
    assert len({line.get_marker() for line in points[: len(COLOURS)]}) == len(COLOURS)


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_can_be_told_apart_by_the_colour_blind(sight: str) -> None:
    """Oracle: CIEDE2000 of what they see (Machado et al. 2009); matplotlib's own come as close as 1.3."""
    seen = []
    for colour in COLOURS:
        encoded = np.array(to_rgb(colour))
        light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
        light = (np.array(SIGHTS[sight]) @ light).clip(0, 1)
        seen.append(rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)))
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(seen, 2)) > 10


def test_legend_names_every_run_and_lies_within_the_figure() -> None:
    names = [f"enc_adain_dec, style_weight {10**i}, content_layer relu4_1" for i in range(6)]
    figure = draw_curves({name: losses(2) for name in names})
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:6] == names
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
