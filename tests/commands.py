"""Running the project's commands, in this process or in one of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import Callback

TINY = (
    "data=folders",
    "data.resize=40",
    "data.crop=32",
    "data.batch_size=2",
    "data.val_pairs=2",
    "data.num_workers=0",
    "model.unit_mean_images=2",
    "trainer=smoke",
    "logger=csv",
)


def tiny(photographs: Path, paintings: Path) -> list[str]:
    """Overrides for a training run of seconds."""
    return [*TINY, f"data.content_dir={photographs}", f"data.style_dir={paintings}"]


def run_here(main: Callable[[], None], arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Call a command's main as if from the shell; the exit status."""
    monkeypatch.setattr(sys, "argv", [str(sys.modules[main.__module__].__file__), *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def start(module: str, arguments: list[str], folder: Path) -> "subprocess.Popen[str]":
    """Start ``python -m module`` in `folder`, with the tests importable."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(module: str, arguments: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m module`` in `folder` to its end."""
    process = start(module, arguments, folder)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class SignalAt(Callback):
    """Sends this process and its workers a signal at the end of a step, or when the validation of that step begins.

    Args:
        step: number of the optimiser step.
        number: the signal.
        validating: send it in the validation after the step instead.
    """

    def __init__(self, step: int, number: int = signal.SIGKILL, validating: bool = False) -> None:
        self.step = step
        self.number = number
        self.validating = validating

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._send(trainer, validating=False)

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._send(trainer, validating=True)

    def _send(self, trainer: L.Trainer, *, validating: bool) -> None:
        if trainer.global_step == self.step and validating == self.validating:
            os.killpg(os.getpgrp(), self.number)  # workers too, as a terminal and a scheduler do


def signal_at(step: int, number: int = signal.SIGKILL, *, validating: bool = False) -> list[str]:
    """Overrides that add `SignalAt` to a run."""
    return [
        "+callbacks.signal._target_=commands.SignalAt",
        f"+callbacks.signal.step={step}",
        f"+callbacks.signal.number={int(number)}",
        f"+callbacks.signal.validating={str(validating).lower()}",
    ]
