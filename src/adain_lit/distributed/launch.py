"""Run a command in several processes of this machine, supervised by torch's elastic launcher."""

import logging
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from adain_lit.distributed.processes import LAUNCHER, LOST, MISTAKE, RUN_FOLDER, SIGNALS

log = logging.getLogger(__name__)

SAVE_SECONDS = 24 * 60 * 60
"""Time that processes have to save and leave after a signal to the launcher; torch's default is 30 seconds."""


def launch(count: int, folder: Path) -> None:
    """Run this command again in `count` processes of this machine.

    A signal is passed on to all processes, which leave in their own time. If a process dies, the others get SIGTERM
    and, 30 seconds later, SIGKILL; one line then says which process it was and how it ended.

    Args:
        count: number of processes.
        folder: the run folder, shared by all of them.

    Raises:
        SystemExit: if a process fails, with its exit status, or 128 + the signal that ended it.
    """
    main = sys.modules["__main__"].__spec__
    arguments = [*(["-m", main.name] if main else [str(Path(sys.argv[0]).resolve())]), *sys.argv[1:]]
    _run(count, arguments, {LAUNCHER: str(os.getpid()), RUN_FOLDER: str(folder)})


def _run(count: int, arguments: list[str], environment: dict[str, str]) -> None:
    """Run Python with `arguments` in `count` processes."""
    os.environ |= environment
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SAVE_SECONDS))
    logging.disable(logging.ERROR)  # the launcher's page about a failure; `_explain` says it in a line
    try:
        with TemporaryDirectory(prefix="adain_lit_") as logs:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=count,
                run_id="adain_lit",
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="127.0.0.1",
                max_restarts=0,
                logs_specs=DefaultLogsSpecs(log_dir=logs),
                signals_to_handle=",".join(number.name for number in SIGNALS),
            )
            elastic_launch(config, sys.executable)(*arguments)
    except SignalException as end:
        sys.exit(128 + end.sigval)
    except ChildFailedError as error:
        logging.disable(logging.NOTSET)
        sys.exit(_explain(error.failures, count))
    finally:
        logging.disable(logging.NOTSET)


def _explain(failures: dict[int, ProcessFailure], count: int) -> int:
    """Log which process made the others fail, unless it has said so itself; the exit status."""
    consequences = (LOST, -signal.SIGTERM, 128 + signal.SIGTERM)  # of another's death, which torch answers by SIGTERM
    rank, failure = min(failures.items(), key=lambda item: (item[1].exitcode in consequences, item[1].timestamp))
    status = failure.exitcode
    if status != MISTAKE and status - 128 not in SIGNALS:
        log.error(
            "process %d of %d (rank %d) %s, and the others were ended; resume=last continues from the last checkpoint",
            rank + 1,
            count,
            rank,
            how_it_ended(status),
        )
    return 128 - status if status < 0 else status


def how_it_ended(status: int) -> str:
    """The exit status of a process, negative for a signal, as a phrase that follows its name.

    Example:
        >>> how_it_ended(-9), how_it_ended(3)
        ('was killed by SIGKILL', 'ended with exit status 3')
    """
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return "lost the connection to the others" if status == LOST else f"ended with exit status {status}"
