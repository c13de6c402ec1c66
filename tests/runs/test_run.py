"""Finding runs and reading what they left."""

import re
from pathlib import Path

import pytest

from adain_lit.errors import InputError
from adain_lit.runs.run import find_runs, read_run
from support.run_folders import losses, plain, write_run


def test_runs_below_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10_b", "2_a", "0_c"):
        write_run(tmp_path / "sweep" / name, losses(2))
    (tmp_path / "sweep" / ".hydra").mkdir()
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / "evaluation.json").touch()
    (tmp_path / "latest").symlink_to(tmp_path / "sweep" / "10_b")
    assert [folder.name for folder in find_runs(tmp_path)] == ["0_c", "2_a", "10_b"]


def test_a_run_is_found_by_its_folder_and_by_its_log(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", losses(2))
    write_run(folder / "inner", losses(2))
    assert find_runs(folder) == find_runs(folder / "metrics.csv") == [folder]


@pytest.mark.parametrize(
    ("name", "reason"), [("none", "is not there"), ("file", "is no folder"), ("empty", "is no run")]
)
def test_what_holds_no_run_is_refused_in_one_line(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=re.escape(str(tmp_path / name)) + f" {reason}.*; give the folder of a run"):
        find_runs(tmp_path / name)


def test_log_configuration_and_last_grid_of_a_folder_are_read(tmp_path: Path) -> None:
    config = {"name": "mine", "model": {"fusion": "adain", "lr": 1e-5}, "tags": [], "data": {}}
    grids = {step: plain("red", "green", "blue") for step in (2, 900, 1000)}
    (folder,) = find_runs(write_run(tmp_path / "run", losses(3), config=config, grids=grids))
    run = read_run(folder)
    assert run.rows == losses(3)
    assert run.name == "mine"
    assert run.settings == {"name": "mine", "model.fusion": "adain", "model.lr": 1e-5, "tags": [], "data": {}}
    assert (run.grid, run.grid_step) == (tmp_path / "run" / "grids" / "step_001000.png", 1000)


def test_a_log_alone_is_a_run_of_unknown_settings(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", losses(2)))
    assert (run.name, run.settings, run.grid) == ("run", {}, None)


def test_a_row_that_a_killed_run_left_half_written_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", losses(3))
    text = (folder / "metrics.csv").read_text()
    (folder / "metrics.csv").write_text(text[:-5])
    assert read_run(folder).rows == losses(2)


def test_a_run_that_logged_nothing_is_refused(tmp_path: Path) -> None:
    for folder in (write_run(tmp_path / "no_log"), write_run(tmp_path / "no_row", {})):
        with pytest.raises(InputError, match=rf"{folder.name} has no logged values"):
            read_run(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.csv", b"\x89PNG\x00\xff\n"),
        ("metrics.csv", b"step,val/loss\n1,high\n"),
        ("metrics.csv", b"step,val/loss\n1,2,3\n"),
        ("metrics.csv", b"loss\n1\n"),
        ("config.yaml", b"model: [\n"),
        ("config.yaml", b"- a\n- b\n"),
        ("config.yaml", b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", losses(2))
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is damaged") as caught:
        read_run(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("within", ["wandb/offline-run-1/run-a.wandb", "wandb/offline-run-1", "wandb"])
@pytest.mark.parametrize("run", [True, False], ids=["of a run folder", "alone"])
def test_a_record_of_wandb_is_answered_with_what_to_do(within: str, run: bool, tmp_path: Path) -> None:
    (tmp_path / "run" / "wandb" / "offline-run-1").mkdir(parents=True)
    (tmp_path / "run" / "wandb" / "offline-run-1" / "run-a.wandb").touch()
    if run:
        (tmp_path / "run" / "metrics.csv").touch()
    path = tmp_path / "run" / within
    advice = f"its run folder {tmp_path / 'run'}" if run else "the run folder that holds metrics.csv"
    with pytest.raises(InputError) as caught:
        find_runs(path)
    assert str(caught.value) == (
        f"{path} is W&B's own record; give {advice}, or look at it with `wandb leet {path}` or `wandb sync {path}`"
    )


def test_the_records_of_wandb_in_a_run_folder_are_no_runs(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", losses(2))
    (folder / "wandb" / "offline-run-1").mkdir(parents=True)
    (folder / "wandb" / "offline-run-1" / "run-a.wandb").touch()
    assert find_runs(tmp_path) == [folder]
