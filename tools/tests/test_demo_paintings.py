import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from demo_paintings import STYLES, render_painting
from demo_paintings.__main__ import PACKAGE

SIZES = {4: (128, 96), 5: (83, 114)}  # by seed; every bound below was set under the least value measured at these


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[Image.Image]]:
    return {style: [render_painting(style, seed, size=size) for seed, size in SIZES.items()] for style in STYLES}


def signature(image: Image.Image) -> NDArray[np.float64]:
    """Colour moments, then how much detail there is at each scale and in each direction."""
    colour = np.asarray(image, np.float64) / 255
    grey = colour.mean(axis=-1)
    saturation = colour.max(axis=-1) - colour.min(axis=-1)
    numbers = [*colour.mean(axis=(0, 1)), *colour.std(axis=(0, 1)), saturation.mean(), saturation.std()]
    numbers += [((grey - grey.mean()) ** 3).mean() / grey.std() ** 3]
    for step in (1, 2, 4, 8, 16):
        across = grey[:, step:] - grey[:, :-step]
        down = grey[step:] - grey[:-step]
        numbers += [np.log(across.std()), np.log(down.std()), np.log(np.abs(across).mean() / across.std())]
    slope_y, slope_x = np.gradient(grey)
    turn = np.arctan2(slope_y, slope_x) % np.pi
    share, _ = np.histogram(turn, bins=8, range=(0, np.pi), weights=np.hypot(slope_x, slope_y))
    return np.array([*numbers, *share / share.sum()])


def test_at_least_ten_styles():
    assert len(STYLES) >= 10


@pytest.mark.parametrize("style", STYLES)
def test_the_same_seed_gives_the_same_bytes(style, rendered):
    np.random.seed(99)  # noqa: NPY002 - the global state must not matter
    assert render_painting(style, 5, size=SIZES[5]).tobytes() == rendered[style][1].tobytes()


@pytest.mark.parametrize("style", STYLES)
def test_seeds_of_one_style_differ_in_colour_and_composition(style, rendered):
    one, other = (np.asarray(image, np.float64) for image in rendered[style])
    assert np.abs(one[:96, :83] - other[:96, :83]).mean() > 30
    assert np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1))).max() > 10


@pytest.mark.parametrize("style", STYLES)
def test_a_picture_is_rgb_of_its_size_with_contrast_everywhere(style, rendered):
    for image, size in zip(rendered[style], SIZES.values(), strict=True):
        pixels = np.asarray(image, np.float64)
        assert (image.mode, image.size) == ("RGB", size)
        assert pixels.mean(axis=-1).std() > 18
        quarters = [half for rows in np.array_split(pixels, 2) for half in np.array_split(rows, 2, axis=1)]
        assert min(quarter.std() for quarter in quarters) > 18


@pytest.mark.parametrize("style", STYLES)
def test_the_brush_leaves_its_mark_on_every_patch(style, rendered):
    """No patch is one flat colour: 16 x 16 pixels always hold many tones."""
    for image in rendered[style]:
        grey = np.asarray(image.convert("L"))
        corners = [(y, x) for y in range(0, image.height - 15, 16) for x in range(0, image.width - 15, 16)]
        tones = [len(np.unique(grey[y : y + 16, x : x + 16])) for y, x in corners]
        assert np.median(tones) > 35
        assert min(tones) > 5


def test_the_default_size():
    assert render_painting("mosaic", 0).size == (640, 512)


def test_styles_are_told_apart_by_colour_and_detail(rendered):
    """Leave one seed out: the nearest image of the other seed names its style, far above chance (1 in 17)."""
    marks = np.array([[signature(image) for image in images] for images in rendered.values()])
    spread = marks.std(axis=1).mean(axis=0)
    right = []
    for held_out in range(len(SIZES)):
        centroids = np.delete(marks, held_out, axis=1).mean(axis=1)
        distance = np.linalg.norm((marks[:, held_out, None] - centroids[None]) / spread, axis=-1)
        right += list(distance.argmin(axis=1) == np.arange(len(STYLES)))
    assert np.mean(right) > 0.7


def test_an_unknown_style_names_the_known_ones():
    with pytest.raises(ValueError, match=f"unknown style 'sfumato'; known styles: {', '.join(STYLES)}"):
        render_painting("sfumato", 0)


@pytest.mark.parametrize("style", ["mosaic", "orphism"])
def test_the_files_of_the_package_are_what_the_renderer_gives(style):
    """Only nearly: another release of a library may round differently, and WebP loses some."""
    with Image.open(PACKAGE / f"{style}-1000.webp") as image:
        file = np.asarray(image.convert("RGB").resize((60, 48), Image.Resampling.BOX), float)
    assert np.abs(file - np.asarray(render_painting(style, 1000).resize((60, 48), Image.Resampling.BOX))).mean() < 2
