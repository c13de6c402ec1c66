"""The formulas against NumPy in float64, their gradients against finite differences, and half precision."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.adain import (
    adaptive_instance_norm,
    channel_stats,
    concatenate,
    conditional_instance_norm,
    gram_matrix,
    is_exporting,
)
from support.features import features, hard_mask, soft_mask

EPS = 1e-5
HALVES = (torch.bfloat16, torch.float16)
Array = NDArray[np.float64]
MASKS: dict[str, Callable[[int, int, int], Tensor | None]] = {
    "no": lambda n, h, w: None,
    "full": lambda n, h, w: torch.ones(n, 1, h, w, dtype=torch.float64),
    "hard": hard_mask,
    "soft": soft_mask,
}
each_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def stats_by_loop(x: Array, mask: Array | None) -> tuple[Array, Array]:
    """Weighted population mean and sqrt(variance + eps), one channel at a time."""
    n, c = x.shape[:2]
    mean, std = np.zeros((n, c)), np.zeros((n, c))
    for i in range(n):
        weight = np.ones(x.shape[2:]) if mask is None else mask[i, 0]
        for j in range(c):
            mean[i, j] = np.sum(weight * x[i, j]) / np.sum(weight)
            std[i, j] = np.sqrt(np.sum(weight * (x[i, j] - mean[i, j]) ** 2) / np.sum(weight) + EPS)
    return mean, std


def adain_by_loop(content: Array, style: Array, mask: Array | None) -> Array:
    """Eq. 8 one channel at a time; a soft mask blends."""
    (mean, std), (style_mean, style_std) = stats_by_loop(content, mask), stats_by_loop(style, None)
    out = np.zeros_like(content)
    for i, j in np.ndindex(content.shape[:2]):
        styled = style_std[i, j] * (content[i, j] - mean[i, j]) / std[i, j] + style_mean[i, j]
        weight = 1.0 if mask is None else mask[i, 0]
        out[i, j] = (1 - weight) * content[i, j] + weight * styled
    return out


def numpy_or_none(mask: Tensor | None) -> Array | None:
    return None if mask is None else mask.numpy()


@each_mask
@pytest.mark.parametrize("size", [(5, 7), (1, 9), (16, 2)])
def test_channel_stats_equal_numpy(mask: Callable[..., Tensor | None], size: tuple[int, int]) -> None:
    """Oracle: weighted population statistics by NumPy loops."""
    x, m = features(3, 4, *size), mask(3, *size)
    mean, std = channel_stats(x, m)
    expected = stats_by_loop(x.numpy(), numpy_or_none(m))
    assert mean.shape == std.shape == (3, 4, 1, 1)
    np.testing.assert_allclose(mean[..., 0, 0], expected[0], rtol=1e-12)
    np.testing.assert_allclose(std[..., 0, 0], expected[1], rtol=1e-12)


@pytest.mark.parametrize("fill", [0.0, 4.0])
def test_std_of_constant_features_is_the_root_of_eps(fill: float) -> None:
    """Oracle: variance 0, so sqrt(eps) by hand."""
    _, std = channel_stats(torch.full((1, 2, 3, 3), fill), eps=0.04)
    torch.testing.assert_close(std, torch.full((1, 2, 1, 1), 0.2))


@each_mask
def test_adain_equals_numpy(mask: Callable[..., Tensor | None]) -> None:
    """Oracle: Eq. 8 by NumPy loops; the style is of another size."""
    content, style, m = features(2, 4, 6, 5), features(2, 4, 3, 8, seed=1), mask(2, 6, 5)
    expected = adain_by_loop(content.numpy(), style.numpy(), numpy_or_none(m))
    np.testing.assert_allclose(adaptive_instance_norm(content, style, m), expected, rtol=1e-11)


@pytest.mark.parametrize("mask", [MASKS["no"], MASKS["full"]], ids=["no", "full"])
def test_adain_of_features_with_themselves_changes_nothing(mask: Callable[..., Tensor | None]) -> None:
    """Oracle: the features, as the statistics of content and style agree."""
    x = features(2, 4, 6, 5)
    torch.testing.assert_close(adaptive_instance_norm(x, x, mask(2, 6, 5)), x, rtol=1e-12, atol=0)


def test_adain_output_has_style_statistics() -> None:
    """Oracle: NumPy's mean and population std; eps moves them by less than 1e-4 where the variance is about 1."""
    content, style = features(2, 4, 9, 7), features(2, 4, 8, 8, seed=1)
    out = adaptive_instance_norm(content, style).numpy()
    np.testing.assert_allclose(out.mean((2, 3)), style.numpy().mean((2, 3)), rtol=1e-10)
    np.testing.assert_allclose(out.std((2, 3)), style.numpy().std((2, 3)), rtol=1e-4)


def test_masked_region_has_style_statistics_and_the_rest_stays() -> None:
    """Oracle: NumPy's statistics of the region's positions only."""
    content, style, mask = features(1, 4, 9, 7), features(1, 4, 8, 8, seed=1), hard_mask(1, 9, 7)
    out = adaptive_instance_norm(content, style, mask).numpy()[0]
    inside = mask.numpy()[0, 0] > 0
    np.testing.assert_allclose(out[:, inside].mean(1), style.numpy()[0].mean((1, 2)), rtol=1e-10)
    np.testing.assert_allclose(out[:, inside].std(1), style.numpy()[0].std((1, 2)), rtol=1e-3)
    np.testing.assert_array_equal(out[:, ~inside], content.numpy()[0][:, ~inside])


def test_samples_of_a_batch_do_not_mix() -> None:
    """Oracle: each sample alone."""
    content, style, mask = features(3, 4, 5, 6), features(3, 4, 4, 4, seed=1), soft_mask(3, 5, 6)
    alone = [adaptive_instance_norm(content[i : i + 1], style[i : i + 1], mask[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(adaptive_instance_norm(content, style, mask), torch.cat(alone))


@each_mask
def test_adain_gradient_is_right(mask: Callable[..., Tensor | None]) -> None:
    """Oracle: finite differences in float64, with respect to content and style."""
    content = features(2, 2, 3, 4).requires_grad_()
    style = features(2, 2, 3, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, s: adaptive_instance_norm(c, s, mask(2, 3, 4)), (content, style))


def test_conditional_instance_norm_gives_each_sample_the_mean_and_the_spread_of_its_style() -> None:
    """Oracle: NumPy's mean and population std; eps moves them by less than 1e-4 where the variance is about 1."""
    scale, shift = torch.rand(3, 4, dtype=torch.float64) + 0.5, torch.randn(3, 4, dtype=torch.float64)
    out = conditional_instance_norm(features(3, 4, 9, 7), scale, shift).numpy()
    np.testing.assert_allclose(out.mean((2, 3)), shift, atol=1e-12)
    np.testing.assert_allclose(out.std((2, 3)), scale, rtol=1e-3)


def test_conditional_instance_norm_with_one_style_is_instance_norm_with_that_affine() -> None:
    """Oracle: torch's instance normalisation."""
    norm = torch.nn.InstanceNorm2d(4, affine=True, dtype=torch.float64)
    norm.load_state_dict({"weight": torch.rand(4) + 0.5, "bias": torch.randn(4)})
    x = features(3, 4, 9, 7)
    out = conditional_instance_norm(x, norm.weight.expand(3, -1), norm.bias.expand(3, -1))
    torch.testing.assert_close(out, norm(x))


def test_gram_matrix_equals_numpy_and_its_gradient_is_right() -> None:
    """Oracle: mean over positions of the products of two channels, by loops; finite differences."""
    x = features(2, 3, 4, 5)
    expected = np.zeros((2, 3, 3))
    for i, a, b in np.ndindex(2, 3, 3):
        expected[i, a, b] = np.mean(x.numpy()[i, a] * x.numpy()[i, b])
    np.testing.assert_allclose(gram_matrix(x), expected, rtol=1e-12)
    assert torch.autograd.gradcheck(gram_matrix, x.requires_grad_())


def bilinear_by_loop(x: Array, height: int, width: int) -> Array:
    """Bilinear resizing of (C, H, W) with cell centres at i + 1/2, edges held."""
    out = np.zeros((len(x), height, width))
    for i, j in np.ndindex(height, width):
        y = np.clip((i + 0.5) * x.shape[1] / height - 0.5, 0, x.shape[1] - 1)
        z = np.clip((j + 0.5) * x.shape[2] / width - 0.5, 0, x.shape[2] - 1)
        top, left = int(y), int(z)
        down, right = min(top + 1, x.shape[1] - 1), min(left + 1, x.shape[2] - 1)
        upper = (1 - (z - left)) * x[:, top, left] + (z - left) * x[:, top, right]
        lower = (1 - (z - left)) * x[:, down, left] + (z - left) * x[:, down, right]
        out[:, i, j] = (1 - (y - top)) * upper + (y - top) * lower
    return out


@each_mask
@pytest.mark.parametrize("style_size", [(6, 5), (3, 9), (12, 10)])
def test_concatenate_equals_numpy(mask: Callable[..., Tensor | None], style_size: tuple[int, int]) -> None:
    """Oracle: content above the style resized by NumPy loops; outside the mask the content above itself."""
    content, style, m = features(2, 4, 6, 5), features(2, 4, *style_size, seed=1), mask(2, 6, 5)
    out = concatenate(content, style, m).numpy()
    for i in range(2):
        c, s = content.numpy()[i], bilinear_by_loop(style.numpy()[i], 6, 5)
        share = 1.0 if m is None else m.numpy()[i, 0]
        np.testing.assert_allclose(out[i], np.concatenate([c, (1 - share) * c + share * s]), rtol=1e-12)


CONSTANTS = {"content": (0.0, None), "style": (None, 0.0), "both": (3.0, 5.0)}


@each_mask
@pytest.mark.parametrize(("content_value", "style_value"), CONSTANTS.values(), ids=CONSTANTS)
def test_value_and_gradient_are_finite_on_constant_features(
    content_value: float | None, style_value: float | None, mask: Callable[..., Tensor | None]
) -> None:
    """Oracle: a variance of 0 has a finite square root and slope only because of eps."""
    content, style = (
        (features(1, 3, 4, 4, dtype=torch.float32) if v is None else torch.full((1, 3, 4, 4), v)).requires_grad_()
        for v in (content_value, style_value)
    )
    out = adaptive_instance_norm(content, style, mask(1, 4, 4))
    out.square().sum().backward()
    for values in (out, content.grad, style.grad):
        assert values is not None
        assert values.isfinite().all()


HALF_BOUND = 1e-5


def far_from_zero(dtype: torch.dtype) -> Tensor:
    """Half precision features whose mean is large against their spread, as after several layers with bias."""
    return (features(2, 4, 24, 24, dtype=torch.float32) + 150).to(dtype)


def relative_error(values: Tensor, expected: Array) -> float:
    return float(np.max(np.abs(values.detach().double().numpy() - expected) / np.abs(expected)))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", HALVES)
def test_statistics_of_half_precision_features_are_taken_in_float32(
    dtype: torch.dtype, masked: bool, autocast: bool
) -> None:
    """Oracle: NumPy float64 of the same half precision numbers; statistics left in half precision miss the bound."""
    x = far_from_zero(dtype)
    mask = soft_mask(2, 24, 24).to(dtype) if masked else None
    expected = stats_by_loop(x.double().numpy(), None if mask is None else mask.double().numpy())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        mean, std = channel_stats(x, mask)
    assert mean.dtype == std.dtype == torch.float32
    assert relative_error(mean[..., 0, 0], expected[0]) < HALF_BOUND
    assert relative_error(std[..., 0, 0], expected[1]) < 10 * HALF_BOUND  # the variance loses digits to the mean
    weight = torch.ones_like(x[:, :1]) if mask is None else mask
    naive_mean = (x * weight).sum((2, 3)) / weight.sum((2, 3))
    naive_std = ((x - naive_mean[..., None, None]).square() * weight).sum((2, 3)) / weight.sum((2, 3))
    assert relative_error(naive_mean, expected[0]) > 10 * HALF_BOUND
    assert relative_error(naive_std.sqrt(), expected[1]) > 100 * HALF_BOUND


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_gram_matrix_is_taken_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    """Oracle: NumPy float64 of the same numbers; a product in half precision (what autocast does) misses the bound."""
    x = far_from_zero(dtype)
    flat = x.double().flatten(2).numpy()
    expected = flat @ flat.transpose(0, 2, 1) / 24**2
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        gram = gram_matrix(x)
    assert gram.dtype == torch.float32
    assert relative_error(gram, expected) < HALF_BOUND
    half = x.to(torch.bfloat16).flatten(2)
    assert relative_error(half @ half.transpose(1, 2) / 24**2, expected) > 10 * HALF_BOUND


@each_mask
@pytest.mark.parametrize("dtype", HALVES)
def test_adain_of_half_precision_features_is_right_to_one_rounding(
    dtype: torch.dtype, mask: Callable[..., Tensor | None]
) -> None:
    """Oracle: Eq. 8 in float64 on the same half precision numbers, which may differ by the rounding of the output."""
    content, style = far_from_zero(dtype), features(2, 4, 5, 5, seed=1).to(dtype)
    m = mask(2, 24, 24)
    m = None if m is None else m.to(dtype)
    out = adaptive_instance_norm(content, style, m)
    expected = adain_by_loop(
        content.double().numpy(), style.double().numpy(), None if m is None else m.double().numpy()
    )
    assert out.dtype == dtype
    # a soft mask blends two numbers of up to 160, each rounded once before
    largest = 16.0 if m is None else 160.0
    np.testing.assert_allclose(out.double(), expected, rtol=0, atol=2 * largest * torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("content", "style"),
    [((2, 4, 5, 5), (1, 4, 5, 5)), ((2, 4, 5, 5), (2, 3, 5, 5)), ((1, 4, 5, 5), (1, 1, 5, 5))],
)
def test_adain_refuses_differing_batch_size_or_channels(content: tuple[int, ...], style: tuple[int, ...]) -> None:
    """Oracle: the message shows both shapes; broadcasting would go unnoticed."""
    with pytest.raises(InputError, match=r"batch size and channels must agree") as error:
        adaptive_instance_norm(torch.ones(content), torch.ones(style))
    assert str(content) in str(error.value)
    assert str(style) in str(error.value)


def test_empty_mask_of_one_sample_is_refused() -> None:
    """Oracle: a region without a pixel has no statistics, even if the other sample's region has."""
    mask = torch.ones(2, 1, 4, 4)
    mask[1] = 0
    for function in (lambda x: channel_stats(x, mask), lambda x: adaptive_instance_norm(x, x, mask)):
        with pytest.raises(InputError, match="a mask is empty; each mask needs at least one pixel above 0"):
            function(torch.ones(2, 3, 4, 4))


def test_compiling_is_no_exporting() -> None:
    """With torch 2.11 it was, and what was compiled then did not run."""
    compiled = torch.compile(lambda x: x + is_exporting(), backend="eager")
    assert float(compiled(torch.zeros(()))) == 0.0
