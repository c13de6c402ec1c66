"""Starting a command in several processes of this machine, and seeing to it that none outlives another."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from adain_lit.distributed.processes import FOLDER, LAUNCHER, LOST, MISTAKE, SIGNALS

log = logging.getLogger(__name__)

GRACE = 30.0
"""Seconds that processes have to end by themselves when another has died. Those that wait for it on a GPU never do."""


def launch(count: int, folder: Path) -> None:
    """Run this command in `count` processes of this machine; leave with their exit status if they fail.

    torchrun would do, but for what it does when something fails: it kills a training that saves itself after 30
    seconds, and prints a page.

    Args:
        count: number of processes.
        folder: the run folder, which all of them use.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store.set(FOLDER, str(folder))
    main = sys.modules["__main__"].__spec__
    command = [sys.executable, *(["-m", main.name] if main else [str(Path(sys.argv[0]).resolve())]), *sys.argv[1:]]
    settings = {
        "WORLD_SIZE": count,
        "LOCAL_WORLD_SIZE": count,
        "GROUP_RANK": 0,
        "GROUP_WORLD_SIZE": 1,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": store.port,
        "TORCHELASTIC_RUN_ID": "adain_lit",
        "TORCHELASTIC_USE_AGENT_STORE": True,
        LAUNCHER: os.getpid(),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // count)),
    }
    children = []
    for rank in range(count):
        own = settings | {"RANK": rank, "LOCAL_RANK": rank}
        environment = os.environ | {name: str(value) for name, value in own.items()}
        children.append(subprocess.Popen(command, env=environment))
    status = supervise(children)
    if status:
        sys.exit(status)


def supervise(children: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait for the processes of one command; when one fails, see to it that all end.

    Signals are handed on to all of them; how they leave then is left to them. Where one dies, the others have `GRACE`
    seconds, and one line says which it was. A mistake has been told by the process that made it.

    Args:
        children: the processes, in the order of their ranks.

    Returns:
        The exit status: of the process that failed first; 128 + the signal's number if it was killed.
    """

    def hand_on(number: int, frame: FrameType | None) -> None:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        while not any(ended := _ended(children)) and len(ended) < len(children):
            time.sleep(0.1)
        if not any(ended):
            return 0
        rank, status = _first_cause(children)
        signalled = status - 128 in SIGNALS
        _await_end(children, float("inf") if signalled else 0.0 if status == MISTAKE else GRACE)
        if status == LOST:
            rank, status = _first_cause(children)  # what it lost has ended, too
    finally:
        for child in children:
            child.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
    if not signalled and status != MISTAKE:
        log.error(
            "process %d of %d (rank %d) %s, and the others were ended; resume=last goes on from the last checkpoint",
            rank + 1,
            len(children),
            rank,
            how_it_ended(status),
        )
    return 128 - status if status < 0 else status


def _ended(children: Sequence["subprocess.Popen[bytes]"]) -> list[int]:
    return [status for child in children if (status := child.poll()) is not None]


def _first_cause(children: Sequence["subprocess.Popen[bytes]"]) -> tuple[int, int]:
    """Rank and exit status of the process whose failure made the others fail: one that lost a connection did not."""
    failed = [(rank, child.returncode) for rank, child in enumerate(children) if child.returncode]
    return min(failed, key=lambda failure: (failure[1] == LOST, failure[1]))


def _await_end(children: Sequence["subprocess.Popen[bytes]"], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while len(_ended(children)) < len(children) and time.monotonic() < deadline:
        time.sleep(0.1)


def how_it_ended(status: int) -> str:
    """The exit status of a process, negative for a signal, in words that follow its name."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return "lost the connection to the others" if status == LOST else f"ended with exit status {status}"
