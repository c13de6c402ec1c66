"""Images in rows and columns: where each is, and where labels are."""

import numpy as np
import pytest
from PIL import Image

from adain_lit.reports.image_grid import GAP, fit, image_grid


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


def test_images_keep_their_sizes_unless_one_is_given() -> None:
    image = Image.effect_noise((500, 30), 50).convert("RGB")
    grid = image_grid([[image]])
    assert grid.crop((GAP, GAP, GAP + 500, GAP + 30)).tobytes() == image.tobytes()


def test_labels_are_above_their_column_and_beside_their_row_and_leave_the_images_alone() -> None:
    images = [[Image.new("RGB", (120, 90), name) for name in row] for row in (("red", "blue"), ("lime", "white"))]
    plain = np.asarray(image_grid(images))
    grid = np.asarray(
        image_grid(images, columns=["", "a label that is wrapped, and a_word_without_an_end" * 2], names=["row"])
    )
    top, left = np.array(grid.shape[:2]) - plain.shape[:2]
    assert top > 0
    assert left > 0
    assert np.array_equal(grid[top:, left:], plain)
    second = left + 2 * GAP + 120
    above, beside = grid[:top], grid[top:, :left]
    assert above[:, second : second + 120].min() < 128
    assert above[:, :second].min() == above[:, second + 120 :].min() == 255, "no letter leaves its column"
    assert beside[GAP : GAP + 90].min() < 128
    assert beside[GAP + 90 :].min() == 255


def test_a_word_that_is_too_long_for_its_column_is_smaller_and_whole() -> None:
    """Oracle: ink of a label alone on its line: one line of text, which is as wide as the column allows."""
    images = [[Image.new("RGB", (side, 40), "white") for side in (120, 1200)]]
    grid = np.asarray(image_grid(images, columns=["Gesamtkunstwerkstatt", ""]).convert("L"))
    rows = (grid[:, : GAP + 120 + GAP] < 128).any(1)
    assert np.count_nonzero(np.diff(rows.astype(int)) == 1) == 1, "one line"
