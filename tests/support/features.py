"""Random features and masks."""

import torch
from torch import Tensor


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Features whose channels differ in mean and spread, as those of a ReLU do not and those of a fault would hide."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    scale = torch.linspace(0.3, 3.0, shape[1], dtype=torch.float64).view(1, -1, 1, 1)
    return (x * scale + 2 * scale.flip(1) + seed).to(dtype)


def soft_mask(n: int, h: int, w: int, seed: int = 0) -> Tensor:
    """A mask of zeros, ones and values between."""
    values = torch.rand(n, 1, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (1.5 * values - 0.25).clamp(0, 1)


def hard_mask(n: int, h: int, w: int) -> Tensor:
    return (soft_mask(n, h, w, seed=5) > 0.5).double()
