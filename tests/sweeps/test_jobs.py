"""The record of a job of a sweep: how it ended, and when it is done."""

import errno
import json
import multiprocessing
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from adain_lit.config.overrides import of_the_training
from adain_lit.errors import InputError
from adain_lit.runs.lock import only_process
from adain_lit.sweeps.jobs import Job, read_record, recording
from adain_lit.sweeps.report import reason

SETTINGS: dict[str, Any] = {"model": {"style_weight": 3.0, "layers": ["a", "b"]}, "seed": 1, "logger": {"csv": None}}


def job(folder: Path, settings: Mapping[str, Any] = SETTINGS) -> Job:
    folder.mkdir(exist_ok=True)
    return Job("enc_adain_dec", folder, ("seed=1",), {"seed": "1"}, of_the_training(OmegaConf.create(dict(settings))))


def ended_with(folder: Path, error: BaseException | None) -> Job:
    """A job that was begun and ended with an error, or without one."""
    begun = job(folder)
    expectation = nullcontext() if error is None else pytest.raises(type(error))
    OmegaConf.save(OmegaConf.create(SETTINGS), folder / "config.yaml")
    with expectation, recording(folder) as record:
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
    OmegaConf.save(OmegaConf.create(SETTINGS), tmp_path / "config.yaml")
    with recording(tmp_path) as record:
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
    with recording(job(tmp_path).folder) as record:
        record.objective = float("nan")
    assert json.loads((tmp_path / "job.json").read_text())["objective"] is None


def test_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    """Whether a setting was given or comes from a file is the same; what changes no weight does not count."""
    other = SETTINGS | {"model": {"style_weight": 10.0, "layers": ["a", "b"], "new": 1}}
    ended_with(tmp_path, RuntimeError("before its first checkpoint"))
    assert not job(tmp_path, other).is_done()
    ended_with(tmp_path, None)
    assert job(tmp_path, SETTINGS | {"logger": {"wandb": None}, "data": {"num_workers": 4}, "tags": ["x"]}).is_done()
    with pytest.raises(InputError, match=r"\(model.new=None, now 1; model.style_weight=3.0, now 10.0\)"):
        job(tmp_path, other).is_done()
    ended_with(tmp_path, SystemExit(130))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(InputError, match=r"give another sweep=NAME"):
        job(tmp_path, other).is_done()


@pytest.mark.parametrize("before", ["nothing", "interrupted", "running"])
def test_job_whose_process_could_not_say_why_it_failed_gets_its_reason_from_the_sweep(
    before: str, tmp_path: Path
) -> None:
    if before == "interrupted":
        ended_with(tmp_path, SystemExit(130))  # in an earlier attempt
    begun = job(tmp_path)
    record = begun.record
    if before == "running":
        with recording(tmp_path):
            killed = (tmp_path / "job.json").read_text()
        (tmp_path / "job.json").write_text(killed)
    begun.conclude(record, InputError("its process was killed"))
    assert begun.record is not None
    assert (begun.status, begun.record.error) == ("failed", "its process was killed")


def test_job_that_said_why_it_failed_keeps_its_reason(tmp_path: Path) -> None:
    record = job(tmp_path).record
    ended_with(tmp_path, RuntimeError("out of memory")).conclude(record, InputError("something"))
    assert reason(job(tmp_path)) == "RuntimeError: out of memory"


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
    for use in (job(tmp_path).is_done, recording(tmp_path).__enter__):
        with pytest.raises(InputError, match="another process trains in"):
            use()
    leave.set()
    process.join()
    assert not job(tmp_path).is_done()


def test_reason_is_known_where_a_full_disk_takes_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = job(tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "last.ckpt")

    def write(*_: object) -> None:
        raise full

    monkeypatch.setattr("adain_lit.sweeps.jobs.write_json", write)
    begun.conclude(None, full)
    assert (begun.status, reason(begun)) == ("failed", "No space left on device: last.ckpt")


def test_reason_of_a_job_is_kept_where_a_full_disk_takes_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        with recording(tmp_path):
            monkeypatch.setattr("adain_lit.sweeps.jobs.write_json", write)
            raise RuntimeError("the first reason")

    def write(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "job.json")

    with pytest.raises(RuntimeError, match="the first reason"):
        fail()
