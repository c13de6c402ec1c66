"""Timing in turns by a clock that the test sets, and memory by known amounts."""

import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from adain_lit.evaluation import timing
from adain_lit.evaluation.timing import LEAST_IMAGES, spread, time_interleaved

CPU = torch.device("cpu")


class Clock:
    """Time that passes only while an action runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.done: list[str] = []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def action(self, name: str, *seconds: float, fraction: float = 1.0) -> Callable[[], float]:
        """Takes the given seconds in turn, the last ever after."""
        left = list(seconds)

        def act() -> float:
            self.done.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return fraction

        return act


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def timed(clock: Clock, actions: dict[str, Callable[[], float]], **options: Any) -> dict[str, list[float]]:
    defaults = {"images": 3, "max_seconds": math.inf, "warmup": 0, "device": CPU}
    return time_interleaved(actions, **defaults | options)


def test_actions_take_turns_and_each_round_begins_with_another(clock: Clock) -> None:
    seconds = timed(clock, {name: clock.action(name, 1, 2, 3) for name in "abc"})
    assert "".join(clock.done) == "abc" + "bca" + "cab"
    assert seconds == {name: [1, 2, 3] for name in "abc"}


def test_warm_up_does_not_count(clock: Clock) -> None:
    assert timed(clock, {"a": clock.action("a", 100, 50, 1)}, warmup=2) == {"a": [1, 1, 1]}


def test_a_slow_action_leaves_the_rounds_but_not_before_three_images(clock: Clock) -> None:
    actions = {"slow": clock.action("slow", 10), "mean": clock.action("mean", 1), "fast": clock.action("fast", 0.1)}
    seconds = timed(clock, actions, images=20, max_seconds=8)
    assert {name: len(times) for name, times in seconds.items()} == {"slow": LEAST_IMAGES, "mean": 8, "fast": 20}


def test_a_fraction_of_the_work_is_extrapolated_to_the_whole(clock: Clock) -> None:
    assert timed(clock, {"a": clock.action("a", 2, fraction=0.1)}, images=1) == {"a": [pytest.approx(20)]}


def test_spread_is_that_of_numpy() -> None:
    seconds = [0.3, 0.1, 0.25, 0.9, 0.2, 0.21]
    found = spread(seconds)
    assert [found["quartiles"][0], found["median"], found["quartiles"][1]] == pytest.approx(
        np.percentile(seconds, [25, 50, 75]).tolist()
    )
    assert (found["least"], found["most"], found["images"]) == (0.1, 0.9, 6)
    assert spread([0.5])["quartiles"] == [0.5, 0.5]


MEASURE = """
import torch
from adain_lit.evaluation.timing import peak_memory
torch.ones(256, 2**18).sum()  # came and went before
found = peak_memory(lambda: torch.ones(96, 2**18).sum(), torch.device("cpu"))
print(found["peak"] - found["before"])
"""


def test_peak_memory_is_that_of_the_action_and_of_nothing_before() -> None:
    """Oracle: 96 MiB of ones, given back before the action ends, in a process that no other test has used."""
    made = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    assert float(made.stdout) == pytest.approx(96, abs=8)
