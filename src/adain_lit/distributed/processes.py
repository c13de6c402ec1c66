"""One command in several processes: which one this is, what they agree on, and how one of them leaves.

They come from torchrun, from SLURM's srun, or from `adain_lit.distributed.launch`, which uses torchrun's machinery.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from adain_lit.errors import InputError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

log = logging.getLogger(__name__)
T = TypeVar("T")

SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
    if hasattr(signal, name) and not (name == "SIGHUP" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)
)
"""A terminal's, a scheduler's, what SLURM is asked to send before a job's time is up, and that of a terminal which is
closed, unless nohup has it ignored. Windows lacks the last two."""
MISTAKE, LOST = 2, 113
"""Exit status after a mistake of the user that has been printed, and after a lost connection to another process."""
PATIENCE = 5.0
"""Seconds before a process leaves for a reason that another one reports: whoever ends first is taken for the cause."""
LAUNCHER = "ADAIN_LIT_LAUNCHER"
"""Variable with the process id of what started this process and must not be outlived: `launch`, or a sweep."""
RUN_FOLDER = "ADAIN_LIT_RUN_FOLDER"
"""Variable with the run folder, set by `launch`; under torchrun, the key of the store that holds it."""


def environment() -> "ClusterEnvironment | None":
    """Who started this process among others, torchrun (or `launch`) or srun; None if it was started alone.

    Raises:
        InputError: if srun does not say how many processes it starts on each machine.
    """
    if _elastic():  # before SLURM, as in Lightning
        from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

        return TorchElasticEnvironment()
    if "SLURM_STEP_ID" not in os.environ:
        return None
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    if not SLURMEnvironment.detect():
        return None
    if int(os.environ["SLURM_NTASKS"]) > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise InputError(
            f"srun starts {os.environ['SLURM_NTASKS']} processes; give --ntasks-per-node in place of --ntasks"
        )
    return SLURMEnvironment()


def _elastic() -> bool:
    """Whether torchrun or `launch` started this process, by the variable that torch itself looks at."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Rank of this process among all; process 0 writes the files.

    Example:
        >>> rank()  # in a command that runs alone
        0
    """
    here = environment()
    return 0 if here is None else here.global_rank()


def local_rank() -> int:
    """Rank of this process on its machine, and the index of its GPU.

    Example:
        >>> local_rank()  # in a command that runs alone
        0
    """
    here = environment()
    return 0 if here is None else here.local_rank()


def world_size() -> int:
    """Number of all processes.

    Example:
        >>> world_size()  # in a command that runs alone
        1
    """
    here = environment()
    return 1 if here is None else here.world_size()


def nodes() -> int:
    """Number of machines on which torchrun or srun started processes.

    Raises:
        InputError: if neither did.
    """
    here = environment()
    if here is None:
        raise InputError(
            "trainer=multinode needs torchrun or srun, which say how many processes there are (docs/scaling.md); "
            "start the command with one of them, or give trainer=ddp for the devices of this machine"
        )
    return int(os.environ["GROUP_WORLD_SIZE" if _elastic() else "SLURM_NNODES"])


def processes_per_node() -> int:
    """Number of processes that torchrun or srun started on each machine, see `nodes`."""
    return world_size() // nodes()


def slurm_step() -> str | None:
    """Name of the srun step that this process belongs to, the same when SLURM runs the job again; else None."""
    if environment() is None or _elastic():
        return None
    return f"slurm_{_slurm_job()}_{os.environ['SLURM_STEP_ID']}"


def queued_again() -> bool:
    """Whether SLURM runs this job for the second time or more."""
    return slurm_step() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def queue_again() -> None:
    """Ask SLURM, where it runs this command, to run the job once more."""
    if slurm_step() is None:
        return
    job = _slurm_job()
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        log.error("scontrol requeue %s failed: %s", job, done.stderr.strip())
    else:
        log.info("SLURM will run job %s once more", job)


def _slurm_job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return os.environ["SLURM_JOB_ID"] if array is None else f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"


def agree_on_folder(choose: Callable[[], str]) -> str:
    """The run folder that process 0 chooses, in every process.

    Args:
        choose: may give another folder in every process, as it looks at the clock. Under SLURM it must not: runs are
            named after the job there.
    """
    if RUN_FOLDER in os.environ:
        return os.environ[RUN_FOLDER]
    if not _elastic():
        return choose()
    if rank():
        return str(_store().get(RUN_FOLDER), "utf-8")
    return str(_store().compare_set(RUN_FOLDER, "", choose()), "utf-8")  # a folder that is set already stays


@cache
def _store() -> Any:
    """The store in which the processes of torchrun find each other."""
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    here = TorchElasticEnvironment()
    hosts = here.global_rank() == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    return TCPStore(here.main_address, here.main_port, is_master=hosts, wait_for_workers=False, multi_tenant=True)


@contextmanager
def connected() -> Iterator[None]:
    """Connect the processes of a command that has no trainer."""
    here = environment()
    if here is None or here.world_size() == 1:
        yield
        return
    from torch import distributed

    os.environ |= {"MASTER_ADDR": here.main_address, "MASTER_PORT": str(here.main_port)}
    distributed.init_process_group("gloo", rank=here.global_rank(), world_size=here.world_size())
    yield
    distributed.destroy_process_group()


def gather(value: T) -> list[T]:
    """The values of all connected processes in the order of their ranks, in every process.

    Example:
        >>> gather(3)  # in a command that runs alone
        [3]
    """
    from torch import distributed

    if not distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def number_the_log() -> None:
    """Prefix every message with the rank of the process, and leave the log file to process 0."""
    if world_size() == 1:
        return
    prefix = f"[rank {rank()}] "

    def number(record: logging.LogRecord) -> bool:
        if not str(record.msg).startswith(prefix):  # by another handler
            record.msg = f"{prefix}{record.msg}"
        return True

    for handler in logging.root.handlers[:]:
        handler.addFilter(number)
        if isinstance(handler, logging.FileHandler) and rank():
            logging.root.removeHandler(handler)
            handler.close()


def launched() -> bool:
    """Whether `adain_lit.distributed.launch` or a sweep started this process, and reports it if it dies."""
    return LAUNCHER in os.environ


def abandoned() -> bool:
    """Whether the process that launched this one is gone."""
    return launched() and os.environ[LAUNCHER] != str(os.getppid())


def connection_lost(error: BaseException) -> bool:
    """Whether the error means that a process which this one communicates with is gone.

    Example:
        >>> connection_lost(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
        True
    """
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in ("/gloo/", "ncclRemoteError"))


def leave(line: str, *, lost: bool = False) -> NoReturn:
    """End this process with a line for the user, printed once where all processes would print the same.

    Args:
        line: the message.
        lost: whether the reason is that another process is gone.
    """
    silent = lost and (launched() or local_rank() > 0)
    if silent or local_rank():
        time.sleep(PATIENCE)  # the launcher ends this process as soon as the one to blame has left
    if not silent:
        sys.stderr.write(f"{line}\n")
    sys.exit(LOST if lost else MISTAKE)
