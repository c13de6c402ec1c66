"""Interleaved timing of several actions, and the peak memory of a process."""

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
"""Does some work and returns its fraction of the whole: 1, or less if the rest is to be extrapolated."""
LEAST_IMAGES = 3
"""Timed for every case, however slow it is."""
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
    """Time actions in turns, so that anything that slows the machine down for a while affects all of them.

    Each round runs every action once and starts with a different one, because an action inherits the state of caches
    and processor clock from the one before it.

    Args:
        actions: by case.
        images: number of rounds.
        max_seconds: an action that took this long in total is not repeated, but runs `LEAST_IMAGES` times at least.
        warmup: untimed rounds before.
        device: synchronised before each reading of the clock.
        tick: called after each timed action.

    Returns:
        Seconds of every repetition by case, extrapolated if the action did only a fraction.

    Example:
        >>> options = {"images": 4, "max_seconds": 60, "warmup": 1, "device": torch.device("cpu")}
        >>> {case: len(times) for case, times in time_interleaved({"sum": lambda: 1.0}, **options).items()}
        {'sum': 4}
    """
    for _ in range(warmup):
        for action in actions.values():
            action()
    seconds: dict[K, list[float]] = {case: [] for case in actions}
    spent = dict.fromkeys(actions, 0.0)
    cases = list(actions)
    for index in range(images):
        turn = index % len(cases)
        for case in cases[turn:] + cases[:turn]:
            if spent[case] >= max_seconds and len(seconds[case]) >= LEAST_IMAGES:
                continue
            synchronize(device)
            start = time.perf_counter()
            fraction = actions[case]()
            synchronize(device)
            elapsed = time.perf_counter() - start
            spent[case] += elapsed
            seconds[case].append(elapsed / fraction)
            tick()
    return seconds


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, quartiles (linear interpolation), extremes and count.

    Example:
        >>> spread([1.0, 2.0, 3.0, 5.0])
        {'median': 2.5, 'quartiles': [1.75, 3.5], 'least': 1.0, 'most': 5.0, 'images': 4}
    """
    lower, median, upper = quantiles(seconds, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "median": median,
        "quartiles": [lower, upper],
        "least": min(seconds),
        "most": max(seconds),
        "images": len(seconds),
    }


def peak_memory(action: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Measure memory while an action runs; call it in a fresh process, which holds no freed memory to reuse.

    On a CUDA device this is what torch has allocated there, elsewhere the resident memory of the process.

    Returns:
        MiB ``before`` the action (on a CPU: Python and its libraries) and at the ``peak``.

    Example:
        >>> memory = peak_memory(lambda: bytearray(2**24), torch.device("cpu"))
        >>> memory["peak"] >= memory["before"]
        True
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
    """Reset the peak that Linux reports, so that the memory of imports is not attributed to the action."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not permitted
        return


def _peak_resident() -> float:
    """Peak resident memory in MiB. On Linux, getrusage would report the parent's peak if that was larger."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (MIB if sys.platform == "darwin" else 1024)
