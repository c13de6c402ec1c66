"""Jobs on a SLURM cluster."""

import logging
import signal
import subprocess
from collections import deque
from dataclasses import dataclass
from types import FrameType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher import config as upstream
from omegaconf import OmegaConf

from hydra_plugins.adain_lit_sweeps import launcher as base

log = logging.getLogger(__name__)


class SlurmLauncher(base.WaitingLauncher):
    """Jobs as one array on a SLURM cluster; a job that reaches its time limit saves, and is queued again.

    Args:
        params: those of submitit's SLURM launcher.
    """

    _EXECUTOR = "slurm"
    poll_seconds = 5.0

    def __call__(self, argv: list[str], *arguments: Any) -> JobReturn:
        """Run one job. submitit's signal for the time limit first ends the training, with a checkpoint."""
        import submitit

        number = submitit.JobEnvironment()._usr_sig()
        queue_again = signal.getsignal(number)
        came: list[int] = []

        def leave(number: int, frame: FrameType | None) -> None:
            came.append(number)
            signal.raise_signal(signal.SIGINT)

        signal.signal(number, leave)
        try:
            return super().__call__(argv, *arguments)
        except (SystemExit, KeyboardInterrupt):
            if came and callable(queue_again):
                queue_again(came[0], None)
            raise

    def start(self, calls: deque[base.Call]) -> list[base.StartedJob]:
        """Hand all jobs to the cluster."""
        import submitit

        if not calls:
            return []
        shared = set(OmegaConf.structured(upstream.BaseQueueConf))
        folder = self.params["submitit_folder"]
        executor = submitit.AutoExecutor(
            cluster="slurm", folder=folder, slurm_max_num_timeout=self.params["max_num_timeout"]
        )
        given = {key: value for key, value in self.params.items() if key not in ("submitit_folder", "max_num_timeout")}
        executor.update_parameters(**{key if key in shared else f"slurm_{key}": v for key, v in given.items()})
        jobs = executor.map_array(self, *zip(*calls, strict=True))
        started: list[base.StartedJob] = [_SlurmJob(job, call) for job, call in zip(jobs, calls, strict=True)]
        for job in started:
            log.info("\tjob %s: %s", job.output.name, job)
        calls.clear()
        return started


class _SlurmJob(base.StartedJob):
    """A job of an array."""

    def __init__(self, job: Any, call: base.Call) -> None:
        super().__init__(call, job.paths.folder)
        self.job = job

    def is_over(self) -> bool:
        return bool(self.job.done())

    def interrupt(self) -> None:
        self.job.watcher.register_job(self.job.job_id)  # anew, so that it asks the cluster more often again
        pending = self.job.watcher.get_state(self.job.job_id) == "PENDING"
        subprocess.run(["scancel", *([] if pending else ["--signal=INT"]), self.job.job_id], check=False)

    def outcome(self) -> tuple[str, Any]:
        from submitit.core.utils import UncompletedJobError

        try:
            outcome: tuple[str, Any] = self.job._get_outcome_and_result()
        except UncompletedJobError:  # whose message is the whole log
            return "error", f"its process ended without a result, in SLURM's state {self.job.state}"
        return outcome


@dataclass
class SlurmConf(upstream.SlurmQueueConf):  # type: ignore[misc]
    """Settings of `SlurmLauncher`, submitit's own."""

    _target_: str = "hydra_plugins.adain_lit_sweeps.slurm.SlurmLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="adain_slurm", node=SlurmConf, provider="adain_lit")
