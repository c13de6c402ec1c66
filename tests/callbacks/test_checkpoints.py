"""Leaving on a signal, in one process and in several."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from adain_lit.callbacks import Checkpoints


def test_processes_that_leave_together_are_not_cut_off_by_the_sigterm_of_the_first_that_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a single process a second signal ends it at once."""
    raised: list[int] = []
    monkeypatch.setattr("adain_lit.callbacks.checkpoints.signal.raise_signal", raised.append)
    monkeypatch.setattr("adain_lit.callbacks.checkpoints.SECOND_SIGNAL_AFTER", -1.0)
    before = signal.getsignal(signal.SIGTERM)
    for processes, expected in ((2, []), (1, [signal.SIGTERM])):
        checkpoints = Checkpoints(str(tmp_path))
        trainer: Any = SimpleNamespace(is_global_zero=True, global_step=3, world_size=processes)
        checkpoints._note(signal.SIGTERM, None)
        with pytest.raises(SystemExit) as left:
            checkpoints._leave(trainer, signal.SIGTERM)
        assert left.value.code == 128 + signal.SIGTERM
        checkpoints._note(signal.SIGTERM, None)
        assert raised == expected
    signal.signal(signal.SIGTERM, before)
