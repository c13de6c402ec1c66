"""The network with all runtime controls, against Eqs. 8, 14 and 15 written out in NumPy."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.nets.style_transfer import StyleTransferNet
from adain_lit.nets.vgg import VGGEncoder, initialise_randomly
from support.networks import SKIP_LAYERS, each_network

TINY = (8, 12, 16, 20, 20)
EPS = 1e-5
Array = NDArray[np.float64]
each_fusion = pytest.mark.parametrize("fusion", ["adain", "concat"])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(fusion: str = "adain", last: str = "relu4_1", skip_layers: Sequence[str] = ()) -> StyleTransferNet:
    """A tiny network in float64 whose images use the range [0, 1], so that a wrong one is seen to be wrong."""
    encoder = VGGEncoder(TINY, last)
    initialise_randomly(encoder)
    net = (
        StyleTransferNet(encoder, fusion=fusion, content_layer=last, skip_layers=skip_layers)
        .double()
        .requires_grad_(False)
    )
    generator = torch.Generator().manual_seed(3)
    for conv in net.decoder.children():
        assert isinstance(conv, nn.Conv2d)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(conv.bias)
    last_conv, features = net.decoder.conv1_1, net.encode(random(1, 3, 48, 48, seed=9))
    image = net.decoder(*net.fuse(features, [features]))
    last_conv.weight.mul_(0.3 / image.std())
    last_conv.bias.copy_(0.5 - image.mean((0, 2, 3)) * 0.3 / image.std())
    return net


def fuse(net: StyleTransferNet, content: Tensor, styles: Sequence[Tensor], **controls: Any) -> Array:
    """Features of one layer, fused."""
    (fused,) = net.fuse((content,), [(style,) for style in styles], **controls)
    return fused.numpy()


def uses_the_range(image: Tensor) -> bool:
    return bool(image.std() > 0.03) and float(((image > 0) & (image < 1)).float().mean()) > 0.5


def feature_maps(*sizes: tuple[int, int], seed: int = 0) -> list[Tensor]:
    """Features of two samples and five channels, each map with statistics of its own."""
    return [(1 + i) * random(2, 5, *size, seed=seed + i) + i for i, size in enumerate(sizes)]


def part(shape: tuple[int, int], rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
    """A mask for two samples, 1 in a rectangle."""
    mask = torch.zeros(2, 1, *shape, dtype=torch.float64)
    mask[:, :, rows, columns] = 1
    return mask


def fuse_by_numpy(fusion: str, content: Tensor, style: Tensor, mask: Tensor | None = None) -> Array:
    """AdaIN (Eq. 8) with the statistics of the mask's cells, or concatenation (styles of the content's size only)."""
    c, s = content.numpy(), style.numpy()
    m = np.ones((len(c), 1, *c.shape[2:])) if mask is None else mask.numpy()
    if fusion == "concat":
        return np.concatenate([c, (1 - m) * c + m * s], axis=1)
    mean = (m * c).sum((2, 3), keepdims=True) / m.sum((2, 3), keepdims=True)
    var = (m * (c - mean) ** 2).sum((2, 3), keepdims=True) / m.sum((2, 3), keepdims=True)
    style_std = np.sqrt(s.var((2, 3), keepdims=True) + EPS)
    styled = style_std * (c - mean) / np.sqrt(var + EPS) + s.mean((2, 3), keepdims=True)
    return (1 - m) * c + m * styled


SIZES = [(9, 9), (9, 10), (16, 16), (17, 23), (31, 9), (33, 32), (40, 41), (47, 63), (70, 55), (10, 200), (181, 9)]


@pytest.mark.parametrize("size", SIZES)
@each_network
@each_fusion
def test_output_has_the_size_of_the_content_whatever_the_style_s(
    fusion: str, skip_layers: tuple[str, ...], size: tuple[int, int]
) -> None:
    """Oracle: the content's height and width, up to panoramas of 1:20; the style has another size."""
    out = network(fusion, skip_layers=skip_layers)(random(2, 3, *size), random(2, 3, 21, 14, seed=1))
    assert out.shape == (2, 3, *size)
    assert out.isfinite().all()
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize(
    ("last", "skip_layers"),
    [
        ("relu1_1", ()),
        ("relu2_2", ()),
        ("relu3_1", ()),
        ("relu5_1", ()),
        ("relu3_1", ("relu2_2",)),
        ("relu5_1", ("relu1_2", "relu4_4")),
    ],
)
def test_other_layers_give_the_size_of_the_content_too(last: str, skip_layers: tuple[str, ...]) -> None:
    """Oracle: the content's height and width."""
    net = network(last=last, skip_layers=skip_layers)
    assert net(random(1, 3, 35, 19), random(1, 3, 18, 40, seed=1)).shape == (1, 3, 35, 19)


def test_features_come_from_the_deepest_layer_to_the_lowest() -> None:
    """Oracle: the encoder's own, and the sizes of cells in pixels by hand; whatever the order that was given."""
    net, image = network(skip_layers=("relu2_1", "relu3_1", "relu1_1")), random(1, 3, 21, 14)
    assert net.fused_layers == ("relu4_1", "relu3_1", "relu2_1", "relu1_1")
    assert net.strides == (8, 4, 2, 1)
    assert [x.shape[1:] for x in net.encode(image)] == [(20, 3, 2), (16, 6, 4), (12, 11, 7), (8, 21, 14)]
    own = net.encoder(image, net.fused_layers)
    assert all(torch.equal(x, own[layer]) for layer, x in zip(net.fused_layers, net.encode(image), strict=True))


def test_content_layer_may_lie_before_the_encoder_s_deepest() -> None:
    """Oracle: the net whose encoder ends at that layer (He weights come in the order of the layers)."""
    deep = VGGEncoder(TINY, "relu4_1")
    initialise_randomly(deep)
    net = StyleTransferNet(deep, content_layer="relu3_1").double()
    content = random(1, 3, 20, 12)
    ((features,), (expected,)) = net.encode(content), network(last="relu3_1").encode(content)
    assert torch.equal(features, expected)
    assert net(content, content).shape == content.shape
    assert network().content_layer == "relu4_1"


@pytest.mark.parametrize(("skip_layers", "decoded_size"), [((), (24, 32)), (SKIP_LAYERS, (21, 30))])
@each_fusion
def test_output_is_the_top_left_of_the_decoded_features_clipped(
    fusion: str, skip_layers: tuple[str, ...], decoded_size: tuple[int, int]
) -> None:
    """Oracle: encoder, fusion by NumPy at each layer, decoder and clipping, called one after the other."""
    net = network(fusion, skip_layers=skip_layers)
    content, style = random(2, 3, 21, 30), random(2, 3, 21, 30, seed=1)
    c, s = (net.encoder(x, net.fused_layers) for x in (content, style))
    decoded = net.decoder(*(torch.from_numpy(fuse_by_numpy(fusion, c[x], s[x])) for x in net.fused_layers))
    assert decoded.shape[2:] == decoded_size
    out = net(content, style)
    assert uses_the_range(out)
    assert decoded.min() < 0 or decoded.max() > 1
    torch.testing.assert_close(out, decoded[..., :21, :30].clamp(0, 1), rtol=0, atol=1e-8)


def test_decoded_picture_is_not_clipped_outside_forward() -> None:
    """Oracle: the decoder's own output; training needs values outside [0, 1]."""
    net, fused = network(), 20 * random(1, TINY[3], 3, 3)
    image = net.decode((fused,), (20, 24))
    assert torch.equal(image, net.decoder(fused)[..., :20, :24])
    assert image.min() < 0 or image.max() > 1


@pytest.mark.parametrize("masked", [False, True])
@each_network
def test_alpha_0_is_the_decoded_content(masked: bool, skip_layers: tuple[str, ...]) -> None:
    """Oracle: g(f(c)) without any fusion (Eq. 14 at 0)."""
    net, content = network(skip_layers=skip_layers), random(2, 3, 21, 30)
    masks = [random(2, 1, 21, 30, seed=4)] if masked else None
    out = net(content, random(2, 3, 16, 16, seed=1), alpha=0.0, masks=masks)
    expected = net.decoder(*net.encode(content))[..., :21, :30].clamp(0, 1)
    assert uses_the_range(expected)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.8, 1.0])
@each_fusion
def test_alpha_moves_linearly_between_content_and_stylised_features(fusion: str, alpha: float, masked: bool) -> None:
    """Oracle: Eq. 14 in NumPy, (1 - alpha) content + alpha fused; the content of concat is (c, c)."""
    content, style = feature_maps((6, 5), (6, 5))
    mask = part((6, 5), columns=slice(0, 2)) if masked else None
    expected = (1 - alpha) * fuse_by_numpy(fusion, content, content) + alpha * fuse_by_numpy(
        fusion, content, style, mask
    )
    out = fuse(network(fusion), content, [style], alpha=alpha, masks=None if mask is None else [mask])
    np.testing.assert_allclose(out, expected, rtol=1e-10)


@each_fusion
def test_several_styles_are_a_weighted_sum(fusion: str) -> None:
    """Oracle: Eq. 15 in NumPy, sum_k w_k F_k, weights divided by their sum, equal by default; alpha on top."""
    content, *styles = feature_maps((6, 5), (6, 5), (6, 5), (6, 5))
    fused = [fuse_by_numpy(fusion, content, style) for style in styles]
    net = network(fusion)
    for weights, shares in (((3.0, 1.0, 4.0), (0.375, 0.125, 0.5)), (None, (1 / 3,) * 3), ((0, 2, 0), (0.0, 1.0, 0.0))):
        expected = sum(share * x for share, x in zip(shares, fused, strict=True))
        np.testing.assert_allclose(fuse(net, content, styles, weights=weights), expected, rtol=1e-10)
        half = 0.5 * (expected + fuse_by_numpy(fusion, content, content))
        np.testing.assert_allclose(fuse(net, content, styles, weights=weights, alpha=0.5), half, rtol=1e-10)


@each_fusion
def test_equal_styles_equal_one_of_them(fusion: str) -> None:
    """Oracle: the style alone, whatever the weights."""
    net, content, style = network(fusion), random(1, 3, 21, 30), random(1, 3, 18, 15, seed=1)
    one = net(content, style)
    assert uses_the_range(one)
    torch.testing.assert_close(net(content, [style] * 3, weights=[1, 5, 2]), one, rtol=0, atol=1e-8)


@pytest.mark.parametrize("masked", [False, True])
@each_fusion
def test_order_of_styles_with_their_weights_and_masks_does_not_matter(fusion: str, masked: bool) -> None:
    """Oracle: the same lists in another order; shuffling the weights alone does matter."""
    net, content = network(fusion), random(1, 3, 24, 32)
    styles = [random(1, 3, 16 + 4 * k, 24 - 3 * k, seed=k + 1) ** (k + 1) for k in range(3)]
    weights = [1.0, 2.0, 4.0]
    masks = [random(1, 1, 24, 32, seed=10 + k) for k in range(3)] if masked else None

    def stylise(order: Sequence[int], weights_order: Sequence[int]) -> Tensor:
        return net(
            content,
            [styles[k] for k in order],
            weights=[weights[k] for k in weights_order],
            masks=None if masks is None else [masks[k] for k in order],
        )

    first = stylise((0, 1, 2), (0, 1, 2))
    torch.testing.assert_close(stylise((2, 0, 1), (2, 0, 1)), first, rtol=0, atol=1e-8)
    assert (stylise((0, 1, 2), (2, 0, 1)) - first).abs().max() > 1e-2


def test_a_style_s_size_may_differ_from_the_content_s_and_the_other_styles() -> None:
    """Oracle: Eqs. 8 and 15 in NumPy; AdaIN sees the statistics alone."""
    content, *styles = feature_maps((6, 5), (3, 8), (9, 2))
    expected = 0.5 * sum(fuse_by_numpy("adain", content, style) for style in styles)
    np.testing.assert_allclose(fuse(network(), content, styles), expected, rtol=1e-10)


def test_regions_that_partition_the_content_are_each_as_if_done_alone() -> None:
    """Oracle: for AdaIN the region's columns cut out and normalised by NumPy, content statistics included."""
    content, *styles = feature_maps((6, 8), (4, 4), (5, 3), (2, 7))
    cuts = [slice(0, 3), slice(3, 4), slice(4, 8)]
    masks = [part((6, 8), columns=cut) for cut in cuts]
    # weights do not matter where one mask alone is set
    for weights in (None, [5.0, 1.0, 2.0]):
        out = fuse(network(), content, styles, masks=masks, weights=weights)
        for cut, style in zip(cuts, styles, strict=True):
            alone = fuse_by_numpy("adain", content[..., cut], style)
            np.testing.assert_allclose(out[..., cut], alone, rtol=1e-10)


def test_regions_of_a_picture_follow_their_pixels() -> None:
    """Oracle: masks of whole cells of 8 pixels, so that fusing with masks of the feature map's size is the same."""
    net, content = network(), random(1, 3, 32, 40)
    styles = [random(1, 3, 16, 16, seed=k + 1) ** (2 * k + 1) for k in range(2)]
    cells = torch.zeros(1, 1, 4, 5)
    cells[:, :, 1:3, 2:] = 1
    pixels = cells.repeat_interleave(8, 2).repeat_interleave(8, 3)
    c, *s = (net.encode(x) for x in (content, *styles))
    out = net(content, styles, masks=[pixels, 1 - pixels])
    expected = net.decode(net.fuse(c, s, masks=[cells, 1 - cells]), (32, 40)).clamp(0, 1)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-8)
    assert (out - net(content, styles[::-1], masks=[pixels, 1 - pixels])).abs().max() > 1e-2


@each_fusion
def test_what_no_mask_covers_stays_content(fusion: str) -> None:
    """Oracle: the content's own features (c, or (c, c) for concat), equal to the last digit kept by the sums."""
    content, *styles = feature_maps((6, 8), (6, 8), (6, 8))
    masks = [part((6, 8), columns=slice(0, 2)), part((6, 8), columns=slice(1, 5))]
    out = fuse(network(fusion), content, styles, masks=masks)
    unstyled = fuse_by_numpy(fusion, content, content)
    np.testing.assert_allclose(out[..., 5:], unstyled[..., 5:], rtol=1e-12)
    half = slice(-5, None)  # of concat the second half alone sees the style
    assert np.abs(out[:, half, :, :5] - unstyled[:, half, :, :5]).min(axis=(0, 1, 2)).max() > 1e-3


@each_fusion
def test_overlapping_masks_share_in_proportion_to_weight_times_mask(fusion: str) -> None:
    """Oracle: sum_k w_k F_k / sum_k w_k where both are 1; each alone elsewhere."""
    content, *styles = feature_maps((6, 8), (6, 8), (6, 8))
    masks = [part((6, 8), columns=slice(0, 5)), part((6, 8), columns=slice(3, 8))]
    first, second = (fuse_by_numpy(fusion, content, s, m) for s, m in zip(styles, masks, strict=True))
    out = fuse(network(fusion), content, styles, masks=masks, weights=[3.0, 1.0])
    np.testing.assert_allclose(out[..., :3], first[..., :3], rtol=1e-10)
    np.testing.assert_allclose(out[..., 3:5], 0.75 * first[..., 3:5] + 0.25 * second[..., 3:5], rtol=1e-10)
    np.testing.assert_allclose(out[..., 5:], second[..., 5:], rtol=1e-10)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_soft_masks_follow_the_documented_formula_at_every_layer(alpha: float) -> None:
    """Oracle: t = c + cover / sum(w m) * sum w_k m_k (S_k - c) in NumPy, S_k by the statistics weighted with m_k."""
    sizes = [(6, 8), (11, 15)]
    layers = [feature_maps(size, (4, 4), (5, 3), seed=10 * i) for i, size in enumerate(sizes)]
    content, *styles = zip(*layers, strict=True)
    first, second = (tuple(random(2, 1, *size, seed=seed) for size in sizes) for seed in (7, 8))
    masks = [tuple(mask * 0.9 for mask in first), second]
    shares = (0.2, 0.8)
    for mask in second:
        mask[..., :2] = 0
    out = network().fuse(content, styles, masks=masks, weights=[1.0, 4.0], alpha=alpha)
    assert len(out) == 2
    for i, x in enumerate(content):
        pairs = [(style[i], mask[i]) for style, mask in zip(styles, masks, strict=True)]
        changes = [fuse_by_numpy("adain", x, s, m) - x.numpy() for s, m in pairs]
        cover = np.minimum(1, sum(m.numpy() for _, m in pairs))
        assert cover.min() < 0.9
        assert (cover == 1).any()
        weight = sum(w * m.numpy() for w, (_, m) in zip(shares, pairs, strict=True))
        total = sum(w * change for w, change in zip(shares, changes, strict=True))
        np.testing.assert_allclose(out[i], x.numpy() + alpha * cover / weight * total, rtol=1e-9)


@each_fusion
def test_one_full_mask_equals_none(fusion: str) -> None:
    """Oracle: the image without masks."""
    net, content, style = network(fusion), random(2, 3, 21, 30), random(2, 3, 16, 20, seed=1)
    expected = net(content, style, alpha=0.7)
    assert uses_the_range(expected)
    for mask in (torch.ones(2, 1, 21, 30), torch.ones(2, 1, 5, 4), torch.ones(2, 1, 21, 30, dtype=torch.bool)):
        torch.testing.assert_close(net(content, style, alpha=0.7, masks=[mask]), expected, rtol=0, atol=1e-8)


def test_masks_are_resized_by_area_to_every_layer() -> None:
    """Oracle: the mean over the pixels of a cell, by NumPy, so that a region of one pixel is not lost."""
    *content, style = feature_maps((3, 4), (6, 8), (3, 3))
    pixels = part((24, 32), rows=slice(9, 10), columns=slice(17, 18))
    out = network().fuse(tuple(content), [(style, style)], masks=[pixels])
    for x, fused, side in zip(content, out, (8, 4), strict=True):
        blocks = pixels.numpy().reshape(2, 1, 24 // side, side, 32 // side, side)
        cells = torch.from_numpy(blocks.mean((3, 5)))
        assert cells.max() == 1 / side**2
        np.testing.assert_allclose(fused, fuse_by_numpy("adain", x, style, cells), rtol=1e-10)


def test_a_style_of_weight_0_leaves_its_region_as_content() -> None:
    """Oracle: the content's features; no division by the weight's 0."""
    content, *styles = feature_maps((6, 8), (4, 4), (5, 3))
    masks = [part((6, 8), columns=slice(0, 4)), part((6, 8), columns=slice(4, 8))]
    out = fuse(network(), content, styles, masks=masks, weights=[1.0, 0.0])
    np.testing.assert_allclose(out[..., 4:], content.numpy()[..., 4:], rtol=1e-12)


def test_one_batch_of_styles_is_one_style() -> None:
    """Oracle: a list of one; sample n takes style n of the batch."""
    net, content, style = network(), random(2, 3, 21, 30), random(2, 3, 16, 20, seed=1)
    out = net(content, style)
    assert torch.equal(out, net(content, [style]))
    for n in range(2):
        alone = net(content[n : n + 1], style[n : n + 1])
        torch.testing.assert_close(out[n : n + 1], alone, rtol=0, atol=1e-8)


nan, inf = math.nan, math.inf
REFUSED = {
    "no style": (0, {}, r"no style was given; at least one is needed"),
    "few weights": (2, {"weights": [1.0]}, r"2 styles but 1 weight; give one weight for each style"),
    "many weights": (1, {"weights": [1.0, 2.0]}, r"1 style but 2 weights; give one weight for each style"),
    "few masks": (2, {"masks": 1}, r"2 styles but 1 mask; give one mask for each style"),
    "many masks": (1, {"masks": 2}, r"1 style but 2 masks; give one mask for each style"),
    "negative": (2, {"weights": [-1.0, 2.0]}, r"style weights \[-1.0, 2.0\] must be 0 or more, with a sum above 0"),
    "nan": (2, {"weights": [nan, 2.0]}, r"style weights \[nan, 2.0\] must be 0 or more, with a sum above 0"),
    "inf": (2, {"weights": [inf, 2.0]}, r"style weights \[inf, 2.0\] must be 0 or more, with a sum above 0"),
    "zero sum": (2, {"weights": [0.0, 0.0]}, r"style weights \[0.0, 0.0\] must be 0 or more, with a sum above 0"),
}


@pytest.mark.parametrize(("count", "controls", "message"), REFUSED.values(), ids=REFUSED)
@each_fusion
def test_unusable_weights_and_masks_are_refused(
    fusion: str, count: int, controls: dict[str, list[float] | int], message: str
) -> None:
    """Oracle: the message quotes what was got and what is needed."""
    if "masks" in controls:
        controls = {"masks": [torch.ones(1, 1, 16, 16)] * controls["masks"]}
    with pytest.raises(InputError, match=f"^{message}$"):
        network(fusion)(random(1, 3, 16, 16), [random(1, 3, 16, 16)] * count, **controls)


def test_empty_mask_is_refused() -> None:
    with pytest.raises(InputError, match="a mask is empty; each mask needs at least one pixel above 0"):
        network()(random(1, 3, 16, 16), random(1, 3, 16, 16), masks=[torch.zeros(1, 1, 16, 16)])


@pytest.mark.parametrize(("content", "style"), [((8, 40), (16, 16)), ((16, 16), (40, 8))])
def test_content_or_style_below_9_pixels_is_refused(content: tuple[int, int], style: tuple[int, int]) -> None:
    """Oracle: relu4_1 of 8 pixels is one cell, which cannot be reflected."""
    with pytest.raises(InputError, match=r"^an image is (40x8|8x40); relu4_1 .* needs at least 9x9"):
        network()(random(1, 3, *content), random(1, 3, *style))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"^unknown fusion 'add'; known are adain, concat, wct, histogram, st"):
        StyleTransferNet(VGGEncoder(TINY), fusion="add")
    with pytest.raises(InputError, match=r"^unknown decoder norm 'layer'"):
        StyleTransferNet(VGGEncoder(TINY), norm="layer")
    with pytest.raises(InputError, match=r"^unknown layer 'relu2_7'"):
        StyleTransferNet(VGGEncoder(TINY), skip_layers=["relu2_7"])


@each_network
@each_fusion
def test_encoder_is_frozen_and_the_decoder_learns(fusion: str, skip_layers: tuple[str, ...]) -> None:
    """Oracle: Sec. 6.2, the decoder alone is trained; its gradient is not 0 and the encoder has none."""
    fresh, net = StyleTransferNet(VGGEncoder(TINY), fusion=fusion), network(fusion, skip_layers=skip_layers)
    assert not any(p.requires_grad for p in fresh.encoder.parameters())
    assert all(p.requires_grad for p in fresh.decoder.parameters())
    net.decoder.requires_grad_()
    target = net.fuse(net.encode(random(1, 3, 16, 16)), [net.encode(random(1, 3, 16, 16, seed=1))])
    net.decode(target, (16, 16)).square().sum().backward()
    assert all(p.grad is None for p in net.encoder.parameters())
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.decoder.parameters())


def test_gradient_reaches_the_decoder_through_the_frozen_encoder() -> None:
    """Oracle: the perceptual loss is a function of the encoder's features of the output, so its slope is not 0."""
    net = network()
    net.decoder.requires_grad_()
    fused = net.encode(random(1, 3, 16, 16))
    (decoded,) = net.encode(net.decode(fused, (16, 16)))
    F.mse_loss(decoded, 2 * fused[0]).backward()
    assert bool(net.decoder.conv4_1.weight.grad.abs().sum() > 0)
