"""Encoder and decoder with fewer products and fewer passes over memory, in exactly the paper's mathematics.

`VGGEncoder.forward` and `Decoder.forward` are the reference, and what other devices, compiled and exported graphs use.
The rewrites here give the same numbers but for rounding, from the same weights:

**Nearest up-sampling and a 3x3 convolution.** Up-sampling writes u[2i] = u[2i + 1] = x[i], so that of the weights
(a, b, c) along an axis two always meet the same value:

    y[2i - 1] = (a + b) x[i - 1] + c x[i],        y[2i] = a x[i - 1] + (b + c) x[i]

Both are convolutions of x itself with two weights, so one 2x2 convolution gives all four phases of y with 4 products in
place of 9, and there is no up-sampled copy. Reflection padding of u is replication padding of x. (The transposed
convolution of stride 2 is the same again; oneDNN needs longer for the gradient of its weights, see decision 71.)

**Padding.** An activation reads and writes everything once. Here it writes into the interior of a tensor that is larger
by one position on each side; only the border is then copied.

**Concatenation.** W [x, s] = W_x x + W_s s: the two parts of a convolution's input are convolved and added.

**Pooling.** max(relu(x)) = relu(max(x)), and the maximum of four is a quarter of the positions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from adain_lit.nets.reflect_conv import reflect_pad

SWITCH = "ADAIN_REWRITES"
"""Environment variable: types of the devices that use the rewrites, as in ``cpu,cuda``; empty for none."""
REFLECTED, REPLICATED = 2, 1
"""Padding by one position: how far inside of the border what is copied there lies."""

_devices = {name.strip() for name in os.environ.get(SWITCH, "cpu").split(",")}


def rewritten(x: Tensor) -> bool:
    """Whether what is computed from `x` is computed by the rewrites: by default on a CPU, unless compiled or exported.

    Example:
        >>> rewritten(torch.zeros(1)), rewritten(torch.zeros(1, device="meta"))
        (True, False)
    """
    return x.device.type in _devices and not torch.compiler.is_compiling()


@contextmanager
def on_devices(*types: str) -> Iterator[None]:
    """Use the rewrites on devices of these types alone while the context lasts; without any, the plain forms.

    Example:
        >>> with on_devices():
        ...     rewritten(torch.zeros(1))
        False
    """
    global _devices
    before, _devices = _devices, set(types)
    try:
        yield
    finally:
        _devices = before


def phase_weight(weight: Tensor) -> Tensor:
    """Weights of the 2x2 convolution that gives the four phases of up-sampling and a 3x3 convolution.

    Args:
        weight: of the 3x3 convolution, shape (C', C, 3, 3).

    Returns:
        Shape (4 C', C, 2, 2): odd rows before even ones, then odd columns before even ones, then C'.

    Example:
        >>> phase_weight(torch.ones(8, 4, 3, 3)).shape
        torch.Size([32, 4, 2, 2])
    """
    wide = weight.float() if weight.dtype in (torch.bfloat16, torch.float16) else weight
    phases = [both for rows in _halves(wide, 2) for both in _halves(rows, 3)]
    return torch.cat(phases).to(weight.dtype, memory_format=torch.channels_last)


def _halves(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The two weights of the odd and of the even positions along an axis of three."""
    a, b, c = weight.unbind(axis)
    return torch.stack((a + b, c), axis), torch.stack((a, b + c), axis)


def _by_phase(x: Tensor) -> Tensor:
    """(N, C, 2 h, 2 w) in channels-last memory as a view (N, h, w, 2, 2, C)."""
    n, c, height, width = x.shape
    split = x.permute(0, 2, 3, 1).view(n, height // 2, 2, width // 2, 2, c)
    return split.permute(0, 1, 3, 2, 4, 5)


def _phases(y: Tensor) -> Tensor:
    """Output (N, 4 C, h, w) of a convolution with `phase_weight` as a view (N, h, w, 2, 2, C)."""
    n, channels, height, width = y.shape
    last = y.permute(0, 2, 3, 1)
    return last.reshape(n, height, width, 2, 2, channels // 4)


def _activation(x: Tensor, slope: float, out: Tensor) -> None:
    if slope:
        torch.ops.aten.leaky_relu.out(x, slope, out=out)
    else:
        torch.clamp_min(x, 0, out=out)


def _derivative(grad: Tensor, result: Tensor, slope: float) -> Tensor:
    """Derivative of the activation, from its result."""
    if slope:
        masked: Tensor = torch.ops.aten.leaky_relu_backward(grad, result, slope, True)
    else:
        masked = torch.ops.aten.threshold_backward(grad, result, 0)
    return masked


def _interior(x: Tensor) -> Tensor:
    return x[..., 1:-1, 1:-1]


def _fill_border(x: Tensor, inset: int) -> None:
    """Copy into the border of (N, C, H, W) what is `inset` positions further inside."""
    for axis in (3, 2):
        length = x.shape[axis]
        x.select(axis, 0).copy_(x.select(axis, inset))
        x.select(axis, length - 1).copy_(x.select(axis, length - 1 - inset))


class _Activated(torch.autograd.Function):
    """The activation written into the interior of a padded tensor, see `activated`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, added: Tensor | None, phases: bool, slope: float, inset: int) -> Any:
        if phases:
            n, channels, height, width = x.shape
            shape = (n, channels // 4, 2 * height, 2 * width)
            padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
            if added is None:
                _activation(_phases(x), slope, _by_phase(padded))
            else:
                torch.add(_by_phase(added), _phases(x), out=_by_phase(padded))
                _activation(padded, slope, padded)
        else:
            n, channels, height, width = x.shape
            shape = (n, channels, height + 2, width + 2)
            padded = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
            _activation(x, slope, _interior(padded))
        _fill_border(padded, inset)
        ctx.save_for_backward(padded)
        ctx.set_materialize_grads(False)
        ctx.options = (added is not None, phases, slope, inset)
        return padded, _interior(padded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, of_interior: Tensor | None) -> Any:
        (padded,) = ctx.saved_tensors
        with_added, phases, slope, inset = ctx.options
        if grad is None and of_interior is None:
            return None, None, None, None, None
        if grad is None:
            assert of_interior is not None
            own = _derivative(of_interior, _interior(padded), slope)
        else:
            inner = _interior(grad)
            own = _derivative(inner if of_interior is None else inner + of_interior, _interior(padded), slope)
            _add_border(own, grad, _interior(padded), slope, inset)
        if not phases:
            return own, None, None, None, None
        whole = F.pad(own, (1, 1, 1, 1)).contiguous(memory_format=torch.channels_last)
        by_phase = _by_phase(whole)
        n, height, width = by_phase.shape[:3]
        of_x = by_phase.reshape(n, height, width, -1).permute(0, 3, 1, 2)
        return of_x, whole if with_added else None, None, None, None


def _add_border(own: Tensor, grad: Tensor, result: Tensor, slope: float, inset: int) -> None:
    """Add the gradient of the border of a padded tensor to the positions that were copied there."""
    first, last = inset - 1, -inset
    for edge, at in ((0, first), (-1, last)):
        own[..., at] += _derivative(grad[..., 1:-1, edge], result[..., at], slope)
        row = grad[..., edge, 1:-1].clone()
        row[..., first] += grad[..., edge, 0]
        row[..., last] += grad[..., edge, -1]
        own[..., at, :] += _derivative(row, result[..., at, :], slope)


def activated(x: Tensor, *, slope: float = 0.0, inset: int = REFLECTED) -> tuple[Tensor, Tensor]:
    """The leaky ReLU of `x`, padded by one position.

    Args:
        x: shape (N, C, H, W).
        slope: negative slope; 0 is the ReLU.
        inset: `REFLECTED` or `REPLICATED`.

    Returns:
        Shape (N, C, H + 2, W + 2), in channels-last memory, and a view of its interior, (N, C, H, W).

    Example:
        >>> activated(torch.tensor([[[[1.0, -2.0, 3.0]] * 2]]))[0][0, 0, 0]
        tensor([0., 1., 0., 3., 0.])
    """
    padded, inner = _Activated.apply(x, None, False, slope, inset)
    return padded, inner


def upsampled_conv(
    x: Tensor, weight: Tensor, bias: Tensor, *, skip: Tensor | None = None, slope: float = 0.0, inset: int = REFLECTED
) -> tuple[Tensor, Tensor]:
    """Activated 3x3 convolution, with reflection padding, of ``cat(upsample(x), skip)``, itself padded.

    Args:
        x: shape (N, C, h + 2, w + 2), padded by replication.
        weight: shape (C', C + S, 3, 3).
        bias: shape (C',).
        skip: shape (N, S, H, W), to which the up-sampled x is cut. No gradient where that cuts anything off.
        slope: see `activated`.
        inset: see `activated`.

    Returns:
        Shape (N, C', H + 2, W + 2) and its interior, as `activated`.

    Example:
        >>> x, weight, bias = torch.rand(1, 4, 5, 6), torch.rand(8, 4, 3, 3), torch.rand(8)
        >>> upsampled_conv(x, weight, bias)[1].shape
        torch.Size([1, 8, 6, 8])
    """
    channels, (height, width) = x.shape[1], (2 * (length - 2) for length in x.shape[2:])
    own = weight[:, :channels]
    if skip is None:
        y = F.conv2d(x, phase_weight(own), bias.repeat(4))
        padded, inner = _Activated.apply(y, None, True, slope, inset)
        return padded, inner
    lacking = height - skip.shape[2], width - skip.shape[3]
    from_skip = F.conv2d(reflect_pad(skip, (2, 2 + lacking[1], 2, 2 + lacking[0])), weight[:, channels:], bias)
    padded, inner = _Activated.apply(F.conv2d(x, phase_weight(own)), from_skip, True, slope, inset)
    if any(lacking):
        padded = padded[..., : skip.shape[2] + 2, : skip.shape[3] + 2]
        _renew_last(padded, x, own, from_skip, lacking, slope)
        _fill_border(padded, inset)
        inner = _interior(padded)
    return padded, inner


def _renew_last(
    padded: Tensor, x: Tensor, weight: Tensor, from_skip: Tensor, lacking: Sequence[int], slope: float
) -> None:
    """Compute the last row or column as the plain form does, where the up-sampled size was cut to an odd one.

    There reflection reaches the last position but one, which replication of x does not.
    """
    for axis, cut_off in ((2, lacking[0]), (3, lacking[1])):
        if not cut_off:
            continue
        other, size = 5 - axis, padded.shape[axis] - 2
        length = padded.shape[other] - 2
        sources = [1 + position // 2 for position in (size - 2, size - 1, size - 2)]  # of u at S - 2, S - 1 and S
        columns = x.index_select(axis, torch.tensor(sources, device=x.device)).narrow(other, 1, x.shape[other] - 2)
        strip = columns.repeat_interleave(2, other).narrow(other, 0, length)
        values = F.conv2d(reflect_pad(strip, (0, 0, 1, 1) if other == 2 else (1, 1, 0, 0)), weight)
        values = values + from_skip.narrow(axis, size, 1).narrow(other, 1, length)
        _activation(values, slope, padded.narrow(axis, size, 1).narrow(other, 1, length))
