"""Whatever a caller has an image in, and masks for the cells of a network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.io.images import ImageReadError, to_tensor
from adain_lit.io.inputs import as_bytes, as_image, as_mask, resized_mask
from support import images
from support.images import small

COLOUR = small("coffee.png", (60, 44))
RGB = np.asarray(COLOUR)
GREY = np.asarray(COLOUR.convert("L"))
ALPHA = np.linspace(0, 255, 60).round().astype(np.uint8) + np.zeros((44, 1), np.uint8)
TENSOR = to_tensor(COLOUR)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return images.write_good(tmp_path_factory.mktemp("good"))


SAME: dict[str, Any] = {
    "image": COLOUR,
    "bytes": RGB,
    "integers": RGB.astype(np.int64),
    "16 bits": RGB.astype(np.uint16),
    "doubles": RGB / 255,
    "floats": np.float32(RGB / 255),
    "not contiguous": np.asfortranarray(RGB),
    "tensor": TENSOR,
    "batch of one": TENSOR[None],
    "float tensor": TENSOR / 255,
    "tensor with a gradient": (TENSOR / 255).requires_grad_(),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_of_colour_picture_is_read_as_its_bytes(kind: str) -> None:
    image = as_image(SAME[kind])
    assert image.mode == "RGB"
    assert image.tobytes() == COLOUR.tobytes()


@pytest.mark.parametrize(
    "grey", [GREY, GREY[..., None], GREY / 255, torch.from_numpy(GREY.copy()), torch.from_numpy(GREY.copy())[None]]
)
def test_grey_is_read_as_three_equal_channels(grey: Any) -> None:
    assert np.array_equal(np.asarray(as_image(grey)), np.stack([GREY] * 3, -1))


@pytest.mark.parametrize("form", ["bytes", "floats", "tensor", "image"])
def test_transparency_lies_over_white(form: str) -> None:
    """Oracle: the blend in NumPy, off by one of 255 at most."""
    rgba = np.dstack([RGB, ALPHA])
    tensor = torch.from_numpy(rgba.transpose(2, 0, 1).copy())
    forms: dict[str, Any] = {
        "bytes": rgba,
        "floats": rgba / 255,
        "tensor": tensor,
        "image": Image.fromarray(rgba),
    }
    share = ALPHA[..., None] / 255
    expected = RGB * share + 255 * (1 - share)
    assert np.abs(np.asarray(as_image(forms[form])) - expected).max() <= 1


def test_true_is_white_and_false_is_black() -> None:
    expected = np.where(GREY > 99, 255, 0)
    for given in (GREY > 99, torch.from_numpy(GREY > 99)):
        assert np.array_equal(np.asarray(as_image(given))[..., 0], expected)
        assert np.array_equal(as_mask(given).numpy(), expected / 255)


def test_half_precision_and_values_just_beyond_0_and_1_are_read() -> None:
    """What a network gives. Oracle: by hand."""
    values = torch.tensor([[-0.01, 0.0, 0.5, 1.0, 1.02]])
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        assert np.asarray(as_image(values.to(dtype)))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_files_are_read_as_everywhere(tmp_path: Path) -> None:
    good = images.write_good(tmp_path / "good")
    for name in ("orientation_6", "rgba", "grey16_png", "palette"):
        expected = images.true_colours(name)
        for path in (good[name], str(good[name])):
            found = np.asarray(as_image(path))
            assert found.shape == expected.shape
            assert np.abs(found.astype(float) - expected).mean() < images.WITH_LOSS
    with pytest.raises(ImageReadError, match="no such file"):
        as_image(tmp_path / "gone.png")


@pytest.mark.parametrize("values", [[0.0, 254.3], [-1.0, 1.0]])
def test_a_mask_in_another_range_is_refused(values: list[float]) -> None:
    with pytest.raises(InputError, match=r"the mask has floating-point values from .* must lie in \[0, 1\]"):
        as_mask(np.array([values]))


def test_a_mask_of_the_bytes_0_and_1_is_refused_and_a_black_one_is_not() -> None:
    with pytest.raises(InputError, match="the mask has the values 0 and 1 of 255, which are nearly black; give bool"):
        as_mask(np.array([[0, 1], [1, 0]], np.uint8))
    assert float(as_mask(np.zeros((2, 2), np.uint8)).max()) == 0


@pytest.mark.parametrize("name", [f"orientation_{k}" for k in range(1, 9)] + ["exif_cut_short", "exif_garbage_png"])
def test_a_file_its_bytes_and_its_pil_image_are_the_same_image(name: str, good: dict[str, Path]) -> None:
    """Oracle: the pixels that were written; and an image that was converted once is upright."""
    path = good[name]
    expected = as_image(path)
    assert np.abs(np.asarray(expected).astype(float) - images.true_colours(name)).mean() < images.WITH_LOSS
    assert as_image(path.read_bytes()).tobytes() == expected.tobytes()
    if not name.startswith("exif"):  # Pillow itself does not read those two
        with Image.open(path) as image:
            assert as_image(image).tobytes() == expected.tobytes()
        with Image.open(path) as image:
            assert as_image(as_image(image)).tobytes() == expected.tobytes()
    assert as_image(expected).tobytes() == expected.tobytes()


def test_a_tiff_that_pillow_turns_on_loading_is_not_turned_twice(tmp_path: Path) -> None:
    """Oracle: by hand, 4 x 2 pixels whose first row of the file is the right column."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "turned.tif", exif=exif)
    assert as_image(tmp_path / "turned.tif").size == (2, 4)
    with Image.open(tmp_path / "turned.tif") as image:
        assert as_image(image).size == (2, 4)


@pytest.mark.parametrize("form", ["file", "image", "array", "tensor"])
def test_what_is_transparent_in_a_mask_is_left_out(form: str, tmp_path: Path) -> None:
    """Oracle: brightness times opacity."""
    rgba = np.dstack([RGB, ALPHA])
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    forms: dict[str, Any] = {
        "file": tmp_path / "mask.png",
        "image": Image.fromarray(rgba),
        "array": rgba,
        "tensor": torch.from_numpy(rgba.transpose(2, 0, 1).copy()),
    }
    expected = GREY / 255 * (ALPHA / 255)
    assert np.abs(as_mask(forms[form]).numpy() - expected).max() < 2 / 255


def test_of_several_frames_the_first_is_used_and_a_line_says_so(
    good: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("animated_gif", "animated_png", "several_pages_tiff"):
        caplog.clear()
        as_image(good[name])
        assert caplog.messages == [f"{good[name]} has 2 frames; the first is used"]
    caplog.clear()
    for name in ("several_pictures_jpeg", "palette"):  # a camera's previews, and one frame
        as_image(good[name])
    assert caplog.messages == []


def test_an_image_that_would_be_enlarged_beyond_measure_is_refused_before_it_is() -> None:
    """Oracle: 100000 x 1 pixels with a shorter side of 512 are 26 gigapixels."""
    narrow = Image.new("RGB", (100_000, 1))
    with pytest.raises(InputError, match=r"the style has 100000x1 pixels, which would be 51200000x512 with a shorter"):
        as_bytes(narrow, "style", size=512)
    assert as_bytes(narrow, "style", size=2).shape == (1, 3, 2, 200_000)


REFUSED: dict[str, tuple[Any, str]] = {
    "two channels": (np.zeros((8, 8, 2)), r"\(8, 8, 2\); an array needs"),
    "five channels": (np.zeros((8, 8, 5)), "an array needs"),
    "one row": (np.zeros(8), "an array needs"),
    "a batch": (torch.zeros(2, 3, 8, 8), r"\(2, 3, 8, 8\); .* a tensor \(3, H, W\)"),
    "a tensor with channels last": (torch.zeros(16, 17, 3), "a tensor"),
    "nothing": (np.zeros((0, 5, 3)), r"\(0, 5, 3\)"),
    "not finite": (np.array([[0.0, np.nan]]), "not finite"),
    "infinite": (torch.tensor([[0.0, float("inf")]]), "not finite"),
    "beyond a byte": (np.full((4, 4), 256), r"int64 that are not 0\.\.255"),
    "16 bits": (np.full((4, 4, 3), 65535, np.uint16), r"uint16 that are not 0\.\.255"),
    "below 0": (torch.full((4, 4), -1), r"not 0\.\.255"),
    "text": (np.array([["a"]]), r"not 0\.\.255"),
    "complex": (np.array([[1j]]), r"not 0\.\.255"),
    "a list": ([[0, 1], [1, 0]], "the thing is a list; needed is a file"),
    "None": (None, "the thing is a NoneType"),
    "floats in 0..255": (np.array([[0.0, 254.3]]), r"from 0 to 254\.3; they must lie in \[0, 1\]: divide"),
    "floats in -1..1": (torch.linspace(-1, 1, 48).reshape(3, 4, 4), r"from -1 to 1; .* map -1\.\.1 by \(x \+ 1\) / 2"),
    "normalised by ImageNet's statistics": (np.full((4, 4, 3), 2.6), r"from 2\.6 to 2\.6; they must lie in"),
    "floating-point file": (Image.fromarray(np.zeros((4, 4), np.float32)), "cannot read the thing: floating-point"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_picture_is_refused_in_one_line(kind: str) -> None:
    given, message = REFUSED[kind]
    with pytest.raises(InputError, match=message) as error:
        as_image(given, "thing")
    assert "\n" not in str(error.value)
    assert "thing" in str(error.value)


def test_a_file_that_pillow_opened_and_cannot_finish_is_refused(tmp_path: Path) -> None:
    broken = images.write_broken(tmp_path)
    with Image.open(broken["truncated_png"]) as image, pytest.raises(InputError, match="cannot read the content"):
        as_image(image, "content")


def test_a_mask_is_its_brightness() -> None:
    assert np.allclose(as_mask(GREY).numpy(), GREY / 255)
    assert np.allclose(as_mask(COLOUR).numpy(), GREY / 255)
    assert np.allclose(as_mask(Image.fromarray(GREY > 99)).numpy(), GREY > 99)


@pytest.mark.parametrize("size", [(64, 48), (61, 45), (57, 41)])
def test_a_cell_has_the_mean_of_the_mask_over_its_pixels(size: tuple[int, int]) -> None:
    """Oracle: blocks of 8 x 8 and 4 x 4 pixels in NumPy, cut off where the image ends."""
    width, height = size
    mask = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    strides = (8, 4)
    for cells, stride in zip(resized_mask(mask, (height, width), (height, width), strides), strides, strict=True):
        assert cells.shape == (1, 1, -(-height // stride), -(-width // stride))
        for i in range(cells.shape[2]):
            for j in range(cells.shape[3]):
                block = mask[stride * i : stride * (i + 1), stride * j : stride * (j + 1)]
                assert float(cells[0, 0, i, j]) == pytest.approx(block.mean() / 255, abs=1e-5)


def test_a_mask_follows_the_content_where_that_is_continued_for_the_network() -> None:
    """Oracle: by hand; 3 x 2 pixels of which the right column is set, continued to 9 x 9."""
    mask = np.array([[0, 0, 255], [0, 0, 255]], np.uint8)
    pixels, cells = resized_mask(mask, (2, 3), (9, 9), (1, 8))
    assert pixels[0, 0].tolist() == [[0, 0, 1, 1, 1, 1, 1, 1, 1]] * 9
    assert cells.shape == (1, 1, 2, 2)
    assert cells[0, 0].flatten().tolist() == pytest.approx([6 / 8, 1, 6 / 8, 1])


def test_a_mask_at_another_scale_is_the_same_mask() -> None:
    mask = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 2, (6, 8)) * 255, 8, 0), 8, 1).astype(np.uint8)
    (expected,) = resized_mask(mask, (48, 64), (48, 64), (8,))
    for scaled in (mask[::4, ::4], np.repeat(np.repeat(mask, 3, 0), 3, 1)):
        (cells,) = resized_mask(scaled, (48, 64), (48, 64), (8,))
        assert torch.allclose(cells, expected, atol=1e-6)


FITTING = [((96, 72), (96, 72)), ((48, 36), (96, 72)), ((33, 25), (100, 75)), ((200, 10), (4000, 195))]
FITTING += [((10, 200), (195, 4000)), ((1, 1), (30, 30)), ((300, 225), (96, 72))]
OTHER_SHAPE = [((72, 96), (96, 72)), ((96, 96), (96, 72)), ((10, 200), (30, 200)), ((200, 10), (200, 30))]
OTHER_SHAPE += [((96, 66), (96, 72)), ((2, 2), (400, 20))]


@pytest.mark.parametrize(("mask", "content"), FITTING)
def test_a_mask_of_the_content_s_shape_fits_but_for_rounding(mask: tuple[int, int], content: tuple[int, int]) -> None:
    resized_mask(np.ones(mask[::-1], bool), content[::-1], content[::-1], (8,))


@pytest.mark.parametrize(("mask", "content"), OTHER_SHAPE)
def test_a_mask_of_another_shape_is_refused(mask: tuple[int, int], content: tuple[int, int]) -> None:
    message = f"a mask is {mask[0]}x{mask[1]} and the content {content[0]}x{content[1]}; .* at any scale"
    with pytest.raises(InputError, match=message):
        resized_mask(np.ones(mask[::-1], bool), content[::-1], content[::-1], (8,))
