"""Base of the launchers: they start each job as a process, wait for all of them, and forward signals."""

import logging
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from adain_lit.errors import InputError, counted

log = logging.getLogger(__name__)

SECOND_SIGNAL_AFTER = 2.0
"""Seconds within which signals count as one, as in a single run."""


class Interruption:
    """Context in which SIGINT, SIGTERM and SIGHUP are recorded instead of ending this process.

    Attributes:
        number: the first signal; None if there was none.
        times: number of signals; those within two seconds of the last count as one.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.times = 0
        self._last = 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        hangup = getattr(signal, "SIGHUP", None)  # not on Windows
        for number in filter(None, (signal.SIGINT, signal.SIGTERM, hangup)):
            if number != hangup or signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
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
        call: its number in the sweep, and its overrides.
        output: the file or folder with its output.
    """

    def __init__(self, call: "Call", output: Path) -> None:
        self.number, self.overrides = call
        self.output = output

    def __str__(self) -> str:
        """The name of its folder; all its overrides if they name none."""
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
    def failure(self) -> str | None:
        """How its process ended, to follow "its process"; None if it succeeded."""

    def returned(self) -> JobReturn:
        """The result as Hydra expects it: completed, or failed with the reason."""
        failure = self.failure()
        if failure is None:
            return JobReturn(overrides=self.overrides, status=JobStatus.COMPLETED)
        returned = JobReturn(overrides=self.overrides, status=JobStatus.FAILED)
        returned.return_value = InputError(f"its process {failure}; what it printed last is in {self.output}")
        return returned


Call = tuple[int, list[str]]


class ProcessLauncher(Launcher):
    """Runs each job as a process of the public command, ``python -m adain_lit.train KEY=VALUE ...``."""

    poll_seconds = 0.2

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep the configuration of the command."""
        self.config = config

    @abstractmethod
    def start(self, calls: deque[Call]) -> list[StartedJob]:
        """Take the jobs that there is room for from the left of `calls`, and start them."""

    def command(self, overrides: Sequence[str]) -> list[str]:
        """The command of one job: its overrides, and the options that the sweep's command passed to Hydra."""
        sources = self.config.hydra.runtime.config_sources
        folders = [source.path for source in sources if source.provider == "command-line"]
        options = [text for text in self.config.hydra.overrides.hydra if not text.startswith("hydra.mode=")]
        return [
            *(sys.executable, "-u", "-m", "adain_lit.train"),
            *(f"--config-dir={folder}" for folder in folders),
            *(*options, *overrides),
            "hydra.run.dir=${hydra.sweep.dir}/${hydra.sweep.subdir}",
        ]

    def environment(self, **more: str) -> dict[str, str]:
        """Environment variables that mark a job as part of a sweep and name the process that it must not outlive."""
        from adain_lit.config.hydra import SWEEP_JOB, errors_in_full
        from adain_lit.distributed.processes import LAUNCHER

        own = {SWEEP_JOB: "1", LAUNCHER: str(os.getpid()), "HYDRA_FULL_ERROR": "1" if errors_in_full() else "0"}
        return own | more

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return their results in order.

        Raises:
            SystemExit: with status 128 + the number of the signal, once all jobs have ended.
        """
        waiting = deque((number, list(texts)) for number, texts in enumerate(job_overrides, initial_job_idx))
        running: list[StartedJob] = []
        returned: dict[int, JobReturn] = {}
        passed_on = 0
        with Interruption() as interruption:
            while running or (waiting and not interruption.times):
                if not interruption.times:
                    running += self.start(waiting)
                if interruption.times > passed_on:
                    passed_on = interruption.times
                    ending = counted(len(running), "job")
                    log.warning("ending %s with a checkpoint; once more ends at once", ending)
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
