"""Processes of one command end together, whatever one of them does, and the user reads one line about it."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adain_lit.distributed import launch, processes
from adain_lit.distributed.processes import LAUNCHER, LOST, MISTAKE

DIES = "os.kill(os.getpid(), 9)"
WAITS = "time.sleep(60)"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch's launcher leaves its signal handlers and variables behind, for it is all that its process does."""
    handlers = [(number, signal.getsignal(number)) for number in (*processes.SIGNALS, signal.SIGHUP, signal.SIGQUIT)]
    for name in ("OMP_NUM_THREADS", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "TORCHELASTIC_SIGNALS_TO_HANDLE"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(launch.SAVE_SECONDS))
    yield
    for number, handler in handlers:
        signal.signal(number, handler)


def status_of(*programs: str) -> int:
    """Exit status of a command whose process of rank i runs the i-th program."""
    choose = f"import os, signal, time; exec({list(programs)!r}[int(os.environ['RANK'])])"
    try:
        launch._run(len(programs), ["-S", "-c", choose], {})
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_killed_process_ends_the_others_with_one_message(caplog: pytest.LogCaptureFixture) -> None:
    """One of the others waits for it, one loses the connection and gives it time to be found."""
    begin = time.monotonic()
    assert status_of(WAITS, f"time.sleep({processes.PATIENCE}); raise SystemExit({LOST})", DIES) == 128 + 9
    assert time.monotonic() - begin < 60
    (message,) = caplog.messages
    assert "process 3 of 3 (rank 2) was killed by SIGKILL" in message
    assert "resume=last" in message


def test_a_process_that_lost_the_connection_is_not_blamed_where_another_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert status_of(f"time.sleep(2); raise SystemExit({LOST})", "time.sleep(1); raise SystemExit(7)") == 7
    (message,) = caplog.messages
    assert "process 2 of 2 (rank 1) ended with exit status 7" in message


def test_a_mistake_that_a_process_has_printed_ends_all_without_a_further_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert status_of(WAITS, f"raise SystemExit({MISTAKE})") == MISTAKE
    assert not caplog.messages


def test_processes_that_finish_are_a_success() -> None:
    assert status_of("pass", "time.sleep(0.5)") == 0
    assert not logging.root.manager.disable


@pytest.mark.parametrize("number", processes.SIGNALS)
def test_a_signal_reaches_every_process_which_then_leave_in_their_own_time(
    number: signal.Signals, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    save = f"time.sleep(2), open({str(saved)!r} + os.environ['RANK'], 'w').close(), os._exit({128 + number})"
    is_ready = f"open({str(ready)!r} + os.environ['RANK'], 'w').close()"
    program = f"signal.signal({int(number)}, lambda *_: ({save})); {is_ready}; {WAITS}"

    def send() -> None:
        while len(list(tmp_path.glob("ready*"))) < 2:
            time.sleep(0.1)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    assert status_of(program, program) == 128 + number
    assert len(list(tmp_path.glob("saved*"))) == 2
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
