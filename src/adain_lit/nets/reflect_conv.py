"""The convolution of all networks here: reflection padding, also under autocast in low precision."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ReflectConv2d(nn.Conv2d):
    """3x3 convolution with reflection padding that keeps the size (Sec. 6.1).

    What `torch.nn.Conv2d` computes with ``padding_mode="reflect"``; but on a CPU autocast would pad in float32, so that
    every convolution turns its input to float32 and back.

    Args:
        inputs: channels in.
        outputs: channels out.
        size: odd side of the kernel.
        stride: cells between two places of the kernel.

    Shape:
        - input: (N, inputs, H, W)
        - output: (N, outputs, ceil(H / stride), ceil(W / stride))
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
