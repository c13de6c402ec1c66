"""Covariances, histograms and patches, against NumPy, brute force and what must not change."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional import matching
from adain_lit.functional.matching import channel_covariance, histogram_matching, style_swap, whiten, whitening_coloring
from adain_lit.io.images import to_tensor
from adain_lit.nets import VGGEncoder
from adain_lit.weights.encoders import load_encoder
from support.features import features, hard_mask
from support.images import small

Array = NDArray[np.float64]
Match = Callable[..., Tensor]


@pytest.fixture(scope="module")
def encoder() -> VGGEncoder:
    return load_encoder("compact", last="relu3_1").requires_grad_(False)


@pytest.fixture(scope="module")
def real(encoder: VGGEncoder) -> tuple[Tensor, Tensor]:
    """relu3_1 of two photographs of different sizes, (1, 64, 18, 24) and (1, 64, 16, 20)."""
    images = (small("coffee.png"), small("chelsea.png", (80, 64)))
    content, style = (encoder(to_tensor(image)[None] / 255)["relu3_1"] for image in images)
    return content, style


def mixed(*shape: int, seed: int = 0) -> Tensor:
    """Features whose channels depend on each other."""
    x = features(*shape, seed=seed)
    mixing = torch.randn(shape[1], shape[1], generator=torch.Generator().manual_seed(seed + 9), dtype=x.dtype)
    return torch.einsum("ij,njhw->nihw", mixing, x)


def moments(x: Tensor, region: Array | None = None) -> tuple[Array, Array]:
    """Mean and population covariance by NumPy of one sample, over all positions or those in a region."""
    flat = x.double().flatten(1).numpy()
    flat = flat if region is None else flat[:, region.ravel().astype(bool)]
    return flat.mean(1), np.cov(flat, bias=True)


def test_whitened_features_have_the_identity_as_covariance() -> None:
    """Oracle: NumPy's mean and covariance."""
    white = whiten(mixed(2, 6, 12, 10))
    for sample in white:
        mean, covariance = moments(sample)
        assert np.abs(mean).max() < 1e-6
        assert np.abs(covariance - np.eye(6)).max() < 1e-3


def test_whitened_features_of_a_photograph_are_white_wherever_they_vary(real: tuple[Tensor, Tensor]) -> None:
    """Oracle: the identity along the axes of NumPy's covariance whose variance is above eps."""
    values, axes = np.linalg.eigh(moments(real[0][0])[1])
    axes = axes[:, values > 1e-5]
    assert axes.shape[1] > 32
    covariance = axes.T @ moments(whiten(real[0])[0])[1] @ axes
    assert np.abs(covariance - np.eye(len(covariance))).max() < 1e-3


@pytest.mark.parametrize("masked", [False, True])
def test_whitening_and_coloring_gives_mean_and_covariance_of_the_style(masked: bool) -> None:
    """Oracle: NumPy's, inside the mask; outside it the content."""
    content, style = mixed(2, 5, 12, 10), mixed(2, 5, 7, 13, seed=1)
    mask = hard_mask(2, 12, 10) if masked else None
    out = whitening_coloring(content, style, mask)
    for i in range(2):
        inside = None if mask is None else mask[i, 0].numpy()
        for found, expected in zip(moments(out[i], inside), moments(style[i]), strict=True):
            assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    if mask is not None:
        torch.testing.assert_close(out * (1 - mask), content * (1 - mask))


@pytest.mark.parametrize("match", [whitening_coloring, histogram_matching, style_swap])
def test_features_matched_to_themselves_stay_as_they_are(match: Match, real: tuple[Tensor, Tensor]) -> None:
    """Real features: with channels that are off, that depend on each other, and many zeros."""
    x = torch.cat((real[0], real[0].flip(3)))
    torch.testing.assert_close(match(x, x.clone()), x, rtol=1e-4, atol=1e-4)


def test_covariance_weights_spatial_positions() -> None:
    """Oracle: positions repeated as often as they weigh, by NumPy."""
    x, weight = mixed(1, 3, 4, 5), torch.arange(20, dtype=torch.float64).view(1, 1, 4, 5) % 4
    mean, covariance = channel_covariance(x, weight)
    repeated = np.repeat(x[0].flatten(1).numpy(), weight.flatten().long().numpy(), axis=1)
    np.testing.assert_allclose(mean[0, :, 0], repeated.mean(1))
    np.testing.assert_allclose(covariance[0], np.cov(repeated, bias=True))


def transport(content: Array, style: Array, weights: NDArray[np.int64]) -> Array:
    """Brute force: both repeated until they are equally many, put in order, and averaged over equal values."""
    many = np.repeat(content, weights * len(style))
    target = np.repeat(np.sort(style), weights.sum())
    ordered = np.sort(many)
    return np.array([target[ordered == value].mean() if (ordered == value).any() else np.nan for value in content])


@pytest.mark.parametrize("size", [(4, 5), (3, 7), (6, 6)])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_histogram_matching_is_optimal_transport(size: tuple[int, int], ties: bool, weighted: bool) -> None:
    content, style = features(2, 3, 4, 5), features(2, 3, *size, seed=1)
    if ties:
        content, style = content.round().relu(), style.round().relu()
    weights = torch.arange(20).view(1, 1, 4, 5) % 3 if weighted else torch.ones(1, 1, 4, 5, dtype=torch.long)
    mask = (weights > 0).double().expand(2, -1, -1, -1) if weighted else None
    weights = (weights > 0).long()
    out = histogram_matching(content, style, mask)
    for i, j in np.ndindex(2, 3):
        expected = transport(content[i, j].numpy().ravel(), style[i, j].numpy().ravel(), weights.numpy().ravel())
        inside = weights.numpy().ravel() > 0
        np.testing.assert_allclose(out[i, j].numpy().ravel()[inside], expected[inside], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(out[i, j].numpy().ravel()[~inside], content[i, j].numpy().ravel()[~inside])


def test_as_many_positions_get_exactly_the_style_s_values_in_the_content_s_order() -> None:
    content, style = features(1, 2, 5, 6), features(1, 2, 6, 5, seed=1)
    out = histogram_matching(content, style)
    for j in range(2):
        np.testing.assert_allclose(np.sort(out[0, j].numpy().ravel()), np.sort(style[0, j].numpy().ravel()))
        assert (out[0, j].flatten().argsort() == content[0, j].flatten().argsort()).all()


def swap_by_loop(content: Array, style: Array) -> Array:
    """Chen & Schmidt, Sec. 3.1: for each patch the one of highest normalised correlation; overlaps averaged."""
    total, count = np.zeros_like(content), np.zeros(content.shape[1:])
    places = list(product(range(style.shape[1] - 2), range(style.shape[2] - 2)))
    patches = np.stack([style[:, y : y + 3, x : x + 3] for y, x in places])
    for y, x in product(range(content.shape[1] - 2), range(content.shape[2] - 2)):
        own = content[:, y : y + 3, x : x + 3]
        alike = [(own * p).sum() / np.sqrt((own**2).sum() * (p**2).sum()) for p in patches]
        total[:, y : y + 3, x : x + 3] += patches[np.argmax(alike)]
        count[y : y + 3, x : x + 3] += 1
    return total / count


@pytest.mark.parametrize("held", [2**24, 500, 1])
def test_style_swap_equals_brute_force_however_much_is_held(held: int) -> None:
    content, style = features(2, 4, 6, 7), features(2, 4, 9, 5, seed=1)
    out = style_swap(content, style, held=held)
    for i in range(2):
        np.testing.assert_allclose(out[i], swap_by_loop(content[i].numpy(), style[i].numpy()), rtol=1e-12)


def test_style_swap_holds_no_more_than_it_may(real: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the sizes of filters and correlations, watched."""
    sizes = []

    def watched(content: Tensor, filters: Tensor) -> Tensor:
        sizes.append(max(filters.numel(), len(filters) * (content.shape[2] - 2) * (content.shape[3] - 2)))
        return convolve(content, filters)

    convolve = matching.F.conv2d
    monkeypatch.setattr(matching.F, "conv2d", watched)
    style_swap(*real, held=20_000)
    assert len(sizes) > 5
    assert max(sizes) <= 20_000


def test_style_swap_under_a_mask_leaves_the_rest(real: tuple[Tensor, Tensor]) -> None:
    content, style = real
    mask = torch.zeros(1, 1, *content.shape[2:])
    mask[..., :10] = 1
    out = style_swap(content, style, mask)
    assert torch.equal(out[..., 10:], content[..., 10:])
    torch.testing.assert_close(out[..., :10], style_swap(content, style)[..., :10])


@pytest.mark.parametrize("match", [whitening_coloring, histogram_matching, style_swap])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_features_come_back_in_their_type(match: Match, dtype: torch.dtype) -> None:
    """Oracle: the same numbers in float64, up to the rounding of the result; also under autocast."""
    content, style = features(1, 3, 8, 8).to(dtype), features(1, 3, 7, 9, seed=1).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        out = match(content, style)
    assert out.dtype == dtype
    expected = match(content.double(), style.double())
    torch.testing.assert_close(out.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=0.02)


@pytest.mark.parametrize("match", [whitening_coloring, histogram_matching, style_swap])
def test_what_cannot_be_matched_is_refused(match: Match) -> None:
    with pytest.raises(InputError, match="batch size and channels must agree"):
        match(torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4))
    if match is style_swap:
        with pytest.raises(InputError, match=r"patches of 3x3 positions need at least that size; give larger images$"):
            match(torch.ones(1, 3, 4, 4), torch.ones(1, 3, 2, 9))
    else:
        with pytest.raises(InputError, match="a mask is empty"):
            match(torch.ones(1, 3, 4, 4), torch.ones(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))
