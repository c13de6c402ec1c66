"""Checkpoints: damaged ones, two processes at once, half-written files, and losses that are not finite."""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adain_lit import train
from adain_lit.errors import InputError
from adain_lit.io.files import remove_partial_files, write_atomically
from adain_lit.runs.lock import only_process
from adain_lit.weights.files import read_checkpoint
from support.commands import poison, run_here, signal_at, start, tiny, wait_until
from support.runs import assert_same, assert_same_runs, last, log_of, only_run

Record = Callable[[int, str], None]
TRIES = int(os.environ.get("RELIABILITY_TRIES", "120"))
STEPS = ["trainer.max_steps=5", "trainer.val_check_interval=2", "callbacks.checkpoints.keep_every_n_steps=3"]


@pytest.fixture(scope="module")
def arguments(photographs: Path, paintings: Path) -> list[str]:
    return [*tiny(photographs, paintings), *STEPS]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, arguments: list[str]) -> Path:
    """A run of five steps with last, best and step_000003.ckpt; the oracle of this module."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here(train.main, arguments, patch) == 0
    return only_run(folder)


@pytest.mark.promise(
    fault="one byte of a checkpoint is changed",
    cause="a byte at a random place of a checkpoint of a run",
    promise="the file is refused in one line, or what is read from it is what was written",
)
def test_checkpoint_with_a_changed_byte_is_refused(unbroken: Path, tmp_path: Path, record: Record) -> None:
    content = (unbroken / "checkpoints" / "last.ckpt").read_bytes()
    changed, draw = tmp_path / "changed.ckpt", random.Random(0)
    lines: list[str] = []
    for _ in range(TRIES):
        place = draw.randrange(len(content))
        changed.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        try:
            found = read_checkpoint(changed)
        except InputError as error:
            lines.append(str(error))
        else:
            assert_same(found, last(unbroken))
    assert len(lines) > 0.9 * TRIES
    assert not any("\n" in line for line in lines)
    record(TRIES, f"{len(lines)} refused; the others in padding, with equal contents; none with other contents")


@pytest.mark.promise(
    fault="the newest checkpoint of a run is damaged, empty or missing",
    cause="last.ckpt with a byte changed, with no bytes, or removed; then resume=last and resume=RUN",
    promise="the newest whole checkpoint of that run is used, a line says so, and the run ends as if undisturbed",
)
@pytest.mark.parametrize("resume", ["last", "RUN"])
@pytest.mark.parametrize("fault", ["damaged", "empty", "missing"])
def test_resuming_takes_the_newest_whole_checkpoint(
    fault: str,
    resume: str,
    unbroken: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(unbroken, tmp_path / "outputs" / "enc_adain_dec" / "run"))
    newest = folder / "checkpoints" / "last.ckpt"
    (folder / "checkpoints" / "best.ckpt").unlink()
    if fault == "missing":
        newest.unlink()
    else:
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 255
        newest.write_bytes(content if fault == "damaged" else b"")
    assert run_here(train.main, [*arguments, f"resume={folder if resume == 'RUN' else resume}"], monkeypatch) == 0
    assert "resuming from step_000003.ckpt, step 3" in capfd.readouterr().out
    assert_same_runs(unbroken, folder)
    record(1, "resumed, and equal to the bit to the undisturbed run")


def test_run_without_a_whole_checkpoint_is_refused(
    unbroken: Path,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(unbroken, tmp_path / "run"))
    for path in (folder / "checkpoints").glob("*.ckpt"):
        path.write_bytes(b"")
    assert run_here(train.main, [*arguments, f"resume={folder}"], monkeypatch) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.endswith(f"no other checkpoint of {folder} is whole, train it anew")


@pytest.mark.promise(
    fault="a run is resumed that is still training",
    cause="resume=RUN while another process holds its folder",
    promise="refused in one line; nothing in metrics.csv changes",
)
def test_live_run_is_not_resumed(
    unbroken: Path,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(unbroken, tmp_path / "run"))
    with only_process(folder):
        assert run_here(train.main, [*arguments, f"resume={folder}", "trainer.max_steps=9"], monkeypatch) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line == f"adain_lit.train: error: another process trains in {folder}; wait for it, or end it"
    assert log_of(folder) == log_of(unbroken)
    record(1, "refused, nothing written")


@pytest.mark.slow
@pytest.mark.promise(
    fault="the process that trained in a run's folder was killed",
    cause="resume=RUN while the first process is amid step 2, then SIGKILL to it, then resume=RUN again",
    promise="the second is refused; after the kill the lock is free, and the run ends as if undisturbed",
)
def test_lock_of_a_killed_run_is_taken_over(
    unbroken: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "outputs" / "enc_adain_dec" / "run"
    stopping = [*arguments, *signal_at(2, signal.SIGSTOP), f"hydra.run.dir={folder}"]
    first = start("adain_lit.train", [*stopping, "callbacks.checkpoints.every_n_steps=1"], tmp_path)
    state = Path(f"/proc/{first.pid}/status")
    wait_until(lambda: "State:\tT" in state.read_text(), first)
    second = run_here(train.main, [*arguments, f"resume={folder}"], monkeypatch)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert second == 2
    assert last(folder)["global_step"] == 1
    assert run_here(train.main, [*arguments, f"resume={folder}"], monkeypatch) == 0
    assert_same_runs(unbroken, folder)
    record(1, "refused, then resumed; equal to the bit to the undisturbed run, no row twice")


WRITES_FOR_EVER = """
import sys, time
from pathlib import Path
from adain_lit.io.files import write_atomically

def write(temporary):
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)

write_atomically(sys.argv[1], write)
"""


@pytest.mark.promise(
    fault="a process is killed while it writes a file",
    cause="SIGKILL while write_atomically writes; another writer of the same folder lives",
    promise="the next writer in that folder removes what it left, and nothing that a live process writes",
)
def test_half_written_files_of_killed_processes_are_removed(tmp_path: Path, record: Record) -> None:
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path / "last.ckpt")]
    killed, alive = (subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2))
    for process in (killed, alive):
        assert process.stdout is not None
        process.stdout.readline()
    (tmp_path / ".mine.partial-of-something").touch()
    killed.kill()
    killed.wait()
    assert len(list(tmp_path.glob(".last.ckpt.*"))) == 2
    write_atomically(tmp_path / "best.ckpt", lambda temporary: temporary.write_text("whole"))
    left = {path.name for path in tmp_path.iterdir()}
    alive.kill()
    alive.wait()
    assert len(left) == 3
    assert {"best.ckpt", ".mine.partial-of-something"} < left
    remove_partial_files(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"best.ckpt", ".mine.partial-of-something"}
    record(2, "one left over and removed; the live writer's file and a user's hidden file stayed")


def named_files(folder: Path) -> list[str]:
    return [line.split("\t")[0] for line in (folder / "non_finite.txt").read_text().splitlines()]


@pytest.mark.promise(
    fault="the loss of a step is NaN",
    cause="NaN in the content images of step 3 of 5; callbacks.non_finite.action=stop",
    promise="noticed at its step: one line with the step and files, state saved; resume=last goes on",
)
@pytest.mark.parametrize("system", ["enc_adain_dec", "ablation_bndec"])
def test_nan_stops_the_run_at_its_step(
    system: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*arguments, f"experiment={system}"]
    assert run_here(train.main, [*arguments, *poison(3)], monkeypatch) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "error: " in line]
    folder = only_run(tmp_path, system)
    assert "the loss of step 3 is not finite (content " in line
    assert last(folder)["global_step"] == 3
    assert named_files(folder) == ["3"] * 2
    assert run_here(train.main, [*arguments, "resume=last"], monkeypatch) == 0

    skip = [*arguments, *poison(3), "callbacks.non_finite.action=skip", "hydra.run.dir=skipping"]
    assert run_here(train.main, skip, monkeypatch) == 0
    assert_same(last(folder)["state_dict"], last(tmp_path / "skipping")["state_dict"])
    assert all(bool(value.isfinite().all()) for value in last(folder)["state_dict"].values())
    assert [row["step"] for row in log_of(folder) if row["train/loss"] == "nan"] == ["3"]
    record(1, "stopped after step 3, both pairs named; resumed, equal to a run under action=skip")


@pytest.mark.promise(
    fault="the gradient of a step overflows although its loss is finite",
    cause="infinity in the gradient of step 3; action=stop, skip, lower",
    promise="stop names step 3 and keeps the last good checkpoint, skip leaves it out, lower halves the rate, too",
)
@pytest.mark.parametrize("action", ["stop", "skip", "lower"])
def test_gradient_that_overflows_is_named_or_left_out(
    action: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    faulty = [*arguments, *poison(3, place="gradient"), f"callbacks.non_finite.action={action}"]
    status = run_here(train.main, [*faulty, "callbacks.checkpoints.every_n_steps=2"], monkeypatch)
    out, err = capfd.readouterr()
    folder = only_run(tmp_path)
    assert named_files(folder) == ["3"] * 2
    if action == "stop":
        assert status == 2
        assert "the weights are not finite after step 3, whose own loss was finite (content " in err
        assert f"the last good checkpoint stays in {folder.relative_to(tmp_path)}/checkpoints" in err.replace(
            f"{tmp_path}/", ""
        )
        assert last(folder)["global_step"] == 2
    else:
        assert status == 0
        assert "the loss of step 3 is not finite" in out
        rates = {row["step"]: float(row["train/lr"]) for row in log_of(folder)}
        assert rates["4"] == pytest.approx(rates["2"] * (0.5 if action == "lower" else 1), rel=1e-3)
    record(1, {"stop": "step 3 named, checkpoint of step 2 kept"}.get(action, f"{action}: went on to step 5"))


@pytest.mark.promise(
    fault="a loss that stays NaN",
    cause="NaN in the images of every step; action=skip",
    promise="the run stops after ten such steps in a row, weights unchanged",
)
def test_nan_in_every_step_stops_the_run(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ["trainer.max_steps=20", "trainer.val_check_interval=20", "callbacks.non_finite.action=skip"]
    assert run_here(train.main, [*arguments, *poison(*range(1, 21)), *steps], monkeypatch) == 2
    assert "the loss of step 10 is not finite" in capfd.readouterr().err
    assert last(only_run(tmp_path))["global_step"] == 10
    record(1, "stopped after step 10")


@pytest.mark.promise(
    fault="the loss is NaN under bf16, or in one of the batches of a step",
    cause="NaN in the images of step 3; trainer.precision=bf16-mixed; trainer.accumulate_grad_batches=2",
    promise="noticed at its step",
)
@pytest.mark.parametrize("option", ["trainer.precision=bf16-mixed", "trainer.accumulate_grad_batches=2"])
def test_nan_is_noticed_in_other_precisions_and_with_accumulation(
    option: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, [*arguments, *poison(3), option], monkeypatch) == 2
    folder = only_run(tmp_path)
    assert last(folder)["global_step"] == 3
    assert set(named_files(folder)) == {"3"}
    record(1, "noticed at step 3")


@pytest.mark.gpu
def test_nan_is_noticed_at_its_step_on_a_gpu(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for precision in ("32-true", "bf16-mixed", "16-mixed"):
        folder = tmp_path / precision
        gpu = ["trainer.accelerator=gpu", f"trainer.precision={precision}", f"hydra.run.dir={folder}"]
        assert run_here(train.main, [*arguments, *poison(3), *gpu], monkeypatch) == 2
        assert last(folder)["global_step"] == 3
        assert set(named_files(folder)) == {"3"}
        assert torch.cuda.is_available()
