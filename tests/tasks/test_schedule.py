"""The learning rate over the steps, by its formulas."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from adain_lit.errors import InputError
from adain_lit.tasks.config import OptimConfig
from adain_lit.tasks.schedule import adam, by_fan_in


def rates(count: int, *, group: int = 0, parameters: Any = None, **settings: Any) -> list[float]:
    """The rate that each of `count` steps is made with."""
    made = adam(nn.Linear(2, 2).parameters() if parameters is None else parameters, OptimConfig(**settings))
    assert made["lr_scheduler"]["interval"] == "step"
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert type(optimizer) is torch.optim.Adam
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[group]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_inverse_is_that_of_the_authors_code() -> None:
    """Oracle: lr / (1 + decay t) at step t."""
    assert rates(50, lr=1e-4) == pytest.approx([1e-4 / (1 + 5e-5 * t) for t in range(50)])
    assert rates(50, lr=0.3, lr_decay=0.5) == pytest.approx([0.3 / (1 + 0.5 * t) for t in range(50)])


def test_cosine_falls_to_nothing_and_stays_there() -> None:
    """Oracle: lr (1 + cos(pi t / steps)) / 2; the whole at 0, half of it in the middle, 0 from the end on."""
    found = rates(14, lr=0.2, lr_schedule="cosine", lr_steps=10)
    assert found[:11] == pytest.approx([0.1 * (1 + math.cos(math.pi * t / 10)) for t in range(11)])
    assert (found[0], found[5]) == (pytest.approx(0.2), pytest.approx(0.1))
    assert found[10:] == pytest.approx([0] * 4, abs=1e-12)


@pytest.mark.parametrize("settings", [{"lr_decay": 0.1}, {"lr_schedule": "cosine", "lr_steps": 20}])
def test_warm_up_rises_in_a_line_to_the_schedule(settings: dict[str, Any]) -> None:
    """Oracle: the schedule without warm-up times (t + 1) / 4 in the first four steps."""
    plain, warm = rates(12, lr=0.2, **settings), rates(12, lr=0.2, lr_warmup=4, **settings)
    shares = [0.25, 0.5, 0.75, *[1.0] * 9]
    assert warm == pytest.approx([share * rate for share, rate in zip(shares, plain, strict=True)])


def test_groups_keep_their_own_rates() -> None:
    """Oracle: the same factors on the rate of the group."""
    layers = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": layers[0].parameters()}, {"params": layers[1].parameters(), "lr": 3.0}]
    assert rates(5, parameters=groups, group=1, lr=1.0, lr_decay=1.0) == pytest.approx([3 / (1 + t) for t in range(5)])


def test_unusable_settings_are_refused() -> None:
    for settings, message in (
        ({"lr_schedule": "linear"}, "unknown lr_schedule 'linear'; known are inverse, cosine"),
        ({"lr_schedule": "cosine"}, "lr_steps is None; lr_schedule=cosine needs the step at which the rate reaches 0"),
        (
            {"lr_schedule": "cosine", "lr_steps": 0},
            "lr_steps is 0; lr_schedule=cosine needs the step at which the rate re",
        ),
    ):
        with pytest.raises(InputError) as caught:
            rates(1, lr=0.1, **settings)
        assert str(caught.value).startswith(message)


def test_wide_convolutions_learn_more_slowly_in_proportion() -> None:
    """Oracle: 0.1 * 36 / (9 C_in), by hand; a layer of 36 values, biases and linear layers keep the rate."""
    layers = nn.ModuleList([nn.Conv2d(4, 2, 3), nn.Conv2d(8, 2, 3), nn.Conv2d(16, 2, 3), nn.Linear(500, 2)])
    groups = by_fan_in(layers.parameters(), lr=0.1, widest=36)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    weights = [rate[id(layer.weight)] for layer in layers]
    assert weights == pytest.approx([0.1, 0.05, 0.025, 0.1])
    assert all(rate[id(layer.bias)] == 0.1 for layer in layers)
    assert len(rate) == 8
    assert rates(1, group=2, parameters=groups, lr=0.1) == pytest.approx([0.025])


def test_without_a_widest_all_learn_alike() -> None:
    groups = by_fan_in(nn.Conv2d(16, 2, 3).parameters(), lr=0.1, widest=None)
    assert [(len(group["params"]), group["lr"]) for group in groups] == [(2, 0.1)]


def test_a_widest_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match=r"^lr_fan_in is 0; it must be 1 or more, or null$"):
        by_fan_in(nn.Linear(2, 2).parameters(), lr=0.1, widest=0)
