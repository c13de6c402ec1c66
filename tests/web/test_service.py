"""What the button of the web page makes, and what it says if something is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Stylizer, load
from adain_lit.web.service import CANVAS, StylizeService
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


def same(path: Path, image: Image.Image) -> bool:
    """Bit for bit, read back from a PNG file."""
    with Image.open(path) as made:
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
    ],
    ids=str,
)
def test_result_is_the_stylizers(
    page_controls: dict[str, Any], controls: dict[str, Any], service: StylizeService, files: dict[str, str]
) -> None:
    path = service.make(files["astronaut"], [files["coffee"]], [1], **{"size": 48, **page_controls})
    assert same(path, service.stylizer(files["astronaut"], files["coffee"], **{"size": 48, **controls}))


def test_weights_stay_with_their_styles_if_places_are_empty(service: StylizeService, files: dict[str, str]) -> None:
    coffee, chelsea = files["coffee"], files["chelsea"]
    path = service.make(files["astronaut"], [None, coffee, None, chelsea], [0.9, 0.25, 0.6, 0.75], size=48)
    assert same(path, service.stylizer(files["astronaut"], [coffee, chelsea], weights=[0.25, 0.75], size=48))


def test_the_weight_of_a_single_style_does_not_matter(service: StylizeService, files: dict[str, str]) -> None:
    """Its slider is hidden."""
    path = service.make(files["astronaut"], [files["coffee"], None], [0, 0], size=48)
    assert same(path, service.stylizer(files["astronaut"], files["coffee"], size=48))


@pytest.mark.parametrize("names", [("coffee",), ("coffee", "chelsea"), ("coffee", "chelsea", "rocket")], ids=str)
def test_painted_part_takes_the_first_style_and_the_rest_the_others(
    names: Sequence[str], service: StylizeService, files: dict[str, str]
) -> None:
    styles = [files[name] for name in names]
    painted = disc((96, 72))
    path = service.make(files["astronaut"], styles, [1] * len(styles), painted=painted, size=72)
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
        service.make(content and files[content], [name and files[name] for name in styles], weights, size=size)
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
        service.make(files["astronaut"], [files["coffee"]], [1], alpha=alpha, size=48)
    assert encoded == [(96, 72)]
