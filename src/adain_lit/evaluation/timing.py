"""Times beside each other in one run, and the peak memory of a process."""

import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any, TypeVar

import torch

from adain_lit.devices import synchronize

K = TypeVar("K", bound=Hashable)

Action = Callable[[], float]
"""Does some work, and says what share of the whole that was: 1, or less where the rest is to be extrapolated."""
LEAST_IMAGES = 3
"""Timed of every case, however long they take."""
MIB = 2**20


def time_interleaved(
    actions: Mapping[K, Action],
    *,
    images: int,
    max_seconds: float,
    warmup: int,
    device: torch.device,
    tick: Callable[[], object] = lambda: None,
) -> dict[K, list[float]]:
    """Time actions in turns, so that whatever slows the machine down for a while slows all of them down.

    Each round does every action once and begins with another one, since an action may find the caches, or the clock
    of the processor, as the one before it left them.

    Args:
        actions: by case.
        images: number of rounds.
        max_seconds: an action that has taken so long leaves the rounds, but not before `LEAST_IMAGES`.
        warmup: rounds before, which do not count.
        device: which is waited for before each look at the clock.
        tick: called after each timed action.

    Returns:
        Seconds of each action, one number for each time, extrapolated to the whole where it did a share.
    """
    for _ in range(warmup):
        for action in actions.values():
            action()
    seconds: dict[K, list[float]] = {case: [] for case in actions}
    spent = dict.fromkeys(actions, 0.0)
    cases = list(actions)
    for number in range(images):
        turn = number % len(cases)
        for case in cases[turn:] + cases[:turn]:
            if spent[case] >= max_seconds and len(seconds[case]) >= LEAST_IMAGES:
                continue
            synchronize(device)
            start = time.perf_counter()
            share = actions[case]()
            synchronize(device)
            elapsed = time.perf_counter() - start
            spent[case] += elapsed
            seconds[case].append(elapsed / share)
            tick()
    return seconds


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles (linear between neighbours), extremes and number of times."""
    lower, median, upper = quantiles(seconds, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "median": median,
        "quartiles": [lower, upper],
        "least": min(seconds),
        "most": max(seconds),
        "images": len(seconds),
    }


def peak_memory(action: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Memory while an action runs, in MiB, in a process that has done nothing like it before.

    On a CUDA device what torch has allocated there; elsewhere the resident memory of the process.

    Returns:
        ``before`` the action, which on a CPU is Python and its libraries, and at its ``peak``.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device) / MIB
        action()
        synchronize(device)
        return {"before": before, "peak": torch.cuda.max_memory_allocated(device) / MIB}
    _forget_peak()
    before = _peak_resident()
    action()
    synchronize(device)
    return {"before": before, "peak": _peak_resident()}


def _forget_peak() -> None:
    """Let Linux count the peak from now on, so that what importing took is not taken for the action's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # another system, or one that does not allow it
        return


def _peak_resident() -> float:
    """Peak of the resident memory in MiB. On Linux getrusage would tell the parent's, where that was larger."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource  # which Windows has not

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
