"""A network in use: every control against the formulas written out, every kind of image, every size."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import adain_lit
from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm
from adain_lit.functional.matching import style_swap
from adain_lit.inference.stylizer import Stylizer
from adain_lit.inference.tiling import bytes_per_pixel, decoder_radius
from adain_lit.io.images import to_image, to_tensor
from adain_lit.nets import StyleTransferNet
from support.images import small
from support.networks import SKIP_LAYERS, each_network, small_network

CONTENT, STYLE, OTHER = small("coffee.png"), small("chelsea.png", (80, 64)), small("rocket.jpg", (64, 72))


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return Stylizer(small_network(), device="cpu")


@pytest.fixture(scope="module", params=[(), SKIP_LAYERS], ids=["plain", "skips"])
def either(request: pytest.FixtureRequest) -> Stylizer:
    """Of the paper's network, and of one that fuses lower layers too."""
    return Stylizer(small_network(skip_layers=request.param), device="cpu")


def encoded(stylizer: Stylizer, *images: Image.Image) -> list[tuple[Tensor, ...]]:
    """Features of the fused layers of each image."""
    return [stylizer.net.encode(to_tensor(image)[None] / 255) for image in images]


def adain(content: Sequence[Tensor], style: Sequence[Tensor]) -> list[Tensor]:
    """Eq. 8 at each layer."""
    return [adaptive_instance_norm(x, y) for x, y in zip(content, style, strict=True)]


def grey(function: Callable[[NDArray[Any], NDArray[Any]], Any], size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A mask of width and height `size` from a function of y and x in pixels, in [0, 1]."""
    y, x = np.mgrid[: size[1], : size[0]]
    return Image.fromarray(np.round(255.0 * function(y, x)).astype(np.uint8))


def tensor(stylizer: Stylizer, content: Any, style: Any, **controls: Any) -> Tensor:
    """As tensor, from styles at their own size, which is small."""
    return stylizer.tensor(content, style, **{"style_size": None, **controls})


def difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())


def test_images_of_the_networks_of_these_tests_use_the_range(either: Stylizer) -> None:
    """Or agreement would say nothing."""
    image = tensor(either, CONTENT, STYLE)
    assert image.std() > 0.1
    assert ((image > 0) & (image < 1)).float().mean() > 0.5
    assert difference(image, tensor(either, CONTENT, OTHER)) > 0.1
    assert difference(image, tensor(either, CONTENT, STYLE, alpha=0)) > 0.1


def test_alpha_0_is_the_decoded_content_and_1_the_formula(either: Stylizer) -> None:
    """Oracle: g(f(c)), g(AdaIN(f(c), f(s))) and Eq. 14 between, from the network's own parts."""
    content, style = encoded(either, CONTENT, STYLE)
    styled = adain(content, style)
    for alpha in (0.0, 0.3, 1.0, 1.5):
        fused = tuple((1 - alpha) * x + alpha * y for x, y in zip(content, styled, strict=True))
        expected = either.net.decode(fused, (72, 96))[0].clamp(0, 1)
        assert difference(tensor(either, CONTENT, STYLE, alpha=alpha), expected) < 1e-4


def test_several_styles_are_a_weighted_sum_at_every_layer(either: Stylizer) -> None:
    """Oracle: Eq. 15 with weights over their sum, from the network's own parts."""
    content, style, other = encoded(either, CONTENT, STYLE, OTHER)
    fused = tuple(0.25 * x + 0.75 * y for x, y in zip(adain(content, style), adain(content, other), strict=True))
    expected = either.net.decode(fused, (72, 96))[0].clamp(0, 1)
    assert difference(tensor(either, CONTENT, [STYLE, OTHER], weights=[1, 3]), expected) < 1e-4


@pytest.mark.parametrize("masked", [False, True])
def test_equal_styles_are_one_style(stylizer: Stylizer, masked: bool) -> None:
    mask = grey(lambda y, x: x < 40)
    one = tensor(stylizer, CONTENT, STYLE, masks=[mask] if masked else None)
    three = tensor(stylizer, CONTENT, [STYLE] * 3, weights=[1, 5, 2], masks=[mask] * 3 if masked else None)
    assert difference(one, three) < 1e-5


def test_the_order_of_styles_with_their_weights_and_masks_does_not_matter(stylizer: Stylizer) -> None:
    """Soft masks that overlap and leave some of the content uncovered."""
    styles = [STYLE, OTHER, small("hubble_deep_field.jpg")]
    weights = [0.5, 3.0, 1.0]
    masks = [grey(lambda y, x: x / 95), grey(lambda y, x: (y > 30) * 0.6), grey(lambda y, x: (y + x < 90) * y / 90)]
    given = tensor(stylizer, CONTENT, styles, weights=weights, masks=masks)
    for order in ((2, 0, 1), (1, 0, 2)):
        permuted = {"weights": [weights[i] for i in order], "masks": [masks[i] for i in order]}
        assert difference(given, tensor(stylizer, CONTENT, [styles[i] for i in order], **permuted)) < 1e-5
    assert difference(given, tensor(stylizer, CONTENT, styles, weights=weights, masks=masks[::-1])) > 0.05


@pytest.mark.parametrize("size", [(96, 72), (93, 70)])
def test_masks_that_partition_the_image_are_its_regions_done_alone(either: Stylizer, size: tuple[int, int]) -> None:
    """Oracle: features cut at the border, each part normalised by its own statistics alone, put together and decoded.

    Spatial positions are 8 pixels wide and less at lower layers; at odd sizes the last is narrower. Weights do not
    matter.
    """
    image = CONTENT.resize(size)
    masks = [grey(lambda y, x: x < 40, size), grey(lambda y, x: x >= 40, size)]
    content, style, other = encoded(either, image, STYLE, OTHER)
    left = [x[..., : 40 // stride] for x, stride in zip(content, either.net.strides, strict=True)]
    right = [x[..., 40 // stride :] for x, stride in zip(content, either.net.strides, strict=True)]
    parts = zip(adain(left, style), adain(right, other), strict=True)
    fused = tuple(torch.cat(pair, 3) for pair in parts)
    expected = either.net.decode(fused, (size[1], size[0]))[0].clamp(0, 1)
    made = tensor(either, image, [STYLE, OTHER], masks=masks, weights=[1, 4])
    assert difference(made, expected) < 1e-4


def test_a_soft_mask_over_all_is_an_alpha_and_two_of_them_mix(either: Stylizer) -> None:
    """Oracle: a mask of m everywhere moves by m from content to style, as alpha does; halves add up to a mixture."""
    mask = grey(lambda y, x: np.full(y.shape, 102 / 255))
    expected = tensor(either, CONTENT, STYLE, alpha=102 / 255)
    assert difference(tensor(either, CONTENT, STYLE, masks=[mask]), expected) < 1e-5
    whole = grey(lambda y, x: np.ones(y.shape))
    mixed = tensor(either, CONTENT, [STYLE, OTHER], weights=[1, 3])
    assert difference(tensor(either, CONTENT, [STYLE, OTHER], weights=[1, 3], masks=[whole] * 2), mixed) < 1e-5


def test_what_no_mask_covers_stays_content(stylizer: Stylizer) -> None:
    """Oracle: the image of alpha 0, as far as the decoder does not look into the mask; inside it is another."""
    image, mask = small("coffee.png", (200, 64)), grey(lambda y, x: x < 64, (200, 64))
    made, plain = tensor(stylizer, image, STYLE, masks=[mask]), tensor(stylizer, image, STYLE, alpha=0)
    first = 64 + decoder_radius(stylizer.net)
    assert difference(made[..., first:], plain[..., first:]) < 1e-5
    assert difference(made[..., :64], plain[..., :64]) > 0.1


@pytest.mark.parametrize("scale", [0.5, 3])
def test_a_mask_may_have_any_scale(stylizer: Stylizer, scale: float) -> None:
    mask = grey(lambda y, x: x < 48)
    scaled = mask.resize((int(96 * scale), int(72 * scale)), Image.Resampling.NEAREST)
    expected = tensor(stylizer, CONTENT, STYLE, masks=[mask])
    assert difference(tensor(stylizer, CONTENT, STYLE, masks=[scaled]), expected) < 1e-5


def test_coral_stylises_with_the_style_in_the_content_s_colours(stylizer: Stylizer) -> None:
    """Oracle: the transform in NumPy, with the roots of the covariances, and that image as the style."""
    content, style = np.asarray(CONTENT) / 255, np.asarray(STYLE) / 255
    means = [x.mean((0, 1)) for x in (content, style)]
    covs = [np.cov(x.reshape(-1, 3).T, bias=True) for x in (content, style)]
    (values, vectors), (own_values, own_vectors) = (np.linalg.eigh(cov) for cov in covs)
    color = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    whiten = own_vectors @ np.diag(1 / np.sqrt(own_values)) @ own_vectors.T
    recolored = (style - means[1]) @ (color @ whiten).T + means[0]
    expected = tensor(stylizer, CONTENT, recolored.clip(0, 1))
    made = tensor(stylizer, CONTENT, STYLE, preserve_color="coral")
    assert difference(made, expected) < 0.02  # the oracle's style is rounded to bytes
    assert difference(made, tensor(stylizer, CONTENT, STYLE)) > 0.1


def test_luminance_keeps_the_content_s_chroma_and_takes_the_result_s_luminance(stylizer: Stylizer) -> None:
    """Oracle: Y of BT.601 by NumPy, and R - Y and B - Y; where no channel is clipped."""
    content = np.asarray(CONTENT) / 255
    plain, kept = (
        tensor(stylizer, CONTENT, STYLE, preserve_color=color).permute(1, 2, 0).numpy() for color in (None, "luminance")
    )
    inside = ((kept > 0) & (kept < 1)).all(2)
    assert inside.mean() > 0.3
    luma = [x @ [0.299, 0.587, 0.114] for x in (content, plain, kept)]
    assert np.abs((kept - luma[2][..., None]) - (content - luma[0][..., None]))[inside].max() < 1e-5
    assert np.abs(luma[2] - luma[1])[inside].max() < 1e-5
    tiled = tensor(stylizer, CONTENT, STYLE, preserve_color="luminance", tile=64).permute(1, 2, 0).numpy()
    assert np.abs(tiled - kept).max() < 1e-4


SIZES = [(1, 1), (1, 30), (9, 9), (16, 16), (17, 23), (95, 71), (400, 20), (20, 400)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("fusion", "skip_layers"),
    [("adain", ()), ("concat", ()), ("adain", SKIP_LAYERS), ("wct", ()), ("histogram", ())],
)
def test_the_result_has_the_size_of_the_content(
    fusion: str, skip_layers: tuple[str, ...], size: tuple[int, int]
) -> None:
    stylizer = Stylizer(small_network(fusion=fusion, skip_layers=skip_layers), device="cpu")
    mask = grey(lambda y, x: x >= 0, size)
    image = CONTENT.resize(size)
    assert stylizer(image, STYLE, style_size=None).size == size
    controls: dict[str, Any] = {"masks": [mask], "preserve_color": "luminance"}
    assert stylizer(image, STYLE, style_size=None, **controls).size == size
    assert stylizer(CONTENT, CONTENT.resize(size), style_size=None, preserve_color="coral").size == CONTENT.size


def test_style_swap_takes_every_control_and_refuses_what_is_smaller_than_a_patch() -> None:
    """Oracle: the network's own parts; three spatial positions of relu3_1 are 12 pixels."""
    net = small_network(fusion="style_swap", last="relu3_1")
    stylizer = Stylizer(net, device="cpu")
    content, style = (net.encode(to_tensor(image)[None] / 255)[0] for image in (CONTENT, STYLE))
    fused = 0.4 * content + 0.6 * style_swap(content, style)
    fused[..., 10:] = content[..., 10:]
    made = tensor(stylizer, CONTENT, STYLE, alpha=0.6, masks=[grey(lambda y, x: x < 40)])
    assert difference(made, net.decode((fused,), (72, 96))[0].clamp(0, 1)) < 1e-4
    assert stylizer(CONTENT.resize((9, 20)), STYLE.resize((9, 9)), style_size=None).size == (9, 20)
    with pytest.raises(InputError, match="patches of 3x3 positions need at least that size; give larger images"):
        stylizer(CONTENT.resize((8, 20)), STYLE)


def test_size_scales_the_shorter_side_of_the_content_and_style_size_that_of_the_style(stylizer: Stylizer) -> None:
    assert stylizer(CONTENT, STYLE, size=36, style_size=40).size == (48, 36)
    assert stylizer(small("coffee.png", (20, 400)), STYLE, size=40, style_size=40).size == (40, 800)
    assert tuple(stylizer.encode_style(STYLE, size=32).image.shape) == (1, 3, 32, 40)
    scaled = STYLE.resize((40, 32), Image.Resampling.LANCZOS)
    given = tensor(stylizer, CONTENT, scaled)
    assert difference(tensor(stylizer, CONTENT, STYLE, style_size=32), given) == 0


def test_every_kind_of_image_gives_the_same(stylizer: Stylizer, tmp_path: Path) -> None:
    """Oracle: the PIL image. Floats are rounded to the bytes that they were made of."""
    path = tmp_path / "content.png"
    CONTENT.save(path)
    array, tensor = np.asarray(CONTENT), to_tensor(CONTENT)
    style = stylizer.encode_style(STYLE, size=None)
    expected = stylizer(CONTENT, style).tobytes()
    kinds = [path, str(path), array, array / 255, np.float32(array / 255), tensor, tensor[None], tensor / 255.0]
    for kind in kinds:
        assert stylizer(kind, style).tobytes() == expected, type(kind)
    assert stylizer(CONTENT, np.asarray(STYLE), style_size=None).tobytes() == expected
    array_masks = [np.asarray(grey(lambda y, x: x < 40)), np.mgrid[:72, :96][1] < 40, np.mgrid[:72, :96][1] < 40.0]
    masked = {stylizer(CONTENT, style, masks=[mask]).tobytes() for mask in [*array_masks, torch.tensor(array_masks[1])]}
    assert len(masked) == 1


def test_what_was_encoded_once_gives_the_same_image(stylizer: Stylizer) -> None:
    """For AdaIN exactly: the style is reduced to its statistics in either case."""
    controls: dict[str, Any] = {"alpha": 0.7, "weights": [1, 2], "preserve_color": "coral"}
    expected = tensor(stylizer, CONTENT, [STYLE, OTHER], style_size=64, **controls)
    styles = [stylizer.encode_style(image, size=64) for image in (STYLE, OTHER)]
    assert difference(tensor(stylizer, stylizer.encode_content(CONTENT), styles, **controls), expected) == 0
    assert difference(tensor(stylizer, CONTENT, [styles[0], OTHER], style_size=64, **controls), expected) == 0


@each_network
def test_a_style_of_adain_is_its_statistics_and_that_of_concat_is_whole(
    skip_layers: tuple[str, ...],
) -> None:
    """Oracle: mean and (population) standard deviation of the encoder's features."""
    kinds = (
        Stylizer(small_network(fusion=name, skip_layers=skip_layers), device="cpu") for name in ("adain", "concat")
    )
    stylizer, concat = kinds
    (features,) = encoded(stylizer, STYLE)
    statistics, whole = (x.encode_style(STYLE, size=None).features for x in (stylizer, concat))
    assert [two.shape for two in statistics] == [(1, x.shape[1], 1, 2) for x in features]
    for two, x in zip(statistics, features, strict=True):
        assert torch.allclose(two.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
        assert torch.allclose(two.std((2, 3), correction=0), x.std((2, 3), correction=0), atol=1e-5)
    assert [x.shape for x in whole] == [x.shape for x in features]


MANY: list[dict[str, Any]] = [
    {},
    {"alpha": 0.5, "weights": [1, 3], "masks": [grey(lambda y, x: x / 95), grey(lambda y, x: y < 40)]},
    {"preserve_color": "coral"},
    {"preserve_color": "luminance"},
    {"tile": 64},
    {"tile": 64, "preserve_color": "coral", "masks": [grey(lambda y, x: x / 95), grey(lambda y, x: y < 40)]},
]


@pytest.mark.parametrize("controls", MANY, ids=lambda controls: "-".join(controls) or "none")
def test_many_contents_are_each_as_if_alone(either: Stylizer, controls: dict[str, Any]) -> None:
    """Oracle: one by one; sums of a batch may be rounded otherwise, by one of 255."""
    images = [small(name) for name in ("coffee.png", "astronaut.png", "rocket.jpg")]
    content = either.encode_content(images, tile=controls.get("tile"))
    given = {name: value for name, value in controls.items() if name != "tile"}
    styles = [either.encode_style(image, size=None) for image in (STYLE, OTHER)]
    together = either.many(content, styles, **given)
    assert len(together) == 3
    for image, made in zip(images, together, strict=True):
        alone = np.asarray(either(image, styles, **controls)).astype(int)
        assert np.abs(np.asarray(made) - alone).max() <= 1


def test_bfloat16_stays_near_float32(stylizer: Stylizer) -> None:
    """Oracle: float32. With 8 bits of precision through nineteen convolutions a mean of 0.02 is rounding."""
    half = Stylizer(small_network(), device="cpu", dtype=torch.bfloat16)
    controls: list[dict[str, Any]] = [{}, {"alpha": 0.5, "masks": [grey(lambda y, x: x / 95)], "tile": 64}]
    for more in controls:
        made = tensor(half, CONTENT, STYLE, **more)
        assert made.dtype == torch.float32
        assert float((made - tensor(stylizer, CONTENT, STYLE, **more)).abs().mean()) < 0.02


def memory_of(net: StyleTransferNet, side: int) -> int:
    """What a square image takes."""
    return side**2 * bytes_per_pixel(net)


def test_a_large_image_goes_in_tiles_by_itself_where_the_network_can() -> None:
    """Instance norm in the decoder and concatenation look at the whole image, so they get it in one piece."""
    large = small("coffee.png", (190, 100))
    assert large.width * large.height > 128**2
    tiled = {}
    for fusion, norm in (("adain", "none"), ("adain", "batch"), ("adain", "instance"), ("concat", "none")):
        net = small_network(fusion=fusion, norm=norm)
        stylizer = Stylizer(net, device="cpu", memory=memory_of(net, 128))
        content = stylizer.encode_content(large)
        tiled[fusion, norm] = content.features is None
        made = tensor(stylizer, content, STYLE)
        assert difference(made, tensor(stylizer, large, STYLE, tile=0)) < 1e-4
        assert stylizer.encode_content(large.resize((128, 128))).features is not None
    assert list(tiled.values()) == [True, True, False, False]


def test_a_large_style_goes_in_tiles_with_the_same_statistics(
    either: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the style in one piece; with and without the colours of the content. Memory: what the encoder sees."""
    large = small("chelsea.png", (400, 50))
    colors: tuple[str | None, ...] = (None, "coral")
    expected = [tensor(either, CONTENT, large, preserve_color=color) for color in colors]
    monkeypatch.setattr(either, "memory", memory_of(either.net, 128))
    widths: list[int] = []
    encode = StyleTransferNet.encode
    monkeypatch.setattr(StyleTransferNet, "encode", lambda net, x: widths.append(x.shape[3]) or encode(net, x))
    for color, image in zip(colors, expected, strict=True):
        assert difference(tensor(either, CONTENT, large, preserve_color=color), image) < 1e-4
    assert max(widths) < 300


def test_a_style_without_its_image_is_the_same_but_for_coral(stylizer: Stylizer) -> None:
    kept, small_style = (stylizer.encode_style(STYLE, keep_image=keep) for keep in (True, False))
    assert small_style.image is None
    assert difference(tensor(stylizer, CONTENT, small_style), tensor(stylizer, CONTENT, kept)) == 0
    with pytest.raises(InputError, match="encoded without its image, which coral needs"):
        stylizer(CONTENT, small_style, preserve_color="coral")


@pytest.mark.parametrize("setting", [{"size": 40}, {"tile": 64}, {"tile": 0}])
def test_what_an_encoded_content_cannot_heed_is_refused(stylizer: Stylizer, setting: dict[str, int]) -> None:
    with pytest.raises(InputError, match="already encoded; give size and tile to encode_content"):
        stylizer(stylizer.encode_content(CONTENT), STYLE, **setting)


def test_the_bundled_network_is_a_function_of_the_package(photographs: Path, paintings: Path) -> None:
    stylizer = adain_lit.load("compact", device="cpu")
    content, style = photographs / "coffee.jpg", next(paintings.glob("*.png"))
    made = stylizer(content, style)
    assert made.size == (96, 72)
    assert made.mode == "RGB"
    assert made.tobytes() == to_image(stylizer.tensor(content, style)).tobytes()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no style": ({"style": []}, "no style was given"),
    "alpha not a number": ({"alpha": float("nan")}, "alpha is nan"),
    "negative alpha": ({"alpha": -0.1}, r"alpha is -0\.1"),
    "infinite alpha": ({"alpha": float("inf")}, "alpha is inf"),
    "too many weights": ({"weights": [1, 2]}, "1 style but 2 weights"),
    "negative weight": ({"style": [STYLE, OTHER], "weights": [2, -1]}, "0 or more"),
    "no weight above 0": ({"weights": [0]}, "sum above 0"),
    "weight not a number": ({"weights": [float("nan")]}, "0 or more"),
    "too many masks": ({"masks": [CONTENT, CONTENT]}, "1 style but 2 masks"),
    "mask upright": ({"masks": [grey(lambda y, x: x >= 0, (72, 96))]}, "a mask is 72x96 and the content 96x72"),
    "empty mask": ({"masks": [grey(lambda y, x: x < 0)]}, "a mask is empty"),
    "empty mask in tiles": ({"masks": [grey(lambda y, x: x < 0)], "tile": 64}, "a mask is empty"),
    "colour": ({"preserve_color": "hue"}, "coral, luminance"),
    "small tile": ({"tile": 63}, "at least 64"),
    "negative tile": ({"tile": -64}, "at least 64"),
    "size": ({"size": 0}, "size of the content is 0"),
    "style size": ({"style_size": -3}, "size of the style is -3"),
    "missing file": ({"content": "gone.jpg"}, "gone.jpg"),
    "a number": ({"content": 3}, "the content is a int"),
    "no content": ({"content": []}, "0 contents"),
    "contents of two sizes": ({"content": [CONTENT, STYLE]}, "all of one size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(stylizer: Stylizer, name: str) -> None:
    wrong, message = REFUSED[name]
    given = {"content": CONTENT, "style": STYLE, **wrong}
    with pytest.raises(InputError, match=message) as error:
        stylizer(given.pop("content"), given.pop("style"), **given)
    assert "\n" not in str(error.value)


def test_tiles_are_refused_where_the_network_looks_at_the_whole_image() -> None:
    for kinds in ({"fusion": "concat"}, {"norm": "instance"}):
        with pytest.raises(InputError, match="cannot be tiled; set tile to 0"):
            Stylizer(small_network(**kinds), device="cpu")(CONTENT, STYLE, tile=64)


@pytest.mark.parametrize("device", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_refused_in_one_line(device: str) -> None:
    with pytest.raises(InputError, match=f"cannot use device {device}: ") as error:
        Stylizer(small_network(), device=device)
    assert "\n" not in str(error.value)
