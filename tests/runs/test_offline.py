"""W&B's files of offline runs, written by W&B itself."""

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import wandb

from adain_lit.errors import InputError
from adain_lit.runs.offline import BLOCK_SIZE, read_offline_run
from adain_lit.runs.run import find_runs, read_run


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three rows, the second not finite, the last longer than a block of the file."""
    run: Any = wandb.init(
        dir=tmp_path_factory.mktemp("offline"), mode="offline", project="p", name="n", config={"a": {"b": 1}}
    )
    run.log({"train/loss": 1.5, "lr": 1, "trainer/global_step": 5})
    run.log({"val/loss": float("nan"), "deep": {"er": 2}, "trainer/global_step": 5})
    run.log({"note": "x" * 2 * BLOCK_SIZE, "val/loss": 0.5, "trainer/global_step": 6})
    run.finish()
    wandb.teardown()  # its service may still be writing
    return Path(run.dir).parent


def test_what_was_logged_is_read_back(offline: Path) -> None:
    record = read_offline_run(offline)
    assert (record.project, record.name, record.config, record.exit_code) == ("p", "n", {"a": {"b": 1}}, 0)
    assert [row["trainer/global_step"] for row in record.history] == [5, 5, 6]
    assert record.history[1]["deep.er"] == 2
    assert record.history[2]["note"] == "x" * 2 * BLOCK_SIZE


def test_parts_of_a_run_that_began_in_the_same_second_are_one_run(offline: Path, tmp_path: Path) -> None:
    """W&B puts a number behind the folder of the second."""
    parts = [copytree(offline, tmp_path / f"{offline.name}{number}") for number in ("", "-1")]
    assert find_runs(tmp_path) == [tuple(parts)]


def test_rows_of_a_run_are_its_losses_by_optimiser_step(offline: Path) -> None:
    (source,) = find_runs(offline.parent)
    run = read_run(source)
    assert source == (offline,)
    assert (run.name, run.settings) == ("n", {"a.b": 1})
    assert repr(run.rows) == repr({5: {"train/loss": 1.5, "val/loss": float("nan")}, 6: {"val/loss": 0.5}})


def test_a_file_cut_off_at_its_end_gives_what_came_before(offline: Path, tmp_path: Path) -> None:
    (whole,) = offline.glob("*.wandb")
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: 2 * BLOCK_SIZE])
    assert [row["trainer/global_step"] for row in read_offline_run(cut).history] == [5, 5]


@pytest.mark.parametrize(("offset", "line"), [(0, "is no W&B run file"), (200, "is damaged at byte")])
def test_a_file_damaged_before_its_end_is_refused(offset: int, line: str, offline: Path, tmp_path: Path) -> None:
    (whole,) = offline.glob("*.wandb")
    content = bytearray(whole.read_bytes())
    content[offset] ^= 0xFF
    (tmp_path / whole.name).write_bytes(content)
    with pytest.raises(InputError, match=line):
        read_offline_run(tmp_path / whole.name)


def test_a_folder_of_several_files_is_refused(tmp_path: Path) -> None:
    for name in ("run-a.wandb", "run-b.wandb"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"holds 2 \.wandb files"):
        read_offline_run(tmp_path)
