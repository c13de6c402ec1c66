"""The optimiser and its learning rate schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from adain_lit.errors import InputError
from adain_lit.tasks.config import OptimConfig

SCHEDULES = ("inverse", "cosine")


def by_fan_in(parameters: Iterable[nn.Parameter], *, lr: float, widest: int | None) -> list[dict[str, Any]]:
    """Parameter groups for `adam` in which convolutions of large fan-in have a lower learning rate.

    Adam changes every weight by about its rate, hence a sum over n values by n times that: with a single rate, what
    suits narrow layers makes wide ones diverge in their first steps.

    Args:
        parameters: the trained parameters.
        lr: learning rate of convolutions of a fan-in up to `widest`, and of all other parameters.
        widest: convolutions of a fan-in n > `widest` learn at lr * `widest` / n; None: all at `lr`.

    Raises:
        InputError: if `widest` is below 1.

    Example:
        >>> [group["lr"] for group in by_fan_in(nn.Conv2d(8, 2, 3).parameters(), lr=0.1, widest=36)]
        [0.1, 0.05]
    """
    if widest is not None and widest < 1:
        raise InputError(f"lr_fan_in is {widest}; it must be 1 or more, or null")
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        inputs = parameter[0].numel() if parameter.ndim == 4 else 1
        factor = 1.0 if widest is None else min(1.0, widest / inputs)
        groups.setdefault(factor, []).append(parameter)
    return [{"params": group, "lr": lr * factor} for factor, group in sorted(groups.items(), reverse=True)]


def adam(parameters: Any, config: OptimConfig) -> dict[str, Any]:
    """Adam (Sec. 6.2) and its learning rate schedule, as ``configure_optimizers`` returns them.

    Args:
        parameters: tensors or parameter groups.
        config: the options. At step t the rate is lr / (1 + lr_decay t) under ``inverse``, and half a cosine from lr
            to 0 at step lr_steps under ``cosine``; over the first lr_warmup steps it rises linearly.

    Raises:
        InputError: for an unknown schedule, or a cosine without its last step.

    Example:
        >>> made = adam([nn.Parameter(torch.zeros(1))], OptimConfig(lr=0.1, lr_warmup=4))
        >>> made["optimizer"].param_groups[0]["lr"]
        0.025
    """
    schedule, steps, warmup = config.lr_schedule, config.lr_steps, config.lr_warmup
    if schedule not in SCHEDULES:
        raise InputError(f"unknown lr_schedule {schedule!r}; known are {', '.join(SCHEDULES)}")
    if schedule == "cosine" and (steps is None or steps < 1):
        raise InputError(f"lr_steps is {steps}; lr_schedule=cosine needs the step at which the rate reaches 0")

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
        if schedule == "cosine":
            assert steps is not None
            return rising * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        return rising / (1 + config.lr_decay * step)

    optimizer = torch.optim.Adam(parameters, lr=config.lr)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
