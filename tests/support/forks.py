"""Trainings that begin within a second: a process that has imported what they need starts each as a fork of itself."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

IMPORTS = ("adain_lit.train", "matplotlib.figure", "skimage.metrics", "lightning.pytorch.loggers.wandb")


class Fork(NamedTuple):
    """A training that runs."""

    server: "subprocess.Popen[str]"
    pid: int

    def kill(self) -> None:
        """Kill it and what it started, as a scheduler does."""
        os.killpg(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status; negative for a signal."""
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())


@contextmanager
def forks(folder: Path) -> Iterator["Forks"]:
    """A server of forks that works in `folder`."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    server = subprocess.Popen(
        [sys.executable, "-m", "support.forks"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Forks(server)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(timeout=60)


class Forks:
    """Starts trainings, one at a time."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self.server = server

    def start(self, arguments: list[str], output: Path, environment: Mapping[str, str]) -> Fork:
        """Start ``adain_lit.train`` with what it prints in `output`."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        request = {"arguments": arguments, "output": str(output), "environment": dict(environment)}
        self.server.stdin.write(f"{json.dumps(request)}\n")
        self.server.stdin.flush()
        return Fork(self.server, int(self.server.stdout.readline()))


def serve() -> list[str] | None:
    """Fork for each request and report how the fork ended; in a fork, its arguments."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for source, target in ((os.devnull, 0), (request["output"], 1), (request["output"], 2)):
                os.dup2(os.open(source, os.O_RDWR | os.O_CREAT | os.O_APPEND), target)
            os.environ.update(request["environment"])
            arguments: list[str] = request["arguments"]
            return arguments
        say(pid)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return None


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    from importlib import import_module

    for name in IMPORTS:
        import_module(name)
    given = serve()
    if given is not None:
        from adain_lit import train

        sys.argv[1:] = given
        train.main()
