"""Processes of one command end together, whatever one of them does, and a person reads one line about it."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from adain_lit.distributed import launch, processes
from adain_lit.distributed.launch import supervise
from adain_lit.distributed.processes import LAUNCHER, LOST, MISTAKE

Child = subprocess.Popen[bytes]
Start = Callable[[str], Child]

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
DIES = "import os; os.kill(os.getpid(), 9)"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Python program; none of them outlives the test."""
    children: list[Child] = []

    def popen(code: str) -> Child:
        children.append(subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE))
        return children[-1]

    yield popen
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "GRACE", 0.5)


def test_a_killed_process_ends_the_others_with_one_message(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """The others: one hangs, as in a collective on a GPU, one loses the connection."""
    children = [start(STUBBORN), start(f"import time; time.sleep(0.3); raise SystemExit({LOST})"), start(DIES)]
    begin = time.monotonic()
    assert supervise(children) == 128 + signal.SIGKILL
    assert time.monotonic() - begin < 10
    assert all(child.wait(5) for child in children)
    (message,) = caplog.messages
    assert "process 3 of 3 (rank 2) was killed by SIGKILL" in message
    assert "resume=last" in message


def test_a_process_that_lost_the_connection_is_not_blamed_though_it_ends_first(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "GRACE", 30.0)
    children = [start(f"raise SystemExit({LOST})"), start("import time; time.sleep(2); raise SystemExit(7)")]
    assert supervise(children) == 7
    (message,) = caplog.messages
    assert "process 2 of 2 (rank 1) ended with exit status 7" in message


def test_a_mistake_that_a_process_has_told_ends_all_without_a_further_message(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "GRACE", 60.0)
    children = [start(STUBBORN), start(f"raise SystemExit({MISTAKE})")]
    assert supervise(children) == MISTAKE
    assert children[0].wait(5) == -signal.SIGKILL
    assert not caplog.messages


def test_processes_that_finish_are_a_success(start: Start) -> None:
    handlers = [signal.getsignal(number) for number in processes.SIGNALS]
    assert supervise([start("pass"), start("import time; time.sleep(0.5)")]) == 0
    assert [signal.getsignal(number) for number in processes.SIGNALS] == handlers


@pytest.mark.parametrize("number", processes.SIGNALS)
def test_a_signal_reaches_every_process_which_then_leave_in_their_own_time(
    number: signal.Signals, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """They take longer than processes have that another's death leaves behind."""
    leave = "lambda n, f: (time.sleep({seconds}), os._exit(128 + n))"
    code = f"import os, signal, time; signal.signal({int(number)}, {leave}); print(flush=True); time.sleep(60)"
    children = [start(code.format(seconds=seconds)) for seconds in (0, 1.0)]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()  # its handler is in place
    threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
    assert supervise(children) == 128 + number
    assert [child.returncode for child in children] == [128 + number] * 2
    assert not caplog.messages


def test_a_process_knows_when_the_one_that_launched_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not processes.abandoned()
    monkeypatch.setenv(LAUNCHER, str(os.getppid()))
    assert not processes.abandoned()
    monkeypatch.setenv(LAUNCHER, str(os.getpid()))
    assert processes.abandoned()


def test_every_process_of_several_numbers_its_messages_once(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record.getMessage())

    for key, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(key, value)
    logging.root.handlers[:] = [Keep(), Keep()]
    processes.number_the_log()
    processes.number_the_log()
    logging.getLogger("anything").warning("100%% of %s", "it")
    assert records == ["[rank 3] 100% of it"] * 2
