"""Ways beyond AdaIN to give content what the style has: its covariance, its histograms, or its very patches."""

import torch
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.functional.adain import require_agreement, require_not_empty


def whiten(x: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Decorrelate the channels: mean 0, and covariance the identity along every axis whose variance is above `eps`.

    Args:
        x: features, shape (N, C, H, W).
        mask: weight of each cell in mean and covariance, shape (N, 1, H, W), at least 0; None weighs all cells alike.
        eps: least variance along an axis, so that dead and dependent channels have an inverse.

    Returns:
        Features, shape (N, C, H, W), in float64.

    Raises:
        InputError: if the mask of a sample is empty.
    """
    mean, covariance = channel_covariance(x, mask)
    return (symmetric_power(covariance, -0.5, least=eps) @ (x.double().flatten(2) - mean)).view(x.shape)


def whitening_coloring(content: Tensor, style: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> Tensor:
    """Give `content` the mean and the full covariance of `style` (correlation alignment; WCT of Li et al. 2017).

    AdaIN does the same with the diagonals of the covariances alone.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W').
        mask: region of `content` to work within, its statistics included, shape (N, 1, H, W), in [0, 1].
        eps: least variance along any axis of either.

    Returns:
        Features, shape (N, C, H, W); where `mask` is 0 they are `content` unchanged, between they are blended.

    Raises:
        InputError: if N or C differ, or if a mask is empty.

    Differs from Li et al.: small eigenvalues are raised to `eps` in both covariances instead of left out, so that
    features matched to themselves stay as they are.
    """
    require_agreement(content, style)
    mean, covariance = channel_covariance(style)
    colored = symmetric_power(covariance, 0.5, least=eps) @ whiten(content, mask, eps=eps).flatten(2) + mean
    return _within(mask, content, colored.view(content.shape))


def channel_covariance(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (N, C, 1) and population covariance (N, C, C) of the channels of `x` (N, C, H, W), in float64.

    Args:
        x: features.
        mask: weight of each cell, shape (N, 1, H, W), at least 0.
    """
    cells, shares = x.double().flatten(2), _shares(x, mask)
    mean = (cells * shares).sum(2, keepdim=True)
    centred = cells - mean
    return mean, (centred * shares) @ centred.transpose(1, 2)


def symmetric_power(matrix: Tensor, exponent: float, *, least: float) -> Tensor:
    """Power of symmetric matrices (N, C, C), their eigenvalues raised to `least` first, so that inverses exist."""
    values, vectors = torch.linalg.eigh(matrix)
    powers = torch.diag_embed(values.clamp(min=least) ** exponent)
    return torch.matmul(vectors @ powers, vectors.transpose(1, 2))


def histogram_matching(content: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
    """Give every channel of `content` the whole distribution of values that it has in `style`.

    The optimal transport of one onto the other: a value of the content becomes the mean of the style's values over
    the quantiles that it occupies. Where numbers of cells agree and no value occurs twice, that is the style's values
    in the content's order; equal values, such as the zeros of a ReLU, stay equal. The mean is exactly the style's.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W').
        mask: region of `content` to work within, its distribution included, shape (N, 1, H, W), in [0, 1].

    Returns:
        Features, shape (N, C, H, W); where `mask` is 0 they are `content` unchanged, between they are blended.

    Raises:
        InputError: if N or C differ, or if a mask is empty.
    """
    require_agreement(content, style)
    below, upto = quantiles(content, mask)
    values = style.double().flatten(2).sort(2).values
    step = values.shape[2]
    integral = F.pad(values.cumsum(2), (1, 0)) / step  # of the quantile function, at 0, 1 / step, ..., 1

    def up_to(share: Tensor) -> Tensor:
        position = share.flatten(2) * step
        cell = position.floor().clamp(max=step - 1).long()
        return integral.gather(2, cell) + (position - cell) * values.gather(2, cell) / step

    width = (upto - below).flatten(2).clamp(min=torch.finfo(torch.float64).tiny)
    matched = (up_to(upto) - up_to(below)) / width
    return _within(mask, content, matched.view(content.shape))


def quantiles(x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """For every value the share of its channel's cells that lie below it, and that lie below it or are equal.

    Args:
        x: features, shape (N, C, H, W).
        mask: weight of each cell, shape (N, 1, H, W), at least 0.

    Returns:
        Two tensors of shape (N, C, H, W), in [0, 1], in float64.

    Raises:
        InputError: if the mask of a sample is empty.
    """
    values = x.double().flatten(2).contiguous()
    ordered, order = values.sort(2)
    shares = _shares(x, mask).expand_as(values).gather(2, order)
    shares = F.pad(shares.cumsum(2), (1, 0)).clamp(max=1.0)
    below, upto = (
        shares.gather(2, torch.searchsorted(ordered, values, right=right)).view(x.shape) for right in (False, True)
    )
    return below, upto


def style_swap(
    content: Tensor, style: Tensor, mask: Tensor | None = None, *, patch: int = 3, held: int = 2**24
) -> Tensor:
    """Replace every patch of `content` by the patch of `style` that is most like it (Chen & Schmidt 2016).

    Patches of all positions (stride 1) are compared by normalised correlation, a convolution with the style's
    patches as filters; where those that are put in overlap, they are averaged.

    Args:
        content: features, shape (N, C, H, W), both sides at least `patch`.
        style: features, shape (N, C, H', W'), likewise.
        mask: region of `content` that is replaced, shape (N, 1, H, W), in [0, 1].
        patch: side of a patch in cells.
        held: how many correlations, and how many numbers of filters, are held in memory at a time; the filters are
            gone through in parts of that size. 2^24 of them take 64 MiB.

    Returns:
        Features, shape (N, C, H, W); where `mask` is 0 they are `content` unchanged, between they are blended.

    Raises:
        InputError: if N or C differ, or if features are smaller than a patch.
    """
    require_agreement(content, style)
    if min(*content.shape[2:], *style.shape[2:]) < patch:
        raise InputError(
            f"content features are {tuple(content.shape)} and style features {tuple(style.shape)}; patches of "
            f"{patch}x{patch} cells need as many at least; give larger images"
        )
    if content is style:  # a patch is most like itself
        return content
    full = torch.promote_types(content.dtype, torch.float32)
    with torch.autocast(content.device.type, enabled=False):  # which would compare in half precision
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
    """Row and column of the style's patch that correlates most with each patch of the content, (H - 2, W - 2)."""
    patches = style.unfold(1, patch, 1).unfold(2, patch, 1)  # (C, H' - 2, W' - 2, 3, 3), a view
    rows, columns = patches.shape[1:3]
    squares = F.avg_pool2d(style.square().sum(0)[None], patch, 1)[0] * patch**2
    norms = squares.sqrt().clamp(min=1e-8)
    height, width = (side - patch + 1 for side in content.shape[1:])
    best = content.new_full((height, width), -torch.inf)
    index = torch.zeros_like(best, dtype=torch.long)
    part = max(1, held // max(height * width, content.shape[0] * patch**2))
    for numbers in torch.arange(rows * columns, device=content.device).split(part):  # type: ignore[no-untyped-call]
        row, column = numbers // columns, numbers % columns
        filters = (patches[:, row, column] / norms[row, column].view(-1, 1, 1)).transpose(0, 1)
        found, which = F.conv2d(content[None], filters)[0].max(0)
        index = torch.where(found > best, numbers[which], index)
        best = torch.maximum(found, best)
    return index // columns, index % columns


def _shares(x: Tensor, mask: Tensor | None) -> Tensor:
    """Weights of the cells divided by their sum, (N, 1, HW), in float64."""
    weights = torch.ones_like(x[:, :1], dtype=torch.float64) if mask is None else mask.double()
    total = weights.sum(dim=(2, 3), keepdim=True)
    require_not_empty(bool((total > 0).all()))
    return (weights / total).flatten(2)


def _within(mask: Tensor | None, content: Tensor, matched: Tensor) -> Tensor:
    """What was matched, inside the mask, in the type of the content."""
    matched = matched.to(content.dtype)
    return matched if mask is None else torch.lerp(content, matched, mask.to(content.dtype))
