"""The convolution of all networks here: reflection padding, also under low-precision autocast."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReflectConv2d(nn.Conv2d):
    """3x3 convolution with reflection padding that keeps the size (Sec. 6.1).

    Computes the same as `torch.nn.Conv2d` with ``padding_mode="reflect"``, for which autocast on a CPU pads in float32:
    every convolution would convert its input to float32 and back.

    Args:
        inputs: input channels.
        outputs: output channels.
        size: kernel size, odd.
        stride: stride of the kernel.

    Shape:
        - input: (N, inputs, H, W)
        - output: (N, outputs, ceil(H / stride), ceil(W / stride))

    Example:
        >>> ReflectConv2d(3, 8, stride=2)(torch.rand(1, 3, 5, 4)).shape
        torch.Size([1, 8, 3, 2])
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, size, stride, size // 2, padding_mode="reflect")

    def forward(self, input: Tensor) -> Tensor:
        """Pad and convolve."""
        pads: Any = self._reversed_padding_repeated_twice
        return F.conv2d(reflect_pad(input, pads), self.weight, self.bias, self.stride)


def reflect_pad(x: Tensor, pads: Sequence[int] = (1, 1, 1, 1)) -> Tensor:
    """Reflection padding in the precision of the convolution that follows; autocast on a CPU pads in float32.

    Args:
        x: shape (N, C, H, W).
        pads: positions to add on the left, on the right, above and below.

    Example:
        >>> reflect_pad(torch.tensor([[[[1.0, 2.0, 3.0]] * 2]])).shape
        torch.Size([1, 1, 4, 5])
    """
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    with torch.autocast(device, enabled=False):
        return F.pad(x, list(pads), mode="reflect")
