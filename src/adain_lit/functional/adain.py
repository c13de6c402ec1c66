"""The formulas of the paper. Statistics are computed in float32 or wider, also under autocast."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError


def channel_stats(x: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Compute the mean mu(x) and standard deviation sigma(x) of every sample and channel (Eqs. 5 and 6).

    Args:
        x: features, shape (N, C, H, W).
        mask: non-negative weight of each spatial position, shape (N, 1, H, W); None weighs all positions equally.
        eps: added to the (population) variance, so that the gradient is finite on constant features.

    Returns:
        Mean and standard deviation, each of shape (N, C, 1, 1), in float32 (float64 for float64 features).

    Raises:
        InputError: if the mask of a sample is empty.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 2, 2)
        >>> mean, std = channel_stats(x)
        >>> mean.item(), round(std.item(), 4)
        (3.0, 1.8708)
    """
    x = _full_precision(x)
    if mask is None:
        mean, var = _Moments.apply(x) if x.requires_grad and torch.is_grad_enabled() else _moments(x)
        return mean, (var + eps).sqrt()
    mask = mask.to(x.dtype)
    area = mask.sum(dim=(2, 3), keepdim=True)  # (N, 1, 1, 1)
    require_not_empty(bool((area > 0).all()))
    mean = (x * mask).sum(dim=(2, 3), keepdim=True) / area
    var = ((x - mean) ** 2 * mask).sum(dim=(2, 3), keepdim=True) / area
    return mean, (var + eps).sqrt()


def require_not_empty(covers: bool) -> None:
    """Raise `InputError` for a mask that covers nothing, since statistics over no positions are undefined.

    Example:
        >>> require_not_empty(bool(torch.zeros(4, 4).any()))
        Traceback (most recent call last):
        adain_lit.errors.InputError: a mask is empty; each mask needs at least one pixel above 0
    """
    if not covers:
        raise InputError("a mask is empty; each mask needs at least one pixel above 0")


def require_agreement(content: Tensor, style: Tensor) -> None:
    """Raise `InputError` if batch sizes or channels differ, which broadcasting would hide.

    Example:
        >>> require_agreement(torch.rand(1, 8, 4, 4), torch.rand(1, 16, 4, 4))
        Traceback (most recent call last):
        adain_lit.errors.InputError: content features are (1, 8, 4, 4) and style features (1, 16, 4, 4); ...
    """
    if content.shape[:2] != style.shape[:2]:
        raise InputError(
            f"content features are {tuple(content.shape)} and style features {tuple(style.shape)}; "
            "batch size and channels must agree"
        )


def adaptive_instance_norm(
    content: Tensor,
    style: Tensor,
    mask: Tensor | None = None,
    *,
    content_stats: tuple[Tensor, Tensor] | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Align the per-channel mean and standard deviation of `content` x with those of `style` y (Eq. 8).

    AdaIN(x, y) = sigma(y) * (x - mu(x)) / sigma(x) + mu(y)

    Args:
        content: features x, shape (N, C, H, W).
        style: features y, shape (N, C, H', W'); the spatial size may differ.
        mask: region of `content` to stylise, shape (N, 1, H, W), in [0, 1]; statistics of `content` are weighted by
            it. None means everywhere.
        content_stats: mean and standard deviation of the whole content, each (N, C, 1, 1), if `content` is only a
            tile of it; None computes them from `content`.
        eps: added to the variances.

    Returns:
        Features, shape (N, C, H, W): `content` unchanged where `mask` is 0, blended where it is between 0 and 1.

    Raises:
        InputError: if N or C differ, or if a mask is empty.

    Differs from the paper: nothing. Differs from the authors' code: eps is added to both variances, so that
    AdaIN(x, x) = x; theirs adds it to the content's only.

    Example:
        >>> content, style = torch.tensor([[1.0, 3.0], [10.0, 30.0]]).view(2, 1, 1, 1, 2)
        >>> adaptive_instance_norm(content, style, eps=0.0).flatten()
        tensor([10., 30.])
    """
    require_agreement(content, style)
    content_mean, content_std = channel_stats(content, mask, eps=eps) if content_stats is None else content_stats
    style_mean, style_std = channel_stats(style, eps=eps)
    scale = style_std / content_std  # (N, C, 1, 1)
    styled = torch.addcmul(style_mean - content_mean * scale, _full_precision(content), scale).to(content.dtype)
    return styled if mask is None else torch.lerp(content, styled, mask.to(content.dtype))


def conditional_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Normalise `x`, then apply the affine parameters learnt for the style of each sample (Eq. 7).

    CIN(x; s) = gamma^s * (x - mu(x)) / sigma(x) + beta^s

    Args:
        x: features, shape (N, C, H, W).
        scale: gamma of the style of each sample, shape (N, C).
        shift: beta of the style of each sample, shape (N, C).
        eps: added to the variance.

    Returns:
        Features, shape (N, C, H, W).

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 2.0]).view(1, 1, 2, 2)
        >>> out = conditional_instance_norm(x, scale=torch.tensor([[2.0]]), shift=torch.tensor([[5.0]]))
        >>> round(out.mean().item(), 3), round(out.std(correction=0).item(), 3)
        (5.0, 2.0)
    """
    mean, std = channel_stats(x, eps=eps)
    scale = scale[..., None, None] / std  # (N, C, 1, 1)
    return torch.addcmul(shift[..., None, None] - mean * scale, _full_precision(x), scale).to(x.dtype)


def style_statistics(x: Tensor) -> Tensor:
    """Reduce style features to the smallest features that have the same channel statistics.

    AdaIN needs nothing else of a style, and these take kilobytes whatever the size of the image.

    Args:
        x: features, shape (N, C, H, W).

    Returns:
        Features of two spatial positions, shape (N, C, 1, 2), see `features_from_stats`.

    Example:
        >>> style_statistics(torch.tensor([1.0, 5.0, 1.0, 5.0]).view(1, 1, 2, 2)).flatten()
        tensor([1., 5.])
    """
    return features_from_stats(*channel_stats(x, eps=0.0))


def features_from_stats(mean: Tensor, std: Tensor) -> Tensor:
    """Features of two spatial positions, mean - std and mean + std, that have the given channel statistics.

    Args:
        mean: shape (N, C, 1, 1).
        std: population standard deviation, shape (N, C, 1, 1).

    Returns:
        Features, shape (N, C, 1, 2).

    Example:
        >>> features_from_stats(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 2.0))
        tensor([[[[1., 5.]]]])
    """
    return torch.cat((mean - std, mean + std), dim=3)


def concatenate(content: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
    """Stack content and style features along the channels: the Enc-Concat-Dec baseline of Sec. 7.2.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W'); resized bilinearly to (H, W).
        mask: region that gets the style, shape (N, 1, H, W), in [0, 1]; elsewhere `content` is its own style.

    Returns:
        Features, shape (N, 2C, H, W).

    The paper does not say how differing sizes are reconciled; in training both are square and equal.

    Example:
        >>> concatenate(torch.zeros(2, 64, 8, 6), torch.zeros(2, 64, 4, 4)).shape
        torch.Size([2, 128, 8, 6])
    """
    if is_exporting() or style.shape[2:] != content.shape[2:]:  # exported sizes are symbolic and cannot be compared
        style = F.interpolate(style, size=content.shape[2:], mode="bilinear", align_corners=False)
    if mask is not None:
        style = torch.lerp(content, style, mask.to(content.dtype))
    return torch.cat((content, style), dim=1)


def gram_matrix(x: Tensor) -> Tensor:
    """Average the outer product of the channels over the spatial positions (Gatys et al. 2016).

    Args:
        x: features, shape (N, C, H, W).

    Returns:
        Gram matrices divided by H * W, shape (N, C, C), in float32 (float64 for float64 features).

    Example:
        >>> gram_matrix(torch.tensor([[1.0, 3.0], [2.0, 0.0]]).view(1, 2, 1, 2))
        tensor([[[5., 1.],
                 [1., 2.]]])
    """
    x = _full_precision(x).flatten(2)  # (N, C, HW)
    with torch.autocast(x.device.type, enabled=False):  # autocast would run the product in half precision
        return x @ x.transpose(1, 2) / x.shape[2]


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance per sample and channel, (N, C, H, W) to (N, C, 1, 1) each.

    In two passes: `torch.var_mean` takes four times as long over channels-last memory on a CPU.
    """
    mean = x.mean((2, 3), keepdim=True)
    return mean, (x - mean).square_().mean((2, 3), keepdim=True)  # in place: one pass and its memory less


class _Moments(torch.autograd.Function):
    """`_moments` with its derivative in one pass over x: (dL/dmean + 2 (x - mean) dL/dvar) / HW."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = _moments(x)
        ctx.save_for_backward(x, mean)
        return mean, var

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x, mean), (by_mean, by_var) = ctx.saved_tensors, grads
        positions = x.shape[2] * x.shape[3]
        slope = by_var * (2 / positions)
        return torch.addcmul(by_mean / positions - slope * mean, x, slope)


def is_exporting() -> bool:
    """Whether `torch.export` is tracing; torch 2.11 says so under ``torch.compile`` too, hence the second test."""
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
