"""What the launchers have in common: they wait for every job and hand signals on to all that run.

They stand on hydra-submitit-launcher, which hands a job to a process of its own.
"""

import logging
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher import submitit_launcher as upstream

from adain_lit.errors import InputError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
SECOND_SIGNAL_AFTER = 2.0
"""Seconds within which signals count as one, as in a single run."""


Call = tuple[list[str], list[str], str, int, str, dict[Any, Any]]
"""Command line, overrides, key of the sweep's folder, number, identity and Hydra's state."""


class Interruption:
    """While it is entered, SIGINT, SIGTERM and SIGHUP are noted instead of ending this process.

    Attributes:
        number: the first signal, None while there was none.
        times: how often a signal came, those within two seconds of the last counted as one.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.times = 0
        self._last = 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *args: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self.number = self.number or number
        if self.times == 0 or now - self._last > SECOND_SIGNAL_AFTER:
            self.times += 1
        self._last = now


class StartedJob(ABC):
    """A job that has been started.

    Args:
        call: the arguments of `WaitingLauncher.__call__`.
        output: where what it prints goes.
    """

    def __init__(self, call: Call, output: Path) -> None:
        _, self.overrides, _, self.number, *_ = call
        self.output = output

    def __str__(self) -> str:
        """Its folder, or all that is set for it where no folder was given."""
        key = "hydra.sweep.subdir="
        folders = [text.removeprefix(key).strip("'") for text in self.overrides if text.startswith(key)]
        return folders[0] if folders else " ".join(self.overrides)

    @abstractmethod
    def is_over(self) -> bool:
        """Whether its process has ended."""

    @abstractmethod
    def interrupt(self) -> None:
        """Send it SIGINT, on which it saves and leaves."""

    @abstractmethod
    def outcome(self) -> tuple[str, Any]:
        """``success`` and what it handed back; ``error`` and a traceback, or how its process ended without a word."""

    def returned(self) -> JobReturn:
        """What it handed back, or why that is nothing."""
        outcome, value = self.outcome()
        if outcome == "success":
            assert isinstance(value, JobReturn)
            return value
        reason = str(value).strip().splitlines()[-1]  # of a traceback the error itself
        lost = InputError(f"{reason}; what it printed last is in {self.output}")
        return JobReturn(overrides=self.overrides, status=JobStatus.FAILED, _return_value=lost)


class WaitingLauncher(upstream.BaseSubmititLauncher):  # type: ignore[misc]
    """Starts jobs as there is room for them and waits for all."""

    poll_seconds = POLL_SECONDS

    @abstractmethod
    def start(self, calls: deque[Call]) -> list[StartedJob]:
        """Take from the left of `calls` those that there is room for, and start them."""

    def __call__(self, argv: list[str], *arguments: Any) -> JobReturn:
        """Run one job, in a process of its own; its record names the command that a person gave."""
        from adain_lit.config.resolvers import register_resolvers

        register_resolvers()
        sys.argv = argv
        returned: JobReturn = super().__call__(*arguments)
        return returned

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs; what each returned, in their order.

        Raises:
            SystemExit: 128 + a signal that came, once all jobs have ended.
        """
        state = Singleton.get_state()
        waiting: deque[Call] = deque(
            (sys.argv, list(overrides), "hydra.sweep.dir", number, str(number), state)
            for number, overrides in enumerate(job_overrides, initial_job_idx)
        )
        running: list[StartedJob] = []
        returned: dict[int, JobReturn] = {}
        told = 0
        with Interruption() as interruption:
            while running or (waiting and not interruption.times):
                if not interruption.times:
                    running += self.start(waiting)
                if interruption.times > told:
                    told = interruption.times
                    log.warning("ending %d jobs, each with a checkpoint; once more ends them at once", len(running))
                    for job in running:
                        job.interrupt()
                for job in [job for job in running if job.is_over()]:
                    running.remove(job)
                    returned[job.number] = job.returned()
                    how = "done" if returned[job.number].status is JobStatus.COMPLETED else "not done"
                    log.info("\t%s: %s, %d to go", how, job, len(running) + len(waiting))
                time.sleep(self.poll_seconds)
        if interruption.number is not None:
            raise SystemExit(128 + interruption.number)
        return [returned[number] for number in sorted(returned)]
