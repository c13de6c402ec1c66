"""The command: what it writes where, its controls, and one line for each mistake."""

import errno
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from safetensors.torch import save_file

import adain_lit
from adain_lit import stylize
from adain_lit.inference import batch
from adain_lit.inference.stylizer import Stylizer
from adain_lit.io.images import read_image
from support import images
from support.commands import run_here
from support.images import small

Run = Callable[..., int]
STYLE_SIZE = 64


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where the command runs."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: object) -> int:
        common = ["--device", "cpu", "--style-size", str(STYLE_SIZE)]
        return run_here(stylize.main, [*common, *map(str, arguments)], monkeypatch)

    return run


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return adain_lit.load("compact", device="cpu")


@pytest.fixture(scope="module")
def styles(paintings: Path) -> list[Path]:
    return sorted(paintings.glob("*.png"))


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "coffee.png"
    small("coffee.png").save(path)
    return path


def files(folder: Path) -> set[str]:
    """All files below a folder, hidden and temporary ones too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def same(path: Path, expected: Image.Image, *, off: int = 1) -> bool:
    """Whether a file holds an image, up to rounding."""
    found = np.asarray(read_image(path)).astype(int)
    return found.shape == np.shape(expected) and bool(np.abs(found - np.asarray(expected)).max() <= off)


# what is made, and where


def test_a_single_image_is_written_beside_the_command_under_the_name_of_both(
    run: Run, here: Path, content: Path, styles: list[Path], stylizer: Stylizer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the stylizer called from Python."""
    assert run(content, "--style", styles[0]) == 0
    name = f"coffee_stylized_{styles[0].stem}.png"
    assert files(here) == {name}
    assert capsys.readouterr() == (f"{name}\n", "")
    assert same(here / name, stylizer(content, styles[0], style_size=STYLE_SIZE))


def test_a_folder_keeps_its_tree_and_its_names(
    run: Run, here: Path, photographs: Path, styles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(photographs, "-s", styles[0], "-o", "new/out", "--jobs", 3) == 0
    assert capsys.readouterr().out == f"{len(files(photographs))} results in {Path('new/out')}{os.sep}\n"
    assert files(here / "new" / "out") == files(photographs)
    for path in here.rglob("*.jpg"):
        assert read_image(path).size == (96, 72)


def test_a_pattern_is_expanded_and_every_pair_is_made(
    run: Run, here: Path, photographs: Path, styles: list[Path], stylizer: Stylizer
) -> None:
    arguments = [f"{photographs}/c*.jpg", "-s", *styles[:2], "--every-pair", "--format", "png", "-o", "out"]
    assert run(*arguments) == 0
    names = {f"{c}_stylized_{s.stem}.png" for c in ("chelsea", "coffee") for s in styles[:2]}
    assert files(here / "out") == names
    expected = stylizer(photographs / "coffee.jpg", styles[1], style_size=STYLE_SIZE)
    assert same(here / "out" / f"coffee_stylized_{styles[1].stem}.png", expected)


def test_several_styles_give_one_result_each_unless_they_are_mixed(
    run: Run, here: Path, content: Path, styles: list[Path], stylizer: Stylizer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: what the library makes of each style, and of all together."""
    folder = styles[0].parent
    names = sorted(path.stem for path in folder.iterdir())
    assert run(content, "-s", folder, "--format", "png") == 0
    assert files(here) == {f"{content.stem}_stylized_{name}.png" for name in names}
    out, err = capsys.readouterr()
    assert out == f"{len(names)} results in .{os.sep}\n"
    assert f"{len(names)} styles, one result each (--mix mixes them)" in err
    expected = stylizer(content, styles[1], style_size=STYLE_SIZE)
    assert same(here / f"{content.stem}_stylized_{styles[1].stem}.png", expected)
    assert run(content, "-s", folder, "--mix", "-o", "mixed.png") == 0
    assert same(here / "mixed.png", stylizer(content, sorted(folder.iterdir()), style_size=STYLE_SIZE))


@pytest.mark.parametrize(
    ("suffix", "kind"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("tiff", "TIFF"), (".TIF", "TIFF")]
)
def test_the_format_is_the_one_that_is_named(
    suffix: str, kind: str, run: Run, here: Path, content: Path, styles: list[Path]
) -> None:
    assert run(content, "-s", styles[0], "--format", suffix) == 0
    (path,) = here.iterdir()
    assert path.suffix == "." + suffix.lower().removeprefix(".")
    with Image.open(path) as image:
        assert image.format == kind
        assert image.size == (96, 72)


CONTROLS: dict[str, tuple[list[object], dict[str, Any], int]] = {
    "alpha": (["--alpha", 0.4], {"alpha": 0.4}, 1),
    "mixture": (["--mix"], {}, 2),
    "weights": (["--weights", 1, 3], {"weights": [1, 3]}, 2),
    "masks": (["--mask", "left.png", "right.png"], {"masks": ["left.png", "right.png"]}, 2),
    "coral": (["--preserve-color"], {"preserve_color": "coral"}, 1),
    "luminance": (["--preserve-color", "luminance"], {"preserve_color": "luminance"}, 1),
    "size": (["--size", 48], {"size": 48}, 1),
    "style size": (["--style-size", 30], {"style_size": 30}, 1),
    "own size of the style": (["--style-size", 0], {"style_size": None}, 1),
    "tile": (["--tile", 64, "--weights", 0, 1], {"weights": [0, 1]}, 2),
}
"""Arguments, the same for the stylizer, and how many styles."""


@pytest.mark.parametrize("control", CONTROLS)
def test_controls_are_those_of_the_stylizer(
    control: str, run: Run, here: Path, content: Path, styles: list[Path], stylizer: Stylizer
) -> None:
    """Oracle: the stylizer called from Python, which gives another image without the control."""
    ramp = np.linspace(0, 255, 96).astype(np.uint8) + np.zeros((72, 1), np.uint8)
    for name, values in (("left.png", ramp), ("right.png", 255 - ramp)):
        Image.fromarray(values).save(here / name)
    arguments, controls, count = CONTROLS[control]
    assert run(content, "-o", "out.png", "-s", *styles[:count], *arguments) == 0
    assert same(here / "out.png", stylizer(content, styles[:count], **{"style_size": STYLE_SIZE, **controls}))
    assert not same(here / "out.png", stylizer(content, styles[0], style_size=STYLE_SIZE))


def test_dtype_is_that_of_the_network(
    run: Run, here: Path, content: Path, styles: list[Path], stylizer: Stylizer
) -> None:
    assert run(content, "-s", styles[0], "-o", "out.png", "--dtype", "bfloat16") == 0
    half = adain_lit.load("compact", device="cpu", dtype=torch.bfloat16)
    assert same(here / "out.png", half(content, styles[0], style_size=STYLE_SIZE))
    assert not same(here / "out.png", stylizer(content, styles[0], style_size=STYLE_SIZE))


def test_crop_takes_the_middle_square(run: Run, here: Path, content: Path, styles: list[Path]) -> None:
    """Oracle: the square cut out by Pillow."""
    read_image(content).crop((12, 0, 84, 72)).save(here / "square.png")
    assert run(content, "-s", styles[0], "--crop", "-o", "cropped.png") == 0
    assert run("square.png", "-s", styles[0], "-o", "expected.png") == 0
    assert same(here / "cropped.png", read_image(here / "expected.png"), off=0)


def test_batches_make_the_images_that_are_made_one_by_one(
    run: Run, here: Path, photographs: Path, styles: list[Path], tmp_path: Path
) -> None:
    """With a content of another size among them."""
    small("coffee.png", (80, 72)).save(tmp_path / "another.png")
    common = [photographs, tmp_path / "another.png", "-s", *styles[:2], "--every-pair", "--format", "png"]
    assert run(*common, "-o", "one") == 0
    assert run(*common, "-o", "two", "--batch-size", 2, "--jobs", 1) == 0
    assert len(files(here / "one")) == 14
    assert files(here / "one") == files(here / "two")
    for name in files(here / "one"):
        assert same(here / "two" / name, read_image(here / "one" / name)), name


def test_orientation_is_applied_and_camera_data_and_colour_profile_are_kept(
    run: Run, here: Path, tmp_path: Path, styles: list[Path]
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"  # orientation and maker
    small("coffee.png").save(tmp_path / "turned.jpg", exif=exif, icc_profile=profile, quality=95)
    for name in ("out.jpg", "out.png", "out.webp"):
        assert run(tmp_path / "turned.jpg", "-s", styles[0], "-o", name) == 0
        with Image.open(here / name) as image:
            assert image.size == (72, 96)
            assert dict(image.getexif()) == {0x010F: "Camera"}
            assert image.info["icc_profile"] == profile
    assert run(tmp_path / "turned.jpg", "-s", styles[0], "-o", "out.tiff") == 0
    with Image.open(here / "out.tiff") as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert image.info["icc_profile"] == profile


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_transparency_is_kept_on_request_and_follows_the_size_and_the_crop(
    suffix: str, run: Run, here: Path, tmp_path: Path, styles: list[Path]
) -> None:
    """Oracle: the upper half is transparent, and the colours are those without the option."""
    image = small("coffee.png").convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 96, 36))
    image.save(tmp_path / "cut.png")
    common = [tmp_path / "cut.png", "-s", styles[0], "--size", 48, "--crop"]
    assert run(*common, "--keep-alpha", "-o", f"kept.{suffix}") == 0
    assert run(*common, "-o", "plain.png") == 0
    with Image.open(here / "plain.png") as plain, Image.open(here / f"kept.{suffix}") as kept:
        assert (plain.mode, plain.size, kept.mode, kept.size) == ("RGB", (48, 48), "RGBA", (48, 48))
        alpha = np.asarray(kept)[..., 3]
        if suffix != "webp":
            assert np.array_equal(np.asarray(kept)[..., :3], np.asarray(plain))
    assert (alpha[:20] == 0).all()
    assert (alpha[28:] == 255).all()


def test_what_is_transparent_in_a_mask_is_left_out(run: Run, here: Path, content: Path, styles: list[Path]) -> None:
    """Oracle: the mask that is black there."""
    white = Image.new("RGBA", (96, 72), "white")
    white.paste((255, 255, 255, 0), (0, 0, 48, 72))
    white.save(here / "cut.png")
    Image.fromarray(np.asarray(white)[..., 3]).save(here / "black.png")
    for name in ("cut", "black"):
        assert run(content, "-s", styles[0], "--mask", f"{name}.png", "-o", f"out_{name}.png") == 0
    assert same(here / "out_cut.png", read_image(here / "out_black.png"), off=0)


def test_of_a_file_with_several_frames_the_first_is_used_and_a_line_says_so(
    run: Run, here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = images.write_good(tmp_path / "good")
    pages, style = good["several_pages_tiff"], good["animated_gif"]
    assert run(pages, "-s", style, "-o", "out.png") == 0
    assert sorted(caplog.messages) == sorted(f"{path} has 2 frames; the first is used" for path in (pages, style))


# grids


def test_a_grid_has_a_row_for_each_content_and_a_column_for_each_style(
    run: Run, here: Path, photographs: Path, styles: list[Path]
) -> None:
    """Oracle: sides of 256 pixels and 6 between, contents of 4:3, styles of 6:5; the corner alone is white."""
    assert run(photographs / "coffee.jpg", photographs / "more", "-s", *styles[:2], "--grid", "--no-labels") == 0
    assert files(here) == {"grid.png"}
    grid = np.asarray(read_image(here / "grid.png"))
    assert grid.shape == (192 + 3 * 192 + 5 * 6, 3 * 262 + 6, 3)
    for row, top in enumerate((6, 204, 402, 600)):
        for column in range(3):
            middle = grid[top:, 6 + 262 * column :][90:100, 120:136]
            assert bool((middle == 255).all()) == (row == column == 0)


def test_images_of_a_grid_have_the_size_that_is_given_and_labels_beside_them(
    run: Run, here: Path, photographs: Path, styles: list[Path]
) -> None:
    """Oracle: the content stylised alone, pixel by pixel."""
    command = [photographs / "coffee.jpg", "-s", *styles[:2], "--size", 60]
    assert run(*command, "--every-pair") == 0
    assert run(*command, "--grid", "-o", "labelled.png") == 0
    assert run(*command, "--grid", "--no-labels", "-o", "plain.png") == 0
    labelled, plain = (np.asarray(read_image(here / f"{name}.png")) for name in ("labelled", "plain"))
    assert plain.shape == (2 * 60 + 18, 3 * 86 + 6, 3)
    for column, style in enumerate(styles[:2], 1):
        alone = np.asarray(read_image(here / f"coffee_stylized_{style.stem}.jpg")).astype(int)
        cell = plain[72:132, 6 + 86 * column :][:, :80]
        assert np.abs(cell - alone).mean() < 4, "but for JPEG"
    top, left = np.subtract(labelled.shape[:2], plain.shape[:2])
    assert min(top, left) > 0
    assert np.array_equal(labelled[top:, left:], plain)


@pytest.mark.parametrize("option", ["--grid", "--trade-off"])
@pytest.mark.parametrize("kind", ["png", "jpg", "pdf"])
def test_grids_are_printed_at_300_dots_per_inch(
    option: str, kind: str, run: Run, here: Path, photographs: Path, styles: list[Path]
) -> None:
    assert run(photographs / "coffee.jpg", "-s", styles[0], option, "--size", 40, "--format", kind) == 0
    (path,) = here.iterdir()
    if kind == "pdf":
        page = path.read_bytes()
        assert page.startswith(b"%PDF")
        (width,) = re.findall(rb"/Width (\d+)", page)
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", page)
        assert float(box) == pytest.approx(int(width) * 72 / 300)
    else:
        with Image.open(path) as image:
            assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


def test_a_single_image_is_no_pdf(run: Run, content: Path, styles: list[Path], capsys: Any) -> None:
    assert run(content, "-s", styles[0], "--format", "pdf") == 2
    assert "cannot write pdf files; known are jpg" in capsys.readouterr().err


def test_a_grid_with_masks_shows_styles_masks_and_result_of_each_content(
    run: Run, here: Path, photographs: Path, styles: list[Path], tmp_path: Path
) -> None:
    """Oracle: the places' own pixels: the masks, and the image that is made without --grid."""
    halves = np.zeros((48, 64), np.uint8)
    halves[:, :32] = 255
    for name, mask in (("left", halves), ("right", 255 - halves)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    command = [photographs / "coffee.jpg", "-s", *styles[:2], "--size", 60, "--format", "png"]
    command += ["--mask", tmp_path / "left.png", tmp_path / "right.png"]
    assert run(*command, "-o", "alone.png") == 0
    assert run(*command, "--grid", "--no-labels", "-o", "grid.png") == 0
    grid = np.asarray(read_image(here / "grid.png")).astype(int)
    places = [grid[6:66, 6 + start : 86 + start] for start in np.cumsum([0, 86, 78, 86, 78])]
    assert grid.shape[1] == 6 * 7 + 4 * 80 + 2 * 72
    assert np.array_equal(grid[6:66, -86:-6], np.asarray(read_image(here / "alone.png")))
    left, right = places[2], places[4]
    assert left[:, :36].min() == 255
    assert left[:, 44:].max() == 0
    assert np.array_equal(right, 255 - left)


def test_strips_and_grids_of_mixtures_are_made_for_each_content(
    run: Run, here: Path, photographs: Path, styles: list[Path]
) -> None:
    more = [photographs / "more", "--batch-size", 2, "--no-labels"]
    assert run(*more, "-s", styles[0], "--trade-off", "-o", "strips") == 0
    assert files(here / "strips") == {"hubble_deep_field.png", "motorcycle_left.png"}
    strips = [read_image(path) for path in (here / "strips").iterdir()]
    assert [strip.size for strip in strips] == [(5 * 262 + 6 + 236, 192 + 12)] * 2
    assert strips[0].tobytes() != strips[1].tobytes()
    name = "coffee_interpolate_" + "+".join(style.stem for style in styles[:4])[:100] + ".jpg"
    assert run(photographs / "coffee.jpg", "-s", *styles[:4], "--interpolate", "--format", "jpg", "--no-labels") == 0
    assert read_image(here / name).size == (5 * 262 + 6 + 2 * 236, 5 * 198 + 6)


# what exists already


def test_the_same_command_makes_only_what_is_missing(
    run: Run, here: Path, photographs: Path, styles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [photographs, "-s", styles[0], "-o", "out"]
    assert run(*command) == 0
    made = files(here / "out")
    (here / "out" / "coffee.jpg").unlink()
    for name in made - {"coffee.jpg"}:
        os.utime(here / "out" / name, (1000, 1000))
    capsys.readouterr()
    assert run(*command) == 0
    assert "5 of 6 exist already (--overwrite replaces them)" in capsys.readouterr().err
    assert files(here / "out") == made
    assert {name for name in made if (here / "out" / name).stat().st_mtime > 1000} == {"coffee.jpg"}
    assert run(*command, "--overwrite") == 0
    assert min((here / "out" / name).stat().st_mtime for name in made) > 1000


def test_no_network_is_loaded_if_nothing_is_missing(
    run: Run, here: Path, content: Path, styles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "out.png").write_bytes(b"made before")
    assert run(content, "-s", styles[0], "-o", "out.png", "--checkpoint", "gone.ckpt") == 0
    assert capsys.readouterr().err == "1 of 1 exist already (--overwrite replaces them)\n"
    assert (here / "out.png").read_bytes() == b"made before"


def test_what_is_missing_of_several_contents_in_a_batch_gets_its_own_style(
    run: Run, here: Path, photographs: Path, styles: list[Path]
) -> None:
    """One content lacks the first style, the other the second. Oracle: the first run."""
    more = photographs / "more"
    command = [more, "-s", *styles[:2], "--every-pair", "--format", "png", "--batch-size", 2, "-o", "out"]
    assert run(*command) == 0
    lost = [
        here / "out" / styles[0].stem / "hubble_deep_field.png",
        here / "out" / styles[1].stem / "motorcycle_left.png",
    ]
    before = [read_image(path) for path in lost]
    for path in lost:
        path.unlink()
    assert run(*command) == 0
    for path, image in zip(lost, before, strict=True):
        assert same(path, image)


# faults on the way


@pytest.mark.parametrize("batch", [1, 2])
def test_broken_files_among_good_ones_are_reported_at_the_end(
    batch: int, run: Run, here: Path, photographs: Path, styles: list[Path], tmp_path: Path, capsys: Any
) -> None:
    broken = images.write_broken(tmp_path / "broken")
    contents = [photographs / "coffee.jpg", broken["text"], photographs / "chelsea.jpg", broken["truncated_png"]]
    assert run(*contents, photographs / "rocket.jpg", "-s", styles[0], "-o", "out", "--batch-size", batch) == 1
    assert files(here) == {f"out/{name}_stylized_{styles[0].stem}.jpg" for name in ("coffee", "chelsea", "rocket")}
    lines = capsys.readouterr().err.splitlines()[-3:]
    for line, path in zip(lines, (broken["text"], broken["truncated_png"]), strict=False):
        assert line.startswith(f"adain_lit.stylize: cannot read {path} as an image: ")
    assert lines[2] == "2 failed; run the same command again to make what is missing"


def test_a_broken_style_among_good_ones_fails_its_own_images_only(
    run: Run, here: Path, content: Path, styles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = images.write_broken(tmp_path / "broken")["text"]
    assert run(content, "-s", broken, styles[0], "--every-pair") == 1
    assert files(here) == {f"coffee_stylized_{styles[0].stem}.png"}
    assert f"adain_lit.stylize: cannot read {broken} as an image" in capsys.readouterr().err
    assert run(content, broken, "-s", broken, styles[0], "--grid", "--no-labels") == 1
    assert read_image(here / "grid.png").size == (2 * 262 + 6, 192 + 192 + 18)


@pytest.mark.parametrize("role", ["style", "content"])
def test_an_image_too_narrow_to_be_scaled_fails_alone(
    role: str, run: Run, here: Path, content: Path, styles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """100000 x 1 pixels: scaled to a shorter side of 64, 410 megapixels."""
    Image.new("RGB", (100_000, 1)).save(here / "narrow.png")
    arguments = (
        [content, "-s", styles[0], "narrow.png"] if role == "style" else [content, "narrow.png", "-s", styles[0]]
    )
    assert run(*arguments, "--every-pair", "--size", 64, "-o", "out") == 1
    assert files(here / "out") == {f"coffee_stylized_{styles[0].stem}.png"}
    (line, *_) = [line for line in capsys.readouterr().err.splitlines() if "narrow" in line]
    assert f"{role} " in line
    assert "has 100000x1 pixels, which would be 6400000x64 with a shorter side of 64, more than 178956970" in line


def test_a_pipe_in_a_folder_is_one_line_and_the_others_are_made(
    run: Run, here: Path, content: Path, styles: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "in").mkdir()
    for name in ("pipe.jpg", "pipe.mp4"):
        os.mkfifo(here / "in" / name)
    small("coffee.png").save(here / "in" / "coffee.png")
    assert run("in", "-s", styles[0], "-o", "out") == 1
    assert files(here / "out") == {"coffee.png"}
    errors = capsys.readouterr().err
    assert "cannot read in/pipe.jpg as an image: it is a named pipe, not a regular file" in errors
    assert "cannot read in/pipe.mp4 as a video: it is a named pipe, not a regular file" in errors


def test_two_images_of_one_name_are_both_made(
    run: Run, here: Path, content: Path, styles: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    (here / "in").mkdir()
    for name in ("a.jpg", "a.png"):
        small("coffee.png").save(here / "in" / name)
    assert run("in", "-s", styles[0], "--format", "png", "-o", "out") == 0
    assert files(here / "out") == {"a.png", "a_png.png"}
    assert caplog.messages == ["out/a.png is taken; the result for in/a.png is out/a_png.png"]


def test_contents_larger_than_pillow_s_own_limit_are_made(
    run: Run, here: Path, content: Path, styles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert run(content, "-s", styles[0], "-o", "out.png") == 0


def test_contents_are_read_ahead_as_far_as_memory_is_meant_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: by hand, a budget of 100 and images of 40: two at a time."""
    monkeypatch.setattr(batch, "DECODE_BYTES", 100)
    waiting, most = [0], [0]

    def read(_: int) -> None:
        waiting[0] += 1
        most[0] = max(most[0], waiting[0])

    with ThreadPoolExecutor(4) as pool:
        for _, future in batch._prefetch(pool, read, range(20), 8, lambda _: 40):
            future.result()
            waiting[0] -= 1
    assert most[0] <= 3  # the two that wait, and the one that is used
    assert waiting[0] == 0


def test_a_mask_that_does_not_fit_one_content_names_it(
    run: Run, here: Path, photographs: Path, styles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("coffee.png", (50, 80)).save(tmp_path / "upright.jpg")
    mask = tmp_path / "mask.png"
    Image.new("L", (96, 72), 200).save(mask)
    command = [tmp_path / "upright.jpg", photographs / "coffee.jpg", "-s", styles[0], "--mask", mask]
    assert run(*command) == 1
    assert files(here) == {f"coffee_stylized_{styles[0].stem}.jpg"}
    line = f"adain_lit.stylize: {tmp_path / 'upright.jpg'}: a mask is 96x72 and the content 50x80; "
    assert line in capsys.readouterr().err


def test_a_format_that_cannot_hold_the_image_is_one_line(
    run: Run, here: Path, styles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small("rocket.jpg", (17_000, 10)).save(tmp_path / "long.png")
    assert run(tmp_path / "long.png", "-s", styles[0], "--format", "webp") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("adain_lit.stylize: error: cannot write ")
    assert "17000x10 pixels, but webp allows 16383 on a side; write png or tiff" in line
    assert files(here) == set()


@pytest.mark.parametrize("contents", [1, 3])
def test_a_full_disk_ends_the_command_and_leaves_no_half_file(
    contents: int, run: Run, here: Path, photographs: Path, styles: list[Path], capsys: Any, monkeypatch: Any
) -> None:
    def save(image: Image.Image, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", save)
    paths = sorted(photographs.glob("*.jpg"))[:contents]
    assert run(*paths, "-s", styles[0], "-o", "out") == 2
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    assert [line for line in lines if line.strip() and not line.startswith("stylising: ")] == [
        f"adain_lit.stylize: error: No space left on device: out/{paths[0].stem}_stylized_{styles[0].stem}.jpg"
    ]
    assert files(here) == set()


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: not enough")],
)
def test_an_image_that_does_not_fit_into_memory_is_one_line_and_the_others_are_made(
    error: Exception, run: Run, here: Path, photographs: Path, styles: list[Path], capsys: Any, monkeypatch: Any
) -> None:
    many, calls = Stylizer.many, [0]

    def fail_once(*arguments: Any, **controls: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            raise error
        return many(*arguments, **controls)

    monkeypatch.setattr(Stylizer, "many", fail_once)
    more = photographs / "more"
    assert run(more, "-s", styles[0], "-o", "out") == 1
    line = f"{more / 'hubble_deep_field.jpg'} needs more memory than there is; give --tile 512, or a smaller --size"
    assert f"adain_lit.stylize: {line}\n" in capsys.readouterr().err
    assert files(here) == {"out/motorcycle_left.jpg"}


def test_our_own_defects_are_not_swallowed(
    run: Run, content: Path, styles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes")

    monkeypatch.setattr(Stylizer, "many", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        run(content, "-s", styles[0])


def test_control_c_says_how_to_continue(
    run: Run, here: Path, content: Path, styles: list[Path], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stylizer, "many", stop)
    assert run(content, "-s", styles[0]) == 130
    assert capsys.readouterr().err == "adain_lit.stylize: interrupted; run the same command again to continue\n"
    assert files(here) == set()


# bad input


class Bomb:
    """Unpickling it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.fixture
def wrong(here: Path, content: Path, tmp_path: Path) -> dict[str, Path]:
    """Files to go wrong with, outside the folder where the command runs."""
    folder = tmp_path / "wrong"
    folder.mkdir()
    (folder / "text.jpg").write_text("no image")
    (folder / "clip.mp4").write_text("no video either")
    (folder / "list").write_text("a file in the place of a folder")
    Image.new("L", (72, 96), 255).save(folder / "upright.png")
    Image.new("L", (96, 72), 0).save(folder / "black.png")
    (folder / "bomb.pth").write_bytes(pickle.dumps({"state_dict": Bomb(), "encoder": Bomb()}))
    save_file({"vae.encoder.weight": torch.ones(3, 4)}, folder / "foreign.safetensors")
    save_file({"0.weight": torch.ones(512, 8, 3, 3), "0.bias": torch.ones(512)}, folder / "vgg.safetensors")
    Image.new("RGBA", (96, 72)).save(folder / "cut.png")
    (folder / "copy").mkdir()
    small("coffee.png").save(folder / "copy" / "coffee.png")
    return {path.name: path for path in folder.iterdir()}


WRONG: dict[str, tuple[str, str]] = {
    "missing content": ("gone.jpg -s STYLE", "no content gone.jpg; give a file, a folder or a pattern"),
    "text as the only content": ("text.jpg -s STYLE", "text.jpg as an image: no image in a format that is read"),
    "text as the only style": ("CONTENT -s text.jpg", "text.jpg as an image: no image in a format that is read"),
    "text as the only style of a grid": ("CONTENT copy -s text.jpg --grid", "text.jpg as an image: "),
    "text in a mixture": ("CONTENT -s STYLE text.jpg --mix", "text.jpg as an image: "),
    "empty folder": (". -s STYLE", "no image in ."),
    "mask of another shape": ("CONTENT -s STYLE --mask upright.png", "a mask is 72x96 and the content 96x72; "),
    "empty mask": ("CONTENT -s STYLE --mask black.png -o new/out.png", "a mask is empty; "),
    "missing mask": ("CONTENT -s STYLE --mask gone.png", "cannot read gone.png as an image: no such file"),
    "text as a mask": ("CONTENT -s STYLE --mask text.jpg", "text.jpg as an image: "),
    "masks and pairs": ("CONTENT -s STYLE --mask black.png --every-pair", "leave out --every-pair"),
    "weights of pairs": ("CONTENT -s STYLE upright.png --weights 1 2 --every-pair", "1 style but 2 weights; "),
    "alpha not a number": (
        "CONTENT -s STYLE --alpha nan -o new/out.png",
        "alpha is nan; it must be from 0 ",
    ),
    "negative size": ("CONTENT -s STYLE --size -3", "--size is -3; it must be at least 0"),
    "no memory": ("CONTENT -s STYLE --memory 0", "--memory is 0; it must be at least 1"),
    "no batch": ("CONTENT -s STYLE --batch-size 0", "--batch-size is 0; it must be at least 1"),
    "smooth": ("CONTENT -s STYLE --smooth 1", "--smooth is 1.0; "),
    "output over content": ("CONTENT -s STYLE -o CONTENT --overwrite", "would overwrite the input "),
    "grid over style": ("CONTENT -s STYLE -o STYLE --grid --overwrite", "would overwrite the input "),
    "two into a file": ("CONTENT copy -s STYLE -o out.png", "2 images cannot go into the one file out.png"),
    "file for a folder": ("CONTENT -s STYLE -o list/out.png", "cannot write to the folder "),
    "unknown suffix": ("CONTENT -s STYLE -o new/out.gif", "cannot write new/out.gif: its suffix must be one of .jpg"),
    "video in a strip": ("clip.mp4 -s STYLE --trade-off", "clip.mp4 is a video; grids are made of images"),
    "video in a grid": ("CONTENT clip.mp4 -s STYLE --grid", "clip.mp4 is a video; grids are made of images"),
    "alpha in a jpg": (
        "CONTENT -s STYLE --format jpg --keep-alpha",
        "--format jpg cannot hold transparency; give --fo",
    ),
    "alpha in the jpg": (
        "cut.png -s STYLE -o new/out.jpg --keep-alpha",
        "jpg cannot hold transparency; write png, webp",
    ),
    "unknown format": ("CONTENT -s STYLE --format bmp", "cannot write bmp files; known are jpg, jpeg, png"),
    "two corners": ("CONTENT -s STYLE CONTENT --interpolate", "2 styles for the four corners of --interpolate"),
    "weighted corners": ("CONTENT -s STYLE --interpolate --weights 1", "leave out --mask and --weights"),
    "device": ("CONTENT -s STYLE --device abacus", "cannot use device abacus: "),
    "missing checkpoint": ("CONTENT -s STYLE --checkpoint gone.ckpt", "no network 'gone.ckpt': neither a file nor"),
    "pickle bomb": ("CONTENT -s STYLE --checkpoint bomb.pth", "cannot read weights from "),
    "pickle bomb as the encoder": ("CONTENT -s STYLE --checkpoint vgg.safetensors --encoder bomb.pth", "vgg.safeten"),
    "foreign weights": ("CONTENT -s STYLE --checkpoint foreign.safetensors", "foreign.safetensors is no decoder: "),
    "an encoder for a decoder": ("CONTENT -s STYLE --checkpoint vgg.safetensors", "vgg.safetensors is no decoder: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_line_and_nothing_is_written(
    case: str,
    run: Run,
    here: Path,
    content: Path,
    styles: list[Path],
    wrong: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    command, message = WRONG[case]
    known = {"CONTENT": content, "STYLE": styles[0], **wrong}

    def resolve(word: str) -> str:
        first, *rest = word.split("/")
        return str(Path(known[first], *rest)) if first in known else word

    before = {path: path.read_bytes() for path in [content, styles[0], *wrong.values()] if path.is_file()}
    tree = everything(tmp_path)
    assert run(*(resolve(word) for word in command.split())) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("adain_lit.stylize: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert message in err
    assert [str(warning.message) for warning in recwarn] == []  # which would be more lines
    assert everything(tmp_path) == tree  # no output, no folder for it, no temporary file, and no bomb went off
    assert {path: path.read_bytes() for path in before} == before


def test_options_that_exclude_each_other_are_refused_by_the_parser(run: Run, content: Path, styles: list[Path]) -> None:
    assert run(content, "-s", styles[0], "--grid", "--every-pair") == 2


def test_a_bomb_would_go_off_where_pickle_is_trusted(here: Path) -> None:
    """So that the test above could fail."""
    pickle.loads(pickle.dumps(Bomb()))
    assert everything(here) == {"exploded"}


# what is imported


def test_help_is_there_at_once_and_using_a_network_needs_no_trainer() -> None:
    """In a process of its own, which has imported nothing yet."""
    program = (
        "import sys\n"
        "from adain_lit import stylize\n"
        "sys.argv = ['stylize', '--help']\n"
        "try:\n"
        "    stylize.main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert 'torch' not in sys.modules\n"
        "import adain_lit.inference.stylizer, adain_lit.inference.batch\n"
        "assert 'torch' in sys.modules\n"
        "print(sorted({'lightning', 'hydra', 'omegaconf', 'wandb'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--style" in done.stdout
    assert done.stdout.endswith("\n[]\n")
