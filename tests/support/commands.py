"""Running the project's commands, in this process or in one of their own."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from hydra.experimental.callback import Callback as HydraCallback
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


def run_here(main: Callable[[], int | None], arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Call a command's main as if from the shell; the exit status."""
    monkeypatch.setattr("adain_lit.train.keep_freed_memory", lambda: None)  # the tests after this one measure memory
    monkeypatch.setattr(sys, "argv", [str(sys.modules[main.__module__].__file__), *arguments])
    try:
        return main() or 0
    except SystemExit as end:
        return int(end.code or 0)


def start(module: str, arguments: list[str], folder: Path, *, shell: str = "") -> "subprocess.Popen[str]":
    """Start ``python -m module`` in `folder`, with the tests importable, after the commands `shell` of a shell."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "2"}
    return subprocess.Popen(
        [*(["bash", "-c", f'{shell}; exec "$@"', "bash"] if shell else []), sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(
    module: str, arguments: list[str], folder: Path, *, timeout: float = 300, shell: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run ``python -m module`` in `folder` to its end, for at most `timeout` seconds; `shell` as for `start`."""
    process = start(module, arguments, folder, shell=shell)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_without(
    modules: Iterable[str], code: str, *arguments: object, folder: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process of its own in which `modules` cannot be imported."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({list(modules)}))\n"
    command = [sys.executable, "-c", blocked + code, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def may_mount() -> bool:
    """Whether this machine lets the tests mount file systems of their own."""
    try:
        test = ["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=3m tmpfs /dev/shm"]
        return subprocess.run(test, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 600) -> None:
    """Wait for something that a running process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)


class SignalAt(Callback):
    """Sends this process and its workers a signal.

    Args:
        step: number of the optimiser step.
        number: the signal.
        moment: ``backward`` in the middle of the step, ``end`` of the step, or ``validation`` after it.
    """

    def __init__(self, step: int, number: int, moment: str) -> None:
        self.step = step
        self.number = number
        self.moment = moment

    def on_before_backward(self, trainer: L.Trainer, *args: Any) -> None:
        self._send(trainer, trainer.global_step + 1, "backward")

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._send(trainer, trainer.global_step, "end")

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._send(trainer, trainer.global_step, "validation")

    def _send(self, trainer: L.Trainer, step: int, moment: str) -> None:
        # a resumed run repeats the overrides that added this callback
        if (step, moment) == (self.step, self.moment) and trainer.ckpt_path is None:
            # to the whole group and from another process, as a terminal and a scheduler do
            kill = ["kill", f"-{self.number}", "--", f"-{os.getpgrp()}"]
            for _ in range(2):  # timeout(1) signals the process and then its group
                subprocess.run(kill, start_new_session=True, check=True)
            time.sleep(0.5)  # what a dying worker sets off arrives within the step


class Poison(Callback):
    """Puts NaN into a run: into the content images of some steps, into the gradient, or into the weights.

    Args:
        steps: the optimiser steps.
        place: ``images``, ``gradient``, or ``weights``, before the validation after the step.
    """

    def __init__(self, steps: list[int], place: str) -> None:
        self.steps = steps
        self.place = place

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, *args: Any) -> None:
        if self.place == "images" and trainer.global_step + 1 in self.steps:
            batch.content.fill_(float("nan"))

    def on_after_backward(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.place == "gradient" and trainer.global_step + 1 in self.steps:
            next(p for p in module.parameters() if p.grad is not None).grad.fill_(float("inf"))

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.place == "weights" and trainer.global_step in self.steps:
            next(p for p in module.parameters() if p.requires_grad).data.fill_(float("nan"))


def poison(*steps: int, place: str = "images") -> list[str]:
    """Overrides that add `Poison` to a run."""
    return [
        "+callbacks.poison._target_=support.commands.Poison",
        f"+callbacks.poison.steps={list(steps)}",
        f"+callbacks.poison.place={place}",
    ]


class HarmLoader(Callback):
    """Harms the loader at the end of a step: ``kill`` one of its workers, or ``fill`` the shared memory."""

    def __init__(self, step: int, how: str) -> None:
        self.step = step
        self.how = how

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == self.step and self.how == "kill":
            multiprocessing.active_children()[0].kill()
        elif trainer.global_step == self.step:
            with suppress(OSError), Path("/dev/shm/filled").open("wb", buffering=0) as file:
                while file.write(bytes(1 << 12)):
                    pass


def harm_loader(step: int, how: str) -> list[str]:
    """Overrides that add `HarmLoader` to a run."""
    values = {"_target_": "support.commands.HarmLoader", "step": step, "how": how}
    return [f"+callbacks.harm.{name}={value}" for name, value in values.items()]


class Kill(Callback):
    """Kills this process at the place that the variable KILL names, ``PLACE STEP``; nowhere without it.

    ``step`` is amid an optimiser step, ``validation`` amid the one after a step; ``write BYTES`` is amid the first file
    after a step that grows beyond so many bytes, by the system itself, which then sends SIGXFSZ; ``slow`` kills
    nothing and takes half a second for each step, so that whoever kills from outside meets the run at any place.
    """

    def __init__(self) -> None:
        place, step, *more = (os.environ.get("KILL") or "nowhere 0").split()
        self.place, self.step, self.bytes = place, int(step), [int(text) for text in more]

    def on_before_backward(self, trainer: L.Trainer, *args: Any) -> None:
        if self.place == "write" and trainer.global_step + 1 == self.step:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.bytes[0], resource.RLIM_INFINITY))
        if self.place == "slow":
            time.sleep(0.5)
        self._kill("step", trainer.global_step + 1)

    def on_validation_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self._kill("validation", trainer.global_step)

    def _kill(self, place: str, step: int) -> None:
        if (place, step) == (self.place, self.step):
            os.kill(os.getpid(), signal.SIGKILL)


class StartMethod(Callback):
    """Chooses how the processes of a loader begin: ``spawn``, as on Windows and macOS, or ``fork``."""

    def __init__(self, method: str) -> None:
        multiprocessing.set_start_method(method, force=True)


class Memory(Callback):
    """Notes the memory that this process holds, in MB, every so many steps: a line in a file."""

    def __init__(self, path: str, every: int) -> None:
        self.path = Path(path)
        self.every = every

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step % self.every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            with self.path.open("a") as file:
                file.write(f"{pages * os.sysconf('SC_PAGE_SIZE') / 1e6:.1f}\n")


class Hindrance(Callback):
    """Hinders the runs of a sweep as long as a file of a run's name lies in a folder.

    What is in the file says how: ``fail`` after the first step, ``die`` then by SIGKILL, ``interrupt`` in step 4,
    ``slow``, half a second for each step, or ``vanish``, see `Vanish`.

    Args:
        folder: with the files; in it each run also notes its GPU and process.
        run: folder of the run.
    """

    def __init__(self, folder: str, run: str) -> None:
        self.file = Path(folder, Path(run).name)
        note = f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n"
        self.file.with_name(f"{self.file.name}.note").write_text(note)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        how = self.file.read_text() if self.file.is_file() else ""
        if how == "fail":
            raise RuntimeError("made to fail")
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "interrupt" and trainer.global_step == 4:
            signal.raise_signal(signal.SIGINT)
        if how == "slow":
            time.sleep(0.5)


class Vanish(HydraCallback):
    """Kills a job's process before its training begins, if `Hindrance`'s file for it says ``vanish``."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_job_start(self, config: Any, **kwargs: Any) -> None:
        file = self.folder / Path(config.hydra.runtime.output_dir).name
        if file.is_file() and file.read_text() == "vanish":
            os.kill(os.getpid(), signal.SIGKILL)


def hindrance(folder: Path) -> list[str]:
    """Overrides that add `Hindrance` to a run."""
    return [
        "+hydra.callbacks.vanish._target_=support.commands.Vanish",
        f"+hydra.callbacks.vanish.folder={folder}",
        "+callbacks.hindrance._target_=support.commands.Hindrance",
        f"+callbacks.hindrance.folder={folder}",
        "+callbacks.hindrance.run=${hydra:runtime.output_dir}",
    ]


def signal_at(step: int, number: int = signal.SIGKILL, *, moment: str = "end") -> list[str]:
    """Overrides that add `SignalAt` to a run."""
    return [
        "+callbacks.signal._target_=support.commands.SignalAt",
        f"+callbacks.signal.step={step}",
        f"+callbacks.signal.number={int(number)}",
        f"+callbacks.signal.moment={moment}",
    ]
