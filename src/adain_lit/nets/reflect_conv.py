"""The convolution of all networks here: reflection padding, also under low-precision autocast."""

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
        device = input.device.type
        if torch.is_autocast_enabled(device):
            input = input.to(torch.get_autocast_dtype(device))
        pads: Any = self._reversed_padding_repeated_twice
        with torch.autocast(device, enabled=False):
            padded = F.pad(input, pads, mode="reflect")
        return F.conv2d(padded, self.weight, self.bias, self.stride)
