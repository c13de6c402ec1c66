"""Jobs on a SLURM cluster, through submitit."""

import dataclasses
import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from omegaconf import OmegaConf

from hydra_plugins.adain_lit_sweeps import launcher as base

log = logging.getLogger(__name__)


class SlurmLauncher(base.ProcessLauncher):
    """Jobs as one array on a SLURM cluster; a job that reaches its time limit saves and is requeued.

    hydra-submitit-launcher gives the settings. Its own launcher ends the sweep when one job dies, leaves the jobs
    running on Ctrl-C, and lets none save before its time limit.

    Args:
        params: those of ``hydra/launcher: submitit_slurm``.
    """

    poll_seconds = 5.0

    def __init__(self, **params: Any) -> None:
        plain: dict[str, Any] = {}
        for key, value in params.items():
            plain[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        self.folder, self.max_num_timeout = plain.pop("submitit_folder"), plain.pop("max_num_timeout")
        self.params = plain

    def start(self, calls: deque[base.Call]) -> list[base.StartedJob]:
        """Submit all jobs to the cluster."""
        import submitit

        if not calls:
            return []
        executor = submitit.AutoExecutor(
            folder=self.folder, cluster="slurm", slurm_max_num_timeout=self.max_num_timeout
        )
        shared = {field.name for field in dataclasses.fields(BaseQueueConf)}
        executor.update_parameters(
            **{key if key in shared else f"slurm_{key}": value for key, value in self.params.items()}
        )
        environment = self.environment()
        trainings = [Training(self.command(overrides), environment) for _, overrides in calls]
        jobs = [_SlurmJob(job, call) for job, call in zip(executor.submit_array(trainings), calls, strict=True)]
        for job in jobs:
            log.info("\tjob %s: %s", job.output.name, job)
        calls.clear()
        return list(jobs)


class Training:
    """The training command on a node of the cluster.

    Args:
        command: with its arguments.
        environment: variables in addition to those of the node.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.command, self.environment = list(command), dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> int:
        """Run it to its end, forwarding SIGINT and SIGTERM; the exit status, negative if a signal killed it."""
        from adain_lit.distributed.processes import LAUNCHER

        own = self.environment | {LAUNCHER: str(os.getpid())}
        # SLURM sends the signal before the time limit to every process of the job. submitit handles it here and asks
        # for a checkpoint; the training, for which it is not meant, inherits that it is ignored.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        self.process = subprocess.Popen(self.command, env=os.environ | own, start_new_session=True)
        signal.signal(signal.SIGUSR2, before)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._pass_on)
        self._await_end()
        return self.process.wait()

    def checkpoint(self) -> Any:
        """Let the training save and exit; return what submitit runs once the job has been requeued.

        submitit calls this in its signal handler when the time limit is near or the job is preempted.
        """
        import submitit

        self._pass_on(signal.SIGINT)
        self._await_end()
        return submitit.helpers.DelayedSubmission(Training(self.command, self.environment))

    def _pass_on(self, number: int, frame: FrameType | None = None) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _await_end(self) -> None:
        """Wait in a way that a signal handler may use while the code that it interrupts waits, too."""
        assert self.process is not None
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)


class _SlurmJob(base.StartedJob):
    """A job of an array."""

    def __init__(self, job: Any, call: base.Call) -> None:
        super().__init__(call, Path(job.paths.folder))
        self.job = job
        self.withdrawn = False

    def is_over(self) -> bool:
        return self.withdrawn or bool(self.job.done())

    def interrupt(self) -> None:
        self.withdrawn = self.job.state == "PENDING"
        subprocess.run(["scancel", *([] if self.withdrawn else ["--signal=INT"]), self.job.job_id], check=False)

    def failure(self) -> str | None:
        from submitit.core.utils import UncompletedJobError

        from adain_lit.distributed.launch import how_it_ended

        if self.withdrawn:
            return "was not started"
        try:
            status = self.job.result()
        except UncompletedJobError:  # its message is the whole log
            return f"ended without a result, in SLURM's state {self.job.state}"
        return how_it_ended(status) if status else None
