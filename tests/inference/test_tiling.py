"""Tiles against the image in one piece, which is the oracle of every test here."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import adain_lit
from adain_lit.errors import InputError
from adain_lit.functional.adain import channel_stats
from adain_lit.inference.stylizer import Stylizer
from adain_lit.inference.tiling import MOST_TILE, bytes_per_pixel, stylize_tiles, tile_within, tiled_statistics
from adain_lit.io.images import to_tensor
from adain_lit.nets import StyleTransferNet
from support.images import small
from support.networks import SKIP_LAYERS, each_network, small_network

STYLES = [small("chelsea.png", (80, 64)), small("rocket.jpg", (64, 72))]


@pytest.fixture(scope="module", params=[(), SKIP_LAYERS], ids=["plain", "skips"])
def stylizer(request: pytest.FixtureRequest) -> Stylizer:
    return Stylizer(small_network(skip_layers=request.param), device="cpu")


def controls_for(size: tuple[int, int]) -> dict[str, Any]:
    """Two weighted styles, an alpha, and masks that overlap softly and leave a corner uncovered."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    masks = [np.clip(1.5 * x - 0.3, 0, 1), (y > 0.4) * 0.7]
    return {"masks": masks, "alpha": 0.8, "weights": [1.0, 3.0]}


def difference(stylizer: Stylizer, content: Image.Image, tile: int, **controls: Any) -> float:
    """Greatest difference between the tiled and the untiled image, by default with all controls."""
    controls = {"style_size": None, **(controls or controls_for(content.size))}
    whole = stylizer.tensor(content, STYLES, tile=0, **controls)
    assert whole.std() > 0.05 or whole.numel() < 100  # or equal grey would do
    return float((stylizer.tensor(content, STYLES, tile=tile, **controls) - whole).abs().max())


@pytest.mark.parametrize("tile", [64, 100, 256])
def test_tiles_give_the_image_in_one_piece(stylizer: Stylizer, tile: int) -> None:
    """Odd sides, tiles that are no multiple of the stride, and a last tile that is a sliver."""
    content = small("coffee.png", (301, 221))
    assert difference(stylizer, content, tile) < 1e-4
    assert difference(stylizer, content, tile, weights=[1.0, 3.0]) < 1e-4


@pytest.mark.parametrize("size", [(2, 3), (9, 70), (64, 65), (72, 64), (900, 45), (20, 400)])
def test_tiles_give_any_size_in_one_piece(stylizer: Stylizer, size: tuple[int, int]) -> None:
    assert difference(stylizer, small("coffee.png", size), 64) < 1e-4


@pytest.mark.parametrize(
    ("last", "skip_layers"),
    [("relu1_2", ()), ("relu3_1", ()), ("relu3_1", ("relu2_2",)), ("relu5_1", ()), ("relu5_1", ("relu1_2", "relu4_4"))],
)
def test_halos_fit_every_layer(last: str, skip_layers: tuple[str, ...]) -> None:
    """A deeper layer has a larger stride and receptive field."""
    stylizer = Stylizer(small_network(last=last, skip_layers=skip_layers), device="cpu")
    assert difference(stylizer, small("coffee.png", (203, 157)), 64) < 1e-4


def test_batch_norm_in_the_decoder_allows_tiles() -> None:
    stylizer = Stylizer(small_network(norm="batch"), device="cpu")
    assert difference(stylizer, small("coffee.png", (203, 157)), 64) < 1e-4


def test_a_residual_decoder_allows_tiles() -> None:
    stylizer = Stylizer(small_network(residual=True), device="cpu")
    assert difference(stylizer, small("coffee.png", (203, 157)), 64) < 1e-4


@pytest.mark.slow
def test_tiles_of_a_camera_s_image_are_one_piece_with_the_bundled_network() -> None:
    """For three sides of tiles; 1000 leaves a last sliver in both directions."""
    stylizer = adain_lit.load("compact", device="cpu")
    content = small("coffee.png", (1500, 1100))
    controls: dict[str, Any] = {"style_size": None, **controls_for(content.size)}
    whole = stylizer.tensor(content, STYLES, tile=0, **controls)
    for tile in (256, 512, 1000):
        assert float((stylizer.tensor(content, STYLES, tile=tile, **controls) - whole).abs().max()) < 1e-4


@pytest.mark.parametrize("tile", [64, 96, 500])
@each_network
def test_statistics_gathered_tile_by_tile_are_those_of_all_features(tile: int, skip_layers: tuple[str, ...]) -> None:
    """Oracle: `channel_stats` of the features of the whole, for two contents at once; with and without masks."""
    net = small_network(skip_layers=skip_layers)
    contents = torch.stack([to_tensor(small(name, (301, 221))) for name in ("coffee.png", "astronaut.png")])
    features = net.encode(contents / 255)
    generator = torch.Generator().manual_seed(0)
    corners = tuple(torch.zeros(1, 1, *x.shape[2:]) for x in features)
    for corner in corners:
        corner[..., -2:, -3:] = 1.0  # in one tile alone
    masks = [tuple(torch.rand(1, 1, *x.shape[2:], generator=generator) for x in features), corners]
    regions = [(None,) * len(features), *masks]
    expected = [[channel_stats(x, mask) for x, mask in zip(features, region, strict=True)] for region in regions]
    found = tiled_statistics(net, contents, tile=tile) + tiled_statistics(net, contents, tile=tile, masks=masks)
    for stats, expected_stats in zip(found, expected, strict=True):
        for pair, expected_pair in zip(stats, expected_stats, strict=True):
            for values, expected_values in zip(pair, expected_pair, strict=True):
                assert values.dtype == torch.float32
                assert torch.allclose(values, expected_values, rtol=1e-4, atol=1e-5)


def test_an_empty_mask_is_refused_as_it_is_in_one_piece() -> None:
    net = small_network()
    masks = [(torch.ones(1, 1, 9, 12),), (torch.zeros(1, 1, 9, 12),)]
    with pytest.raises(InputError, match="a mask is empty"):
        tiled_statistics(net, to_tensor(small("coffee.png"))[None], tile=64, masks=masks)


def test_bytes_are_the_rounded_floats() -> None:
    net = small_network()
    content = to_tensor(small("coffee.png", (150, 90)))[None]
    styles = [net.encode(to_tensor(STYLES[0])[None] / 255)]
    floats = stylize_tiles(net, content, styles, tile=64, dtype=torch.float32)
    made = stylize_tiles(net, content, styles, tile=64)
    assert made.dtype == torch.uint8
    assert torch.equal(made, (floats * 255).round().byte())


@each_network
def test_the_network_never_sees_more_than_a_tile_and_its_halo(
    skip_layers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory does not grow with the image. Oracle: by hand; 30 pixels of the decoder and 37 of the encoder are 4 and
    5 positions of 8 pixels on either side, and up to a quarter of a tile may come on top at the end."""
    seen: list[int] = []
    encode = StyleTransferNet.encode
    monkeypatch.setattr(StyleTransferNet, "encode", lambda net, x: seen.append(max(x.shape[2:])) or encode(net, x))
    net = small_network(skip_layers=skip_layers)
    seen.clear()
    style = tuple(torch.rand(1, net.encoder.channels(layer), 1, 2) for layer in net.fused_layers)
    stylize_tiles(net, to_tensor(small("coffee.png", (400, 90)))[None], [style], tile=64)
    assert len(seen) > 10
    assert max(seen) <= 64 + 16 + 2 * 8 * (4 + 5)


def test_what_does_not_fit_into_the_memory_is_tiled(stylizer: Stylizer) -> None:
    """Oracle: the image in one piece; the memory holds half of it."""
    content = small("rocket.jpg", (260, 200))
    half = bytes_per_pixel(stylizer.net) * 260 * 200 // 2
    assert Stylizer(stylizer.net, device="cpu", memory=2 * half).encode_content(content).tile == 0
    tight = Stylizer(stylizer.net, device="cpu", memory=half)
    assert tight.encode_content(content).tile == 64
    whole = stylizer.tensor(content, STYLES, tile=0)
    assert float((tight.tensor(content, STYLES) - whole).abs().max()) < 1e-4


def test_tiles_grow_with_the_memory_up_to_a_bound() -> None:
    net = adain_lit.load(device="cpu").net
    sides = [tile_within(net, 10**exponent) for exponent in range(6, 11)]
    assert sides == sorted(sides)
    assert (sides[0], sides[-1]) == (64, MOST_TILE)


def test_estimate_of_the_memory_is_that_of_the_process() -> None:
    """Oracle: the peak that Linux counts, of 900 x 900 pixels in a fresh process."""
    code = """
import torch, adain_lit
from adain_lit.evaluation.timing import peak_memory
stylizer = adain_lit.load(device="cpu")
style, content = stylizer.encode_style(torch.rand(3, 64, 64)), torch.rand(3, 900, 900)
peak = peak_memory(lambda: stylizer(content, style, tile=0), torch.device("cpu"))
print((peak["peak"] - peak["before"]) * 2**20 / 900**2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(bytes_per_pixel(adain_lit.load().net), rel=0.25)
