"""The record of a job of a sweep: how it ended, and when it is done."""

import json
import multiprocessing
from contextlib import nullcontext
from pathlib import Path

import pytest

from adain_lit.errors import InputError
from adain_lit.jobs import Job, only_process, read_record, recording

OVERRIDES = ("model.style_weight=3", "seed=1", "logger=csv")


def job(folder: Path, overrides: tuple[str, ...] = OVERRIDES) -> Job:
    folder.mkdir(exist_ok=True)
    return Job("enc_adain_dec", folder, overrides, {"seed": "1"})


def ended_with(folder: Path, error: BaseException | None) -> Job:
    """A job that was begun and ended with an error, or without one."""
    begun = job(folder)
    expectation = nullcontext() if error is None else pytest.raises(type(error))
    with expectation, recording(folder, OVERRIDES) as record:
        assert begun.record is not None
        assert begun.record.status == "running"
        record.objective = 0.5
        if error is not None:
            raise error
    return begun


@pytest.mark.parametrize(
    ("error", "status", "line", "done"),
    [
        (None, "finished", None, True),
        (InputError("data.crop is 512"), "failed", "data.crop is 512", False),
        (RuntimeError("out of\nmemory"), "failed", "RuntimeError: out of memory", False),
        (SystemExit(130), "interrupted", None, False),
        (KeyboardInterrupt(), "interrupted", None, False),
    ],
)
def test_record_says_how_a_job_ended(
    error: BaseException | None, status: str, line: str | None, done: bool, tmp_path: Path
) -> None:
    ended = ended_with(tmp_path, error)
    assert ended.record is not None
    assert (ended.status, ended.record.error, ended.record.objective) == (status, line, 0.5)
    assert ended.is_done() == done


def test_job_is_begun_died_and_pruned(tmp_path: Path) -> None:
    assert (job(tmp_path).status, job(tmp_path).is_done()) == ("not begun", False)
    with recording(tmp_path, OVERRIDES) as record:
        killed = (tmp_path / "job.json").read_text()
        record.status = "pruned"
    assert (job(tmp_path).status, job(tmp_path).is_done()) == ("pruned", True)
    (tmp_path / "job.json").write_text(killed)  # as SIGKILL leaves it
    assert (job(tmp_path).status, job(tmp_path).is_done()) == ("died", False)


def test_seconds_of_all_attempts_add_up(tmp_path: Path) -> None:
    ended_with(tmp_path, SystemExit(130))
    path = tmp_path / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seconds": 100.0}))
    ended_with(tmp_path, None)
    record = read_record(tmp_path)
    assert record is not None
    assert 100 < record.seconds < 101


def test_value_that_is_not_finite_is_no_objective(tmp_path: Path) -> None:
    with recording(job(tmp_path).folder, OVERRIDES) as record:
        record.objective = float("nan")
    assert json.loads((tmp_path / "job.json").read_text())["objective"] is None


def test_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    ended_with(tmp_path, None)
    assert job(tmp_path, ("seed=1", "model.style_weight=3", "logger=wandb", "data.num_workers=4")).is_done()
    with pytest.raises(InputError, match=r"not the same: model.style_weight=10 and model.style_weight=3"):
        job(tmp_path, ("seed=1", "model.style_weight=10")).is_done()


def hold(folder: Path, held: "multiprocessing.synchronize.Event", leave: "multiprocessing.synchronize.Event") -> None:
    with only_process(folder):
        held.set()
        leave.wait(60)


def test_folder_in_which_another_process_works_is_refused(tmp_path: Path) -> None:
    ended_with(tmp_path, SystemExit(130))
    context = multiprocessing.get_context("fork")
    held, leave = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, leave))
    process.start()
    assert held.wait(60)
    for use in (job(tmp_path).is_done, recording(tmp_path, OVERRIDES).__enter__):
        with pytest.raises(InputError, match="another process trains in"):
            use()
    leave.set()
    process.join()
    assert not job(tmp_path).is_done()
