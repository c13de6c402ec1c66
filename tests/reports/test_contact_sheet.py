"""The contact sheet: which image lies where."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adain_lit.io.images import read_image
from adain_lit.reports.contact_sheet import GRID_GAP, LEAST_SIDE, contact_sheet
from adain_lit.reports.image_grid import GAP
from support.run_folders import plain, write_run

SIDE = LEAST_SIDE


@pytest.fixture
def grids(tmp_path: Path) -> list[Image.Image]:
    """Grids of two pairs: the first two runs show the same pairs, the third others."""
    rows = (
        ["red", "green", "blue", "navy", "teal", "gray"],
        ["red", "green", "cyan", "navy", "teal", "pink"],
        ["lime", "gold", "tan", "navy", "teal", "gray"],
    )
    for i, colours in enumerate(rows):
        write_run(tmp_path / str(i), grids={1: plain(*colours)})
    return [read_image(tmp_path / str(i) / "grids" / "step_000001.png") for i in range(3)]


def colours(sheet: Image.Image, columns: int) -> list[list[tuple[int, ...]]]:
    """Colour of each square, the same at both sides, row by row, counted from the bottom, where no captions are."""
    scale = SIDE / 32
    bottom = sheet.height - GAP - SIDE // 2
    tops = [bottom - round((32 + GRID_GAP) * scale), bottom]
    lefts = [GAP + i * (SIDE + GAP) for i in range(columns)]
    pixels = np.asarray(sheet)
    assert all((pixels[y, x] == pixels[y, x + SIDE - 1]).all() for x in lefts for y in tops)
    return [[tuple(pixels[y, x]) for x in lefts] for y in tops]


def rgb(*names: str) -> list[tuple[int, ...]]:
    return [Image.new("RGB", (1, 1), name).getpixel((0, 0)) for name in names]  # type: ignore[misc]


def test_pairs_stand_once_in_front_of_runs_that_share_them(grids: list[Image.Image]) -> None:
    sheet = contact_sheet(grids[:2], ["first", "second"])
    assert sheet.width == 4 * (SIDE + GAP) + GAP
    assert colours(sheet, 4) == [rgb("red", "green", "blue", "cyan"), rgb("navy", "teal", "gray", "pink")]


def test_pairs_stand_again_in_front_of_a_run_that_shows_others(grids: list[Image.Image]) -> None:
    sheet = contact_sheet(grids, ["first", "second", "third"])
    assert colours(sheet, 7)[0] == rgb("red", "green", "blue", "cyan", "lime", "gold", "tan")


def test_captions_stand_above_and_long_ones_go_on_in_further_lines(grids: list[Image.Image]) -> None:
    def head(caption: str) -> np.ndarray:
        sheet = contact_sheet(grids[:1], [caption])
        rows = np.asarray(sheet)[:, 2 * (SIDE + GAP) + GAP :]
        first = int((rows == rgb("blue")[0]).all(-1).any(1).argmax())
        return rows[:first]

    short, long = head("a"), head("a label of many words, and of " + "one_that_does_not_end" * 2)
    assert len(long) > 2 * len(short)
    assert (short < 128).any()
    assert (long[:, -2:] == 255).all()  # no letter leaves its column


def test_more_than_ten_columns_go_on_below_their_own_content_and_style(grids: list[Image.Image]) -> None:
    sheet = contact_sheet(grids[:1] * 12, [str(i) for i in range(12)])
    assert sheet.width == 10 * (SIDE + GAP) + GAP
    last = sheet.crop((0, sheet.height // 2, sheet.width, sheet.height))
    assert colours(last, 7)[0] == rgb("red", "green", "blue", "blue", "blue", "blue", "white")


def test_a_run_with_other_pairs_is_not_parted_from_them(grids: list[Image.Image]) -> None:
    """Eight columns are taken, and three more would be eleven."""
    sheet = contact_sheet([*grids[:1] * 6, grids[2]], [str(i) for i in range(7)])
    last = sheet.crop((0, sheet.height // 2, sheet.width, sheet.height))
    assert colours(last, 4)[0] == rgb("lime", "gold", "tan", "white")
    shared = contact_sheet([*grids[:1] * 9], [str(i) for i in range(9)])
    last = shared.crop((0, shared.height // 2, shared.width, shared.height))
    assert colours(last, 4)[0] == rgb("red", "green", "blue", "white")


def test_images_keep_their_width_if_it_is_large(tmp_path: Path) -> None:
    large = [Image.new("RGB", (500, 500), name) for name in ("red", "green", "blue")]
    write_run(tmp_path / "large", grids={1: large})
    (path,) = (tmp_path / "large" / "grids").iterdir()
    assert contact_sheet([read_image(path)], ["large"]).width == 3 * (500 + GAP) + GAP
