"""The learning rate over the steps."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from adain_lit.errors import InputError

SCHEDULES = ("inverse", "cosine")


def by_fan_in(parameters: Iterable[nn.Parameter], *, lr: float, widest: int | None) -> list[dict[str, Any]]:
    """Groups of parameters for `adam`, in which wide convolutions learn more slowly.

    Adam moves every weight by about its rate, and a sum over n values by n times that. So with one rate for all, what
    is right for narrow layers overruns the wide ones in their first steps.

    Args:
        parameters: what is trained.
        lr: learning rate of convolutions that sum over up to `widest` values, and of all that is no convolution.
        widest: those of n > `widest` values learn at lr * `widest` / n; None: all at `lr`.

    Raises:
        InputError: if `widest` is below 1.
    """
    if widest is not None and widest < 1:
        raise InputError(f"lr_fan_in is {widest}; it must be 1 or more, or null")
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        inputs = parameter[0].numel() if parameter.ndim == 4 else 1
        share = 1.0 if widest is None else min(1.0, widest / inputs)
        groups.setdefault(share, []).append(parameter)
    return [{"params": group, "lr": lr * share} for share, group in sorted(groups.items(), reverse=True)]


def adam(
    parameters: Any,
    *,
    lr: float,
    schedule: str = "inverse",
    decay: float = 5e-5,
    steps: int | None = None,
    warmup: int = 0,
) -> dict[str, Any]:
    """Adam (Sec. 6.2) and its learning rate, as ``configure_optimizers`` gives them.

    Args:
        parameters: what is trained.
        lr: learning rate at step 0, or after the warm-up.
        schedule: ``inverse``: lr / (1 + decay t) at step t, as in the authors' code; ``cosine``: half a cosine from
            lr to 0 at step `steps`.
        decay: of ``inverse``.
        steps: of ``cosine``.
        warmup: the rate rises linearly over so many first steps.

    Raises:
        InputError: for an unknown schedule, or for a cosine without its end.
    """
    if schedule not in SCHEDULES:
        raise InputError(f"unknown lr_schedule {schedule!r}; known are {', '.join(SCHEDULES)}")
    if schedule == "cosine" and (steps is None or steps < 1):
        raise InputError(f"lr_steps is {steps}; lr_schedule=cosine needs the step at which the rate reaches 0")

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if schedule == "cosine":
            assert steps is not None
            return rising * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        return rising / (1 + decay * step)

    optimizer = torch.optim.Adam(parameters, lr=lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
