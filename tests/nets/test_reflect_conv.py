"""The convolution is torch's with reflection padding, and stays in low precision under autocast."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from adain_lit.nets.reflect_conv import ReflectConv2d


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (9, 1), (3, 2)])
def test_it_equals_torch_s_convolution_with_reflection_padding(size: int, stride: int) -> None:
    """Oracle: torch.nn.Conv2d with padding_mode="reflect" and the same weights, output and gradient."""
    ours = ReflectConv2d(3, 5, size, stride).double()
    theirs = nn.Conv2d(3, 5, size, stride, size // 2, padding_mode="reflect").double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 11, 12, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(a), theirs(b)
    out.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(out, expected)
    assert torch.equal(a.grad, b.grad)


class Padded(TorchDispatchMode):
    """Notes the type of everything that is padded."""

    def __init__(self) -> None:
        super().__init__()
        self.types: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "reflection_pad2d" in str(func):
            self.types.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def test_under_autocast_it_pads_in_low_precision() -> None:
    """Oracle: what reaches the kernel; torch's own convolution pads in float32 there."""
    with Padded() as padded, torch.autocast("cpu", dtype=torch.bfloat16):
        out = ReflectConv2d(3, 4)(torch.rand(1, 3, 8, 8))
    assert padded.types == [torch.bfloat16]
    assert out.dtype == torch.bfloat16
