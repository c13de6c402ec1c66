"""Alternatives to AdaIN: match the covariance or the histograms of the style, or use its patches."""

import torch
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.functional.adain import require_agreement, require_not_empty


def whiten(x: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Decorrelate the channels: zero mean, and identity covariance along every axis whose variance is above `eps`.

    Args:
        x: features, shape (N, C, H, W).
        mask: non-negative weight of each spatial position in mean and covariance, shape (N, 1, H, W); None weighs all
            positions equally.
        eps: lower bound of the variance along an axis, so that constant and dependent channels can be inverted.

    Returns:
        Features, shape (N, C, H, W), in float64.

    Raises:
        InputError: if the mask of a sample is empty.

    Example:
        >>> whiten(torch.tensor([1.0, 3.0, 1.0, 3.0]).view(1, 1, 2, 2)).flatten()
        tensor([-1.,  1., -1.,  1.], dtype=torch.float64)
    """
    mean, covariance = channel_covariance(x, mask)
    return (symmetric_power(covariance, -0.5, least=eps) @ (x.double().flatten(2) - mean)).view(x.shape)


def whitening_coloring(content: Tensor, style: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Match the mean and the full covariance of `style` (correlation alignment; WCT of Li et al. 2017).

    AdaIN matches only the diagonals of the covariances.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W').
        mask: region of `content` to stylise, shape (N, 1, H, W), in [0, 1]; statistics of `content` are weighted by it.
        eps: lower bound of the variance along any axis of either.

    Returns:
        Features, shape (N, C, H, W): `content` unchanged where `mask` is 0, blended where it is between 0 and 1.

    Raises:
        InputError: if N or C differ, or if a mask is empty.

    Differs from Li et al.: small eigenvalues are raised to `eps` in both covariances instead of being dropped, so that
    features matched to themselves stay unchanged.

    Example:
        >>> content = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
        >>> style = torch.tensor([10.0, 20.0, 30.0]).view(1, 1, 1, 3)
        >>> whitening_coloring(content, style).flatten()
        tensor([10., 20., 30.])
    """
    require_agreement(content, style)
    mean, covariance = channel_covariance(style)
    colored = symmetric_power(covariance, 0.5, least=eps) @ whiten(content, mask, eps=eps).flatten(2) + mean
    return _within(mask, content, colored.view(content.shape))


def channel_covariance(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compute the mean and the population covariance of the channels, in float64.

    Args:
        x: features, shape (N, C, H, W).
        mask: non-negative weight of each spatial position, shape (N, 1, H, W).

    Returns:
        Mean (N, C, 1) and covariance (N, C, C).

    Raises:
        InputError: if the mask of a sample is empty.

    Example:
        >>> mean, covariance = channel_covariance(torch.tensor([[1.0, 3.0], [2.0, 6.0]]).view(1, 2, 1, 2))
        >>> mean.flatten().tolist(), covariance.tolist()
        ([2.0, 4.0], [[[1.0, 2.0], [2.0, 4.0]]])
    """
    positions, weights = x.double().flatten(2), _position_weights(x, mask)
    mean = (positions * weights).sum(2, keepdim=True)
    centred = positions - mean
    return mean, (centred * weights) @ centred.transpose(1, 2)


def symmetric_power(matrix: Tensor, exponent: float, *, least: float) -> Tensor:
    """Raise symmetric matrices to a power.

    Args:
        matrix: shape (N, C, C).
        exponent: any real number; -0.5 whitens.
        least: lower bound that eigenvalues are clamped to first, so that negative powers exist.

    Returns:
        Matrices, shape (N, C, C).

    Example:
        >>> symmetric_power(torch.tensor([[[4.0, 0.0], [0.0, 9.0]]]), 0.5, least=1e-5)
        tensor([[[2., 0.],
                 [0., 3.]]])
    """
    values, vectors = torch.linalg.eigh(matrix)
    powers = torch.diag_embed(values.clamp(min=least) ** exponent)
    return torch.matmul(vectors @ powers, vectors.transpose(1, 2))


def histogram_matching(content: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
    """Match the distribution of values of every channel of `style`.

    This is one-dimensional optimal transport: each value of the content becomes the mean of the style's values over
    the quantiles that it occupies. If both have equally many positions and no value occurs twice, the result is the
    style's values in the content's order. Equal values, such as the zeros of a ReLU, stay equal, and the mean is
    exactly the style's.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W').
        mask: region of `content` to stylise, shape (N, 1, H, W), in [0, 1]; the distribution of `content` is weighted
            by it.

    Returns:
        Features, shape (N, C, H, W): `content` unchanged where `mask` is 0, blended where it is between 0 and 1.

    Raises:
        InputError: if N or C differ, or if a mask is empty.

    Example:
        >>> content = torch.tensor([3.0, 1.0, 2.0]).view(1, 1, 1, 3)
        >>> style = torch.tensor([10.0, 70.0, 20.0]).view(1, 1, 1, 3)
        >>> histogram_matching(content, style).flatten()
        tensor([70., 10., 20.])
    """
    require_agreement(content, style)
    below, upto = quantiles(content, mask)
    values = style.double().flatten(2).sort(2).values
    step = values.shape[2]
    integral = F.pad(values.cumsum(2), (1, 0)) / step  # of the quantile function, at 0, 1 / step, ..., 1

    def up_to(quantile: Tensor) -> Tensor:
        """Integral of the style's quantile function from 0 to `quantile`; linear between its steps."""
        position = quantile.flatten(2) * step
        below = position.floor().clamp(max=step - 1).long()
        return integral.gather(2, below) + (position - below) * values.gather(2, below) / step

    width = (upto - below).flatten(2).clamp(min=torch.finfo(torch.float64).tiny)
    matched = (up_to(upto) - up_to(below)) / width
    return _within(mask, content, matched.view(content.shape))


def quantiles(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Compute the quantile interval that each value occupies in its channel.

    Args:
        x: features, shape (N, C, H, W).
        mask: non-negative weight of each spatial position, shape (N, 1, H, W).

    Returns:
        For every value the fraction of its channel that is smaller, and the fraction that is smaller or equal; two
        tensors of shape (N, C, H, W), in [0, 1], in float64.

    Raises:
        InputError: if the mask of a sample is empty.

    Example:
        >>> below, upto = quantiles(torch.tensor([5.0, 1.0, 5.0, 9.0]).view(1, 1, 2, 2))
        >>> below.flatten().tolist(), upto.flatten().tolist()
        ([0.25, 0.0, 0.25, 0.75], [0.75, 0.25, 0.75, 1.0])
    """
    values = x.double().flatten(2).contiguous()
    ordered, order = values.sort(2)
    weights = _position_weights(x, mask).expand_as(values).gather(2, order)
    cumulative = F.pad(weights.cumsum(2), (1, 0)).clamp(max=1.0)
    # the position that searchsorted finds counts the values before the first equal one, or up to the last equal one
    below, upto = (
        cumulative.gather(2, torch.searchsorted(ordered, values, right=right)).view(x.shape) for right in (False, True)
    )
    return below, upto


def style_swap(
    content: Tensor, style: Tensor, mask: Tensor | None = None, *, patch: int = 3, held: int = 2**24
) -> Tensor:
    """Replace every patch of `content` with its most similar patch of `style` (Chen & Schmidt 2016).

    Patches at all positions (stride 1) are compared by normalised cross-correlation, computed as a convolution with
    the style's patches as filters. Where replaced patches overlap, they are averaged.

    Args:
        content: features, shape (N, C, H, W), both sides at least `patch`.
        style: features, shape (N, C, H', W'), both sides at least `patch`.
        mask: region of `content` to stylise, shape (N, 1, H, W), in [0, 1].
        patch: side of a patch in spatial positions.
        held: upper bound of the correlations, and of the filter weights, in memory at a time; the filters are
            processed in chunks of that size. 2^24 float32 take 64 MiB.

    Returns:
        Features, shape (N, C, H, W): `content` unchanged where `mask` is 0, blended where it is between 0 and 1.

    Raises:
        InputError: if N or C differ, or if features are smaller than a patch.

    Example:
        >>> content, style = torch.ones(1, 1, 3, 3), torch.arange(16.0).view(1, 1, 4, 4)
        >>> style_swap(content, style)[0, 0]  # the style's flattest patch, its lower right one
        tensor([[ 5.,  6.,  7.],
                [ 9., 10., 11.],
                [13., 14., 15.]])
    """
    require_agreement(content, style)
    if min(*content.shape[2:], *style.shape[2:]) < patch:
        raise InputError(
            f"content features are {tuple(content.shape)} and style features {tuple(style.shape)}; patches of "
            f"{patch}x{patch} positions need at least that size; give larger images"
        )
    if content is style:  # every patch is most similar to itself
        return content
    full = torch.promote_types(content.dtype, torch.float32)
    with torch.autocast(content.device.type, enabled=False):  # autocast would compare in half precision
        pairs = zip(content.to(full), style.to(full), strict=True)
        swapped = torch.stack([_swapped(c, s, patch, held) for c, s in pairs])
    return _within(mask, content, swapped)


def _swapped(content: Tensor, style: Tensor, patch: int, held: int) -> Tensor:
    """`style_swap` of one sample, (C, H, W) and (C, H', W') to (C, H, W)."""
    y, x = _nearest_patches(content, style, patch, held)
    height, width = y.shape
    out, count = torch.zeros_like(content), torch.zeros_like(content[0])
    for down in range(patch):
        for right in range(patch):
            place = (slice(down, down + height), slice(right, right + width))
            out[:, *place] += style[:, y + down, x + right]
            count[place] += 1
    return out / count


def _nearest_patches(content: Tensor, style: Tensor, patch: int, held: int) -> tuple[Tensor, Tensor]:
    """Row and column of the style patch that correlates most with each content patch, each (H - 2, W - 2)."""
    patches = style.unfold(1, patch, 1).unfold(2, patch, 1)  # (C, H' - 2, W' - 2, 3, 3), a view
    rows, columns = patches.shape[1:3]
    squares = F.avg_pool2d(style.square().sum(0)[None], patch, 1)[0] * patch**2
    norms = squares.sqrt().clamp(min=1e-8)
    height, width = (side - patch + 1 for side in content.shape[1:])
    best = content.new_full((height, width), -torch.inf)
    index = torch.zeros_like(best, dtype=torch.long)
    part = max(1, held // max(height * width, content.shape[0] * patch**2))
    for indices in torch.arange(rows * columns, device=content.device).split(part):  # type: ignore[no-untyped-call]
        row, column = indices // columns, indices % columns
        filters = (patches[:, row, column] / norms[row, column].view(-1, 1, 1)).transpose(0, 1)
        found, which = F.conv2d(content[None], filters)[0].max(0)
        index = torch.where(found > best, indices[which], index)
        best = torch.maximum(found, best)
    return index // columns, index % columns


def _position_weights(x: Tensor, mask: Tensor | None) -> Tensor:
    """Weights of the spatial positions, normalised to sum to 1, (N, 1, HW), in float64."""
    weights = torch.ones_like(x[:, :1], dtype=torch.float64) if mask is None else mask.double()
    total = weights.sum(dim=(2, 3), keepdim=True)
    require_not_empty(bool((total > 0).all()))
    return (weights / total).flatten(2)


def _within(mask: Tensor | None, content: Tensor, matched: Tensor) -> Tensor:
    """Blend `matched` into `content` by the mask, in the dtype of the content."""
    matched = matched.to(content.dtype)
    return matched if mask is None else torch.lerp(content, matched, mask.to(content.dtype))
