"""Leaving: signals, errors, lost workers, full disks; a run ends, says why in a line, and has saved."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import run, signal_at, tiny
from support.runs import last, only_run

Record = Callable[[int, str], None]
TWO_WORKERS = "data.num_workers=2"


@pytest.mark.slow
@pytest.mark.promise(
    fault="a signal, or an error, while the run validates",
    cause="SIGINT, SIGTERM and SIGUSR1 to the process group in a validation, two loader workers; a NaN there",
    promise="the run saves, prints one line and ends",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1], ids=lambda number: number.name)
def test_signal_in_a_validation_ends_the_run(
    number: signal.Signals, tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    arguments = [*tiny(photographs, paintings), TWO_WORKERS, *signal_at(2, number, moment="validation")]
    done = run("adain_lit.train", arguments, tmp_path, timeout=300)
    assert done.returncode == 128 + number, done.stderr
    assert last(only_run(tmp_path))["global_step"] == 2
    record(1, "ended with 128 + the signal's number, no step lost")


HOLDS_AN_ITERATOR = """
import sys
from adain_lit.data.datamodule import PairedDataModule
data = PairedDataModule("demo", "demo", crop=16, resize=16, batch_size=2, num_workers=2)
data.setup("fit")
batches = iter(data.train_dataloader())
next(batches)
"""


@pytest.mark.promise(
    fault="a program ends that still holds an iterator of the training images",
    cause="a script that takes one batch of `train_dataloader()`, two workers, and ends",
    promise="the program ends",
)
def test_program_that_holds_an_iterator_of_training_batches_ends(tmp_path: Path, record: Record) -> None:
    subprocess.run([sys.executable, "-c", HOLDS_AN_ITERATOR], cwd=tmp_path, timeout=300, check=True)
    record(1, "ended")
