"""Batch normalisation over a batch split across processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation (Eqs. 1 and 2) over the batches of all processes.

    With a single process, and in evaluation, it is `torch.nn.BatchNorm2d`, with the same parameters.
    `torch.nn.SyncBatchNorm` does the same, but on GPUs only. Batches of all processes must have the same size.

    Shape:
        - input and output: (N, C, H, W)

    Example:
        >>> GlobalBatchNorm2d(3)(torch.rand(2, 3, 4, 4)).mean().abs() < 1e-5
        tensor(True)
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training, also update the running statistics."""
        if not (self.training and _several_processes()):
            return super().forward(x)
        full = x.to(torch.promote_types(x.dtype, torch.float32))
        mean = _mean_over_processes(full.mean((0, 2, 3)))  # (C,)
        centred = full - mean.view(1, -1, 1, 1)
        var = _mean_over_processes(centred.square().mean((0, 2, 3)))
        self._update(mean.detach(), var.detach(), x.numel() // x.shape[1] * distributed.get_world_size())
        normalised = centred * (var + self.eps).rsqrt().view(1, -1, 1, 1)
        return (normalised * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(x.dtype)

    def _update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Update running statistics as `torch.nn.BatchNorm2d` does, with the unbiased variance of `count` values."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var), self.momentum)
        self.num_batches_tracked += 1


def _several_processes() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _mean_over_processes(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)
    return total / distributed.get_world_size()


class _Sum(torch.autograd.Function):
    """Sum over all processes. The loss of each depends on it, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total
