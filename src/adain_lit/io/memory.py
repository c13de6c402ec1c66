"""A bound on the memory that images take while they are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition

DECODE_BYTES = 2 * 1024**3
"""Memory in bytes for the images that are decoded at the same time; also for one, unless the caller allows more."""


class MemoryBudget:
    """Memory that threads share: who needs more than is left waits until others are done.

    Args:
        limit: the whole budget in bytes.

    Example:
        >>> budget = MemoryBudget(100)
        >>> with budget.reserve(60):
        ...     budget.used
        60
        >>> budget.used
        0
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._changed = Condition()

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Hold `needed` bytes; what needs more than the whole budget waits until it is alone."""
        needed = min(needed, self.limit)
        with self._changed:
            self._changed.wait_for(lambda: self.used + needed <= self.limit)
            self.used += needed
        try:
            yield
        finally:
            with self._changed:
                self.used -= needed
                self._changed.notify_all()


DECODING = MemoryBudget(DECODE_BYTES)
"""The budget of this process."""


LEAST_BUDGET, MOST_BUDGET = 64 * 1024**2, 768 * 1024**2
"""Bounds in bytes of `feature_budget`: tiles below the first are nearly all halo, and larger images than the second
gives are no slower in tiles."""


def feature_budget(free: int | None = None) -> int:
    """Memory in bytes for the features of an image or a tile: a quarter of what is free, within bounds.

    Args:
        free: bytes that are free; None asks the system.

    Example:
        >>> feature_budget(10**9), feature_budget(10**12) == MOST_BUDGET
        (250000000, True)
    """
    free = available_memory() if free is None else free
    return MOST_BUDGET if free is None else min(max(free // 4, LEAST_BUDGET), MOST_BUDGET)


def available_memory() -> int | None:
    """Memory in bytes that can still be taken, at most the limit of the process's control group; None if unknown.

    Example:
        >>> (available_memory() or 1) > 0
        True
    """
    found = []
    with suppress(OSError, ValueError):  # not Linux
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):  # no control group, or one without a limit, which reads "max"
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    return min(found, default=None)
