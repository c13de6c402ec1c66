"""The palette and the axes that all figures share."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from adain_lit.reports.style import COLOURS, label_axes

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


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.9), (1.0, 8.0), (0.01, 50.0)])
def test_logarithmic_axes_have_a_few_ticks_in_plain_numbers(low: float, high: float) -> None:
    axes = Figure().subplots()
    axes.plot([1, 2], [low, high])
    label_axes(axes, "x", "y", logarithmic=True)
    axes.figure.draw_without_rendering()
    bottom, top = axes.get_ylim()
    shown = [t.get_text() for t in axes.get_yticklabels() if t.get_text() and bottom <= t.get_position()[1] <= top]
    assert 3 <= len(shown) <= 9
    assert not any("e" in text or "$" in text for text in shown)
