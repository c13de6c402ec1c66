"""Grids: where each image is."""

import numpy as np
import pytest
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.inference.grids import GAP, fit, image_grid, interpolation, trade_off
from adain_lit.inference.stylizer import Stylizer
from support.images import small
from support.networks import small_network

SIDE = 48


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer(small_network(), device="cpu")


def place(grid: Image.Image, row: int, column: int, side: int = SIDE) -> Image.Image:
    """The place of an image of 4:3 in a grid of such images."""
    height = side * 3 // 4
    x, y = GAP + column * (side + GAP), GAP + row * (height + GAP)
    return grid.crop((x, y, x + side, y + height))


def holds(found: Image.Image, image: Image.Image) -> bool:
    """Oracle: the image resized by Pillow."""
    return found.tobytes() == fit(image, found.width).tobytes()


def test_images_are_in_rows_and_columns_as_large_as_the_largest_on_white() -> None:
    """Oracle: places by hand: columns of 20 and 40 pixels, rows of 20 and 40, with 6 between."""
    red, blue, green = (
        Image.new("RGB", size, color) for size, color in (((100, 50), "red"), ((10, 20), "blue"), ((5, 10), "lime"))
    )
    grid = image_grid([[None, red], [blue, green], [None]], side=40)
    assert grid.size == (20 + 40 + 18, 20 + 40 + 0 + 24)
    expected = np.full((84, 78, 3), 255)
    expected[6:26, 32:72] = (255, 0, 0)
    expected[32:72, 6:26] = (0, 0, 255)
    expected[32:72, 42:62] = (0, 255, 0)
    assert np.array_equal(np.asarray(grid), expected)


@pytest.mark.parametrize(
    ("size", "fitted"), [((100, 50), (40, 20)), ((3, 4), (30, 40)), ((4000, 4), (40, 1)), ((40, 40), (40, 40))]
)
def test_the_longer_side_is_fitted(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert fit(Image.new("RGB", size), 40).size == fitted


def test_the_trade_off_goes_from_content_to_style_in_equal_steps(stylizer: Stylizer) -> None:
    content, style = (
        stylizer.encode_content(small("coffee.png")),
        stylizer.encode_style(small("chelsea.png"), size=None),
    )
    grid = trade_off(stylizer, content, [style], side=SIDE)
    assert grid.size == (5 * (SIDE + GAP) + GAP, 36 + 2 * GAP)
    for column, alpha in enumerate((0, 0.25, 0.5, 0.75, 1)):
        assert holds(place(grid, 0, column), stylizer(content, style, alpha=alpha))
    assert not holds(place(grid, 0, 1), stylizer(content, style, alpha=0.5))


def test_the_interpolation_grid_has_a_style_in_each_corner_and_their_mixtures_between(stylizer: Stylizer) -> None:
    names = ("chelsea.png", "rocket.jpg", "astronaut.png", "hubble_deep_field.jpg")
    content, styles = (
        stylizer.encode_content(small("coffee.png")),
        [stylizer.encode_style(small(n), size=None) for n in names],
    )
    grid = interpolation(stylizer, content, styles, steps=3, side=SIDE)
    assert grid.size == (3 * (SIDE + GAP) + GAP, 3 * (36 + GAP) + GAP)
    for style, (row, column) in zip(styles, [(0, 0), (0, 2), (2, 0), (2, 2)], strict=True):
        assert near(place(grid, row, column), stylizer(content, style))
    assert near(place(grid, 1, 1), stylizer(content, styles))
    assert near(place(grid, 0, 1), stylizer(content, styles[:2]))
    assert near(place(grid, 1, 2), stylizer(content, [styles[1], styles[3]]))
    assert not near(place(grid, 1, 2), stylizer(content, styles))


def near(found: Image.Image, image: Image.Image) -> bool:
    """`holds` up to the rounding of a sum over styles of weight 0."""
    return bool(np.abs(np.asarray(found).astype(int) - np.asarray(fit(image, found.width))).max() <= 2)


def test_the_interpolation_grid_needs_four_styles(stylizer: Stylizer) -> None:
    content, style = (
        stylizer.encode_content(small("coffee.png")),
        stylizer.encode_style(small("chelsea.png"), size=None),
    )
    with pytest.raises(InputError, match="3 styles for the four corners"):
        interpolation(stylizer, content, [style] * 3)
