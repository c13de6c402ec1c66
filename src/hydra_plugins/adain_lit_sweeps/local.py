"""Jobs in slots of this machine."""

import logging
import os
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn

from adain_lit.errors import InputError
from hydra_plugins.adain_lit_sweeps import launcher as base

log = logging.getLogger(__name__)


class LocalLauncher(base.ProcessLauncher):
    """Jobs in slots of this machine: one process for each job, on a GPU of its own.

    Args:
        slots: how many jobs run at a time; None: one for each GPU or, without any, for each four CPU cores.
    """

    def __init__(self, slots: int | None = None) -> None:
        if slots is not None and slots < 1:
            raise InputError(f"hydra.launcher.slots is {slots}; it must be at least 1")
        self.gpus = visible_gpus()
        self.slots = slots or len(self.gpus) or max(1, (os.cpu_count() or 1) // 4)
        self.free: list[int] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, at most `slots` at a time, and return their results in order."""
        self.free = list(range(self.slots))
        return super().launch(job_overrides, initial_job_idx)

    def start(self, calls: deque[base.Call]) -> list[base.StartedJob]:
        """Start a job in each slot that is free."""
        started: list[base.StartedJob] = []
        while calls and self.free:
            slot = self.free.pop(0)
            gpu = self.gpus[slot % len(self.gpus)] if self.gpus else ""
            started.append(_LocalJob(self, calls.popleft(), slot, gpu))
            log.info("\tslot %d%s: %s", slot, f", GPU {gpu}" if gpu else "", started[-1])
        return started


class _LocalJob(base.StartedJob):
    """A job in a session of its own, so that Ctrl-C reaches it once, through the launcher."""

    def __init__(self, launcher: LocalLauncher, call: base.Call, slot: int, gpu: str) -> None:
        super().__init__(call, Path(launcher.config.hydra.sweep.dir, ".submitit", f"{call[0]}.log"))
        self.launcher, self.slot = launcher, slot
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // launcher.slots)))
        own = launcher.environment(CUDA_VISIBLE_DEVICES=gpu, OMP_NUM_THREADS=threads)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                launcher.command(self.overrides),
                env=os.environ | own,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_over(self) -> bool:
        if self.process.poll() is None:
            return False
        self.launcher.free.append(self.slot)
        return True

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def failure(self) -> str | None:
        from adain_lit.distributed.launch import how_it_ended

        return how_it_ended(self.process.returncode) if self.process.returncode else None


def visible_gpus() -> list[str]:
    """The GPUs of this machine as CUDA_VISIBLE_DEVICES names them, those that it leaves visible if it is set."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


@dataclass
class LocalConf:
    """Settings of `LocalLauncher`."""

    _target_: str = "hydra_plugins.adain_lit_sweeps.local.LocalLauncher"
    slots: int | None = None


ConfigStore.instance().store(group="hydra/launcher", name="adain_local", node=LocalConf, provider="adain_lit")
