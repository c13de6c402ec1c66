"""Grids: where each image is."""

import numpy as np
import pytest
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.inference.grids import interpolation, thumbnail, trade_off
from adain_lit.inference.stylizer import Stylizer
from adain_lit.reports.image_grid import GAP, fit
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


def test_the_trade_off_in_the_size_of_its_content_shows_the_style_and_alpha(stylizer: Stylizer) -> None:
    """Oracle: the images pixel by pixel, below a band of labels; six places of 96x72 pixels."""
    content, image = stylizer.encode_content(small("coffee.png")), small("chelsea.png")
    style = stylizer.encode_style(image, size=None)
    plain = trade_off(stylizer, content, [style], style_images=[image])
    assert plain.size == (6 * (96 + GAP) + GAP, 72 + 2 * GAP)
    assert place(plain, 0, 2, 96).tobytes() == stylizer(content, style, alpha=0.5).tobytes()
    assert place(plain, 0, 5, 96).tobytes() == thumbnail(image, (96, 72)).tobytes()
    labelled = np.asarray(trade_off(stylizer, content, [style], style_images=[image], labels=True))
    band = len(labelled) - plain.height
    assert np.array_equal(labelled[band:], np.asarray(plain))
    for column in range(6):
        assert labelled[:band, GAP + column * (96 + GAP) :][:, :96].min() < 128, f"no label above column {column}"


def test_the_interpolation_grid_shows_each_style_beside_its_corner(stylizer: Stylizer) -> None:
    images = [small(name) for name in ("chelsea.png", "rocket.jpg", "astronaut.png", "hubble_deep_field.jpg")]
    content = stylizer.encode_content(small("coffee.png"))
    styles = [stylizer.encode_style(image, size=None) for image in images]
    grid = interpolation(stylizer, content, styles, steps=3, side=SIDE, style_images=images)
    assert grid.size == (5 * (SIDE + GAP) + GAP, 3 * (36 + GAP) + GAP)
    for image, (row, column) in zip(images, [(0, 0), (0, 4), (2, 0), (2, 4)], strict=True):
        assert holds(place(grid, row, column), thumbnail(image, (96, 72)))
    assert np.asarray(place(grid, 1, 0)).min() == 255
