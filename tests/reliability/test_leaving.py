"""Leaving: signals, errors, lost workers, full disks; a run ends, says why in a line, and has saved."""

import errno
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from adain_lit import train
from adain_lit.data import pairs
from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically
from support.commands import harm_loader, may_mount, poison, run, run_here, signal_at, tiny, wait_until
from support.runs import last, log_of, only_run

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


@pytest.mark.slow
@pytest.mark.promise(
    fault="a signal, or an error, while the run validates",
    cause="SIGINT, SIGTERM and SIGUSR1 to the process group in a validation, two loader workers; a NaN there",
    promise="the run saves, prints one line and ends",
)
def test_nan_in_a_validation_ends_the_run(tmp_path: Path, photographs: Path, paintings: Path, record: Record) -> None:
    arguments = [*tiny(photographs, paintings), TWO_WORKERS, *poison(2, place="weights")]
    done = run("adain_lit.train", arguments, tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert "the weights are not finite after step 2" in line
    assert "there is no checkpoint yet" in line
    record(1, "with NaN: exit status 2, no checkpoint claimed where there was none")


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


@pytest.mark.slow
@pytest.mark.promise(
    fault="a loader worker is killed",
    cause="SIGKILL to one of two workers after step 3",
    promise="one line names the cause; the last complete step is saved, and resume=last ends as if undisturbed",
)
def test_killed_worker_is_named_and_the_run_saved(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    arguments = [*tiny(photographs, paintings), TWO_WORKERS, "trainer.max_steps=40", "trainer.val_check_interval=40"]
    done = run("adain_lit.train", [*arguments, *harm_loader(3, "kill")], tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert line.startswith("adain_lit.train: error: a loader worker was ended by SIGKILL, most often because memory")
    assert "Traceback" not in done.stdout + done.stderr
    saved = last(only_run(tmp_path))["global_step"]
    assert 3 <= saved < 40
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, [*arguments, "resume=last"], monkeypatch) == 0
    assert [int(row["step"]) for row in log_of(only_run(tmp_path))] == list(range(1, 41))
    record(1, "exit status 2, saved, resumed, every step once in metrics.csv")


SMALL_SHARED_MEMORY = "mount -t tmpfs -o size=3m tmpfs /dev/shm"


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs unshare -m and the right to mount")
@pytest.mark.promise(
    fault="the shared memory is too small for the batches",
    cause="/dev/shm of 3 MiB: eight workers with crops of 128 pixels; two workers, and it is filled after step 3",
    promise="one line with data.num_workers and --shm-size; before training where it can be foreseen, else saved",
)
@pytest.mark.parametrize("foreseen", [True, False])
def test_small_shared_memory_is_one_line(
    foreseen: bool, tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    arguments = [*tiny(photographs, paintings), "trainer.max_steps=200", "trainer.val_check_interval=200"]
    if foreseen:
        arguments += ["data.num_workers=8", "data.resize=128", "data.crop=128"]
    else:
        arguments += [TWO_WORKERS, *harm_loader(3, "fill")]
    command = ["-m", "adain_lit.train", *arguments]
    shell = f'exec unshare -m sh -c \'{SMALL_SHARED_MEMORY}; exec "$@"\' sh "$@"'
    done = run("adain_lit.train", command[2:], tmp_path, shell=shell)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error: " in line]
    assert "data.num_workers" in line
    assert "--shm-size" in line
    if foreseen:
        assert "data.num_workers=8 needs up to 4 MB of shared memory, /dev/shm has 3 MB free" in line
        record(1, "refused before the first step")
    else:
        assert 3 <= last(only_run(tmp_path))["global_step"] < 200
        record(1, "ended and saved")


def test_batches_that_fit_into_the_shared_memory_are_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: 14 workers x 2 + 2 batches of 3.1 MB do not fit into Docker's 64 MB, 8 workers do."""
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=64 << 8, f_frsize=4096))
    batch = 8 * 2 * 3 * 256**2
    pairs.require_shared_memory(batch, 8, folder=tmp_path)
    pairs.require_shared_memory(batch, 0, folder=tmp_path)
    for workers, processes in ((14, 1), (8, 2)):
        with pytest.raises(InputError, match=rf"data\.num_workers={workers} needs up to .* --shm-size$"):
            pairs.require_shared_memory(batch, workers, processes, folder=tmp_path)


WRITERS = """
import sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from adain_lit.callbacks import AtomicCheckpointIO
from adain_lit.io.files import write_atomically
from adain_lit.io.images import write_image
from adain_lit.loggers.csv import MetricsFile

def log():
    file = MetricsFile("log.csv")
    for step in range(100_000):
        file.log_metrics({"loss": step / 7}, step)
        if step % 1000 == 0:
            file.save()

tensors = {"a": torch.rand(60_000), "b": torch.rand(60_000)}
image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8))
for path, write in {
    "last.ckpt": lambda: AtomicCheckpointIO().save_checkpoint(tensors, "last.ckpt"),
    "net.safetensors": lambda: write_atomically("net.safetensors", lambda path: save_file(tensors, path)),
    "image.png": lambda: write_image(image, "image.png"),
    "image.tiff": lambda: write_image(image, "image.tiff"),
    "log.csv": log,
}.items():
    try:
        write()
    except OSError as error:
        print(path, error.filename, error.strerror, sep=": ")
"""


@pytest.mark.promise(
    fault="a file cannot be written",
    cause="a limit on the size of files (ulimit -f) while a checkpoint, .safetensors, PNG, TIFF and CSV are written",
    promise="an OSError that names the file and the reason, which commands print in one line; nothing half-written",
)
def test_write_error_names_the_file_and_the_reason(tmp_path: Path, record: Record) -> None:
    script = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); {WRITERS}"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    names = ("last.ckpt", "net.safetensors", "image.png", "image.tiff", "log.csv")
    assert done.stdout.splitlines() == [f"{name}: {name}: File too large" for name in names]
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    record(len(names), "each named")


@pytest.mark.promise(
    fault="a file cannot be written",
    cause="ENOSPC, EDQUOT, EROFS, EIO from the writer",
    promise="an OSError that names the file and the reason, which commands print in one line; nothing half-written",
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_every_errno_of_a_writer_is_kept(number: int, tmp_path: Path, record: Record) -> None:
    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        write_atomically(tmp_path / "last.ckpt", fail)
    assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "last.ckpt"))
    assert list(tmp_path.iterdir()) == []
    record(1, "each named")


@pytest.mark.slow
@pytest.mark.promise(
    fault="the disk takes no more while a run trains",
    cause="`ulimit -f 300` around a training whose checkpoint is larger",
    promise="one line with the file and the reason, exit status 2",
)
def test_training_under_a_file_size_limit_ends_in_one_line(
    tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    done = run("adain_lit.train", tiny(photographs, paintings), tmp_path, shell="ulimit -f 300")
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line and not line.startswith("training:")]
    folder = only_run(tmp_path)
    assert lines == [f"adain_lit.train: error: File too large: {folder}/checkpoints/best.ckpt"]
    assert list((folder / "checkpoints").iterdir()) == []
    record(1, "one line, nothing half-written")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
@pytest.mark.promise(
    fault="the terminal of a run is closed (SIGHUP)",
    cause="a run in a terminal of its own, which is closed after step 3; two loader workers",
    promise="the run saves after the step in progress and ends; under nohup it goes on",
)
@pytest.mark.parametrize("nohup", [False, True], ids=["", "nohup"])
def test_closed_terminal_saves_the_run(
    nohup: bool, tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    """Whatever is printed to a closed terminal is an error."""
    steps = ["trainer.max_steps=300", "trainer.val_check_interval=300"]
    command = [sys.executable, "-m", "adain_lit.train", *tiny(photographs, paintings), TWO_WORKERS, *steps]
    prefix = ["sh", "-c", "trap '' HUP; exec \"$@\" > output.txt 2>&1", "sh"] if nohup else []
    master, terminal = pty.openpty()

    def prepare() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal that it belongs to
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup themselves

    process = subprocess.Popen(
        prefix + command,
        cwd=tmp_path,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=prepare,
        text=True,
    )
    os.close(terminal)
    logs = tmp_path / "outputs" / "enc_adain_dec"
    wait_until(lambda: any(log.read_text().count("\n") > 3 for log in logs.glob("*/metrics.csv")), process)
    os.close(master)
    status = process.wait(timeout=300)
    saved = last(only_run(tmp_path))["global_step"]
    if nohup:
        assert (status, saved) == (0, 300), (tmp_path / "output.txt").read_text()
        record(1, "under nohup it went on to its last step")
    else:
        assert status == 128 + signal.SIGHUP
        assert 3 <= saved < 300
        assert "stopped by SIGHUP after step" in (only_run(tmp_path) / "train.log").read_text()
        record(1, "saved, exit status 129")
