"""What the button of the web page makes, and what it says if something is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Stylizer, load
from adain_lit.web.service import CANVAS, PREVIEW, Controls, Result, StylizeService, file_name
from support.images import small
from support.uploads import write_uploads


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return load("compact", device="cpu")


@pytest.fixture
def service(stylizer: Stylizer, tmp_path: Path) -> StylizeService:
    return StylizeService(stylizer, tmp_path / "results", max_pixels=100_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_uploads(tmp_path_factory.mktemp("files"))


SMALL = Controls(size=48)


def same(result: Result, image: Image.Image) -> bool:
    """Bit for bit, read back from a PNG file."""
    with Image.open(result.path) as made:
        return made.format == "PNG" and ImageChops.difference(made, image).getbbox() is None


def disc(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((10, 10, size[0] // 2, size[1] // 2), fill=255)
    return mask


@pytest.mark.parametrize(
    ("page_controls", "controls"),
    [
        ({}, {}),
        ({"alpha": 0.4}, {"alpha": 0.4}),
        ({"color": "coral"}, {"preserve_color": "coral"}),
        ({"color": "luminance"}, {"preserve_color": "luminance"}),
        ({"size": 0}, {"size": None}),
        ({"style_size": 40}, {"style_size": 40}),
    ],
    ids=str,
)
def test_result_is_the_stylizers(
    page_controls: dict[str, Any], controls: dict[str, Any], service: StylizeService, files: dict[str, str]
) -> None:
    path = service.make(files["astronaut"], [files["coffee"]], [1], controls=SMALL._replace(**page_controls))
    assert same(path, service.stylizer(files["astronaut"], files["coffee"], **{"size": 48, **controls}))


def test_weights_stay_with_their_styles_if_places_are_empty(service: StylizeService, files: dict[str, str]) -> None:
    coffee, chelsea = files["coffee"], files["chelsea"]
    path = service.make(files["astronaut"], [None, coffee, None, chelsea], [0.9, 0.25, 0.6, 0.75], controls=SMALL)
    assert same(path, service.stylizer(files["astronaut"], [coffee, chelsea], weights=[0.25, 0.75], size=48))


def test_the_weight_of_a_single_style_does_not_matter(service: StylizeService, files: dict[str, str]) -> None:
    """Its slider is hidden."""
    path = service.make(files["astronaut"], [files["coffee"], None], [0, 0], controls=SMALL)
    assert same(path, service.stylizer(files["astronaut"], files["coffee"], size=48))


@pytest.mark.parametrize("names", [("coffee",), ("coffee", "chelsea"), ("coffee", "chelsea", "rocket")], ids=str)
def test_painted_part_takes_the_first_style_and_the_rest_the_others(
    names: Sequence[str], service: StylizeService, files: dict[str, str]
) -> None:
    styles = [files[name] for name in names]
    painted = disc((96, 72))
    path = service.make(files["astronaut"], styles, [1] * len(styles), painted=painted, controls=Controls(size=72))
    masks = [painted, *[ImageChops.invert(painted)] * (len(styles) - 1)]
    assert same(path, service.stylizer(files["astronaut"], styles, weights=[1] * len(styles), masks=masks, size=72))


def test_canvas_is_a_small_upright_copy(service: StylizeService, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    small("astronaut.png", (300, 200)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (CANVAS + 10, 100)).save(tmp_path / "wide.png")
    for name, size in (("turned.jpg", (200, 300)), ("wide.png", (CANVAS, round(100 * CANVAS / (CANVAS + 10))))):
        canvas = service.canvas(str(tmp_path / name))
        assert canvas is not None
        assert canvas.size == size
    assert service.canvas(None) is None


@pytest.mark.parametrize(
    ("content", "styles", "weights", "size", "message"),
    [
        (None, ["coffee"], [1], 48, "Add your image first."),
        ("astronaut", [None, None], [1, 1], 48, "Add at least one style image."),
        (
            "astronaut",
            ["coffee", "chelsea"],
            [0, 0],
            48,
            "All styles have weight 0; raise at least one.",
        ),
        ("empty", ["coffee"], [1], 48, "Your image (empty.jpg) cannot be used: the file is empty."),
        ("text", ["coffee"], [1], 48, "Your image (text.jpg) cannot be used: no image in a format that is read."),
        ("astronaut", [None, "cut"], [1, 1], 48, "Style 2 (cut.jpg) cannot be used: image file is truncated"),
        ("large", ["coffee"], [1], 48, "400x300 pixels, more than the limit of 100000 pixels."),
        ("astronaut", ["large"], [1], 48, "Style 1 (large.png) cannot be used: 400x300 pixels, more than the limit"),
        ("astronaut", ["coffee"], [1], 768, "The result would be too large (1024x768 pixels); choose a smaller size."),
        ("astronaut", ["strip"], [1], 48, "Style 1 (strip.png) is too narrow (4000x8 pixels); crop it."),
    ],
)
def test_mistakes_are_one_line(
    content: str | None,
    styles: list[str | None],
    weights: list[float],
    size: int,
    message: str,
    service: StylizeService,
    files: dict[str, str],
) -> None:
    with pytest.raises(InputError) as caught:
        service.make(
            content and files[content], [name and files[name] for name in styles], weights, controls=Controls(size=size)
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value), "no path of the server"


def test_a_style_is_encoded_once(
    service: StylizeService, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = []
    encode = service.stylizer.encode_style
    monkeypatch.setattr(service.stylizer, "encode_style", lambda x, **o: encoded.append(x.size) or encode(x, **o))
    for alpha in (1, 0.5):
        service.make(files["astronaut"], [files["coffee"]], [1], controls=SMALL._replace(alpha=alpha))
    assert encoded == [(96, 72)]


def test_the_content_is_beside_the_result_in_its_size(service: StylizeService, files: dict[str, str]) -> None:
    made = service.make(files["astronaut"], [files["coffee"]], [1], controls=SMALL)
    with Image.open(made.before) as before, Image.open(made.path) as after:
        assert before.size == after.size == (64, 48)
        assert ImageChops.difference(before, small("astronaut.png", (64, 48))).resize((1, 1)).getpixel((0, 0)) < (
            6,
            6,
            6,
        )


def test_files_are_named_after_their_settings(service: StylizeService, files: dict[str, str]) -> None:
    controls = Controls(0.55, 256, "luminance", 48)
    made = service.make(files["astronaut"], [None, files["coffee"]], [1, 1], controls=controls)
    assert Path(made.path).name == "astronaut_coffee_strength-0.55_style-256_luminance_48px.png"
    assert made.caption == "coffee, strength 0.55, style 256, colours of the image, 48 px"
    assert made.controls == controls
    assert len(file_name("字" * 200, ["ж" * 200] * 4, controls).encode()) <= 255


def test_a_preview_is_the_small_result(service: StylizeService, files: dict[str, str]) -> None:
    """Oracle: the stylizer, on the content scaled down and on styles scaled down as much."""
    controls = Controls(0.7, 96, "none", 144)
    images = service.preview(files["astronaut"], [files["coffee"]], [1], controls=controls)
    assert images is not None
    before, after = images
    assert max(before.size) <= PREVIEW
    assert before.size == after.size == (96, 72), "it is not enlarged"
    expected = service.stylizer(files["astronaut"], files["coffee"], alpha=0.7, style_size=48)
    assert ImageChops.difference(after, expected).getbbox() is None


def test_a_preview_follows_each_of_its_inputs(service: StylizeService, files: dict[str, str]) -> None:
    def after(content: str, styles: list[str], weights: list[float], **controls: Any) -> bytes:
        images = service.preview(
            files[content], [files[name] for name in styles], weights, controls=Controls(**controls)
        )
        assert images is not None
        return images[1].tobytes()

    seen = {
        after("astronaut", ["coffee"], [1]),
        after("astronaut", ["coffee"], [1], alpha=0.5),
        after("astronaut", ["coffee"], [1], style_size=128),
        after("astronaut", ["coffee"], [1], color="luminance"),
        after("chelsea", ["coffee"], [1]),
        after("chelsea", ["coffee", "astronaut"], [1, 1]),
        after("chelsea", ["coffee", "astronaut"], [1, 0.2]),
    }
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("content", "styles", "weights"),
    [(None, ["coffee"], [1]), ("astronaut", [None], [1]), ("astronaut", ["coffee", "chelsea"], [0, 0])],
)
def test_there_is_no_preview_while_something_is_missing(
    content: str | None, styles: list[str | None], weights: list[float], service: StylizeService, files: dict[str, str]
) -> None:
    given = [name and files[name] for name in styles]
    assert service.preview(content and files[content], given, weights) is None
