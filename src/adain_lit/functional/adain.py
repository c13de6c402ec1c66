"""The formulas of the paper as functions of tensors. Statistics are taken in float32 at least, also under autocast."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError


def channel_stats(x: Tensor, mask: Tensor | None = None, *, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per sample and channel, mu(x) and sigma(x) of Eqs. 5 and 6.

    Args:
        x: features, shape (N, C, H, W).
        mask: weight of each cell, shape (N, 1, H, W), at least 0; None weighs all cells alike.
        eps: added to the (population) variance, so that the gradient is finite on constant features.

    Returns:
        Mean and standard deviation, each of shape (N, C, 1, 1), in float32 (float64 for float64 features).

    Raises:
        InputError: if the mask of a sample is empty.
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
    """Refuse a mask that covers nothing, of which there are no statistics."""
    if not covers:
        raise InputError("a mask is empty; each mask needs at least one pixel above 0")


def require_agreement(content: Tensor, style: Tensor) -> None:
    """Refuse features whose batch sizes or channels differ, which broadcasting would hide."""
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
    """Give `content` the per-channel mean and standard deviation of `style` (Eq. 8).

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W'); the spatial size may differ.
        mask: region of `content` to normalise within, shape (N, 1, H, W), in [0, 1]; None means everywhere.
        content_stats: mean and standard deviation of the content, each (N, C, 1, 1), where `content` is a part of
            it; None takes those of `content` itself.
        eps: added to the variances.

    Returns:
        Features, shape (N, C, H, W); where `mask` is 0 they are `content` unchanged, between they are blended.

    Raises:
        InputError: if N or C differ, or if a mask is empty.

    Differs from the paper: nothing. Differs from the authors' code: eps is added to both variances, so that
    AdaIN(x, x) = x; theirs adds it to the content's alone.
    """
    require_agreement(content, style)
    content_mean, content_std = channel_stats(content, mask, eps=eps) if content_stats is None else content_stats
    style_mean, style_std = channel_stats(style, eps=eps)
    scale = style_std / content_std  # (N, C, 1, 1)
    styled = torch.addcmul(style_mean - content_mean * scale, _full_precision(content), scale).to(content.dtype)
    return styled if mask is None else torch.lerp(content, styled, mask.to(content.dtype))


def conditional_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Give every channel of each sample a mean and a standard deviation that were learnt for its style (Eq. 7).

    Args:
        x: features, shape (N, C, H, W).
        scale: standard deviations gamma of the style of each sample, shape (N, C).
        shift: means beta, shape (N, C).
        eps: added to the variance.

    Returns:
        Features, shape (N, C, H, W).
    """
    mean, std = channel_stats(x, eps=eps)
    scale = scale[..., None, None] / std  # (N, C, 1, 1)
    return torch.addcmul(shift[..., None, None] - mean * scale, _full_precision(x), scale).to(x.dtype)


def condense(x: Tensor) -> Tensor:
    """Two cells whose channels have the mean and standard deviation of `x`, (N, C, H, W) to (N, C, 1, 2).

    For AdaIN they stand for the whole style, and take no room.
    """
    return two_cells(*channel_stats(x, eps=0.0))


def two_cells(mean: Tensor, std: Tensor) -> Tensor:
    """Two cells whose channels have a mean and a standard deviation, each (N, C, 1, 1) to (N, C, 1, 2)."""
    return torch.cat((mean - std, mean + std), dim=3)


def concatenate(content: Tensor, style: Tensor, mask: Tensor | None = None) -> Tensor:
    """Stack content and style features along the channels, the Enc-Concat-Dec baseline of Sec. 7.2.

    Args:
        content: features, shape (N, C, H, W).
        style: features, shape (N, C, H', W'); brought to (H, W) bilinearly.
        mask: region that sees the style, shape (N, 1, H, W), in [0, 1]; elsewhere the content stands in for it.

    Returns:
        Features, shape (N, 2C, H, W).

    The paper does not say how sizes are brought together; in training both are square and equal.
    """
    if is_exporting() or style.shape[2:] != content.shape[2:]:  # of sizes the exporter knows nothing
        style = F.interpolate(style, size=content.shape[2:], mode="bilinear", align_corners=False)
    if mask is not None:
        style = torch.lerp(content, style, mask.to(content.dtype))
    return torch.cat((content, style), dim=1)


def gram_matrix(x: Tensor) -> Tensor:
    """Mean over the cells of the outer product of the channels (Gatys et al. 2016), shape (N, C, H, W) to (N, C, C)."""
    x = _full_precision(x).flatten(2)  # (N, C, HW)
    with torch.autocast(x.device.type, enabled=False):  # which would run the product in half precision
        return x @ x.transpose(1, 2) / x.shape[2]


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population variance per sample and channel, (N, C, H, W) to (N, C, 1, 1) each.

    In two passes, since `torch.var_mean` takes four times as long over channels-last memory on a CPU.
    """
    mean = x.mean((2, 3), keepdim=True)
    return mean, (x - mean).square().mean((2, 3), keepdim=True)


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
        cells = x.shape[2] * x.shape[3]
        slope = by_var * (2 / cells)
        return torch.addcmul(by_mean / cells - slope * mean, x, slope)


def is_exporting() -> bool:
    """Whether a graph is being recorded for other programs; torch 2.11 takes ``torch.compile`` for that too."""
    return torch.compiler.is_exporting() and not torch.compiler.is_dynamo_compiling()


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
