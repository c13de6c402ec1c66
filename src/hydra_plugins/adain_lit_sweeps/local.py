"""Jobs in slots of this machine."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher import config as upstream

from adain_lit.errors import InputError
from hydra_plugins.adain_lit_sweeps import launcher as base

log = logging.getLogger(__name__)


class LocalLauncher(base.WaitingLauncher):
    """Jobs in slots of this machine: one process for each job, on a GPU of its own.

    submitit's local executor starts all jobs at once, all on the first GPU, and kills them a second after Ctrl-C. So
    its way of handing a job to a process is used here, the executor is not.

    Args:
        slots: how many jobs run at a time; None: one for each GPU or, without any, for each four CPU cores.
        params: submitit's, none of which matter here.
    """

    _EXECUTOR = "local"

    def __init__(self, slots: int | None = None, **params: Any) -> None:
        super().__init__(**params)
        if slots is not None and slots < 1:
            raise InputError(f"hydra.launcher.slots is {slots}; it must be at least 1")
        self.gpus = visible_gpus()
        self.slots = slots or len(self.gpus) or max(1, (os.cpu_count() or 1) // 4)
        self._free: list[int] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, at most `slots` at a time; what each returned, in their order."""
        self._free = list(range(self.slots))
        with tempfile.TemporaryDirectory(prefix="adain_lit_sweep_") as folder:
            self.params["submitit_folder"] = folder
            return super().launch(job_overrides, initial_job_idx)

    def start(self, calls: deque[base.Call]) -> list[base.StartedJob]:
        """Start a job in each slot that is free."""
        started: list[base.StartedJob] = []
        while calls and self._free:
            slot = self._free.pop(0)
            gpu = self.gpus[slot % len(self.gpus)] if self.gpus else None
            started.append(_LocalJob(self, calls.popleft(), slot, gpu))
            log.info("\tslot %d%s: %s", slot, f", GPU {gpu}" if gpu else "", started[-1])
        return started

    def release(self, slot: int) -> None:
        """Take a slot back."""
        self._free.append(slot)


class _LocalJob(base.StartedJob):
    """A job in a process of its own, in a session of its own, so that Ctrl-C reaches it once, through the launcher."""

    def __init__(self, launcher: LocalLauncher, call: base.Call, slot: int, gpu: str | None) -> None:
        from submitit.core.utils import DelayedSubmission, JobPaths

        from adain_lit.distributed.processes import LAUNCHER

        assert launcher.config is not None
        number = str(call[3])
        super().__init__(call, Path(launcher.config.hydra.sweep.dir, ".submitit", f"{number}.log"))
        self.launcher, self.slot = launcher, slot
        folder = launcher.params["submitit_folder"]
        self.paths = JobPaths(folder, number)
        DelayedSubmission(launcher, *call).dump(self.paths.submitted_pickle)
        environment = os.environ | {
            "SUBMITIT_EXECUTOR": "local",
            "SUBMITIT_LOCAL_JOB_ID": number,
            "CUDA_VISIBLE_DEVICES": gpu or "",
            LAUNCHER: str(os.getpid()),
        }
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // launcher.slots)))
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-m", "submitit.core._submit", folder],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_over(self) -> bool:
        if self.process.poll() is None:
            return False
        self.launcher.release(self.slot)
        return True

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def outcome(self) -> tuple[str, Any]:
        from submitit.core.utils import pickle_load

        from adain_lit.distributed.launch import how_it_ended

        if not self.paths.result_pickle.is_file():
            return "error", f"its process {how_it_ended(self.process.returncode)}"
        outcome: tuple[str, Any] = pickle_load(self.paths.result_pickle)
        return outcome


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, those that it leaves visible where it is set."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


@dataclass
class LocalConf(upstream.LocalQueueConf):  # type: ignore[misc]
    """Settings of `LocalLauncher`."""

    _target_: str = "hydra_plugins.adain_lit_sweeps.local.LocalLauncher"
    slots: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="adain_local", node=LocalConf, provider="adain_lit")
