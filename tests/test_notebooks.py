"""Every notebook runs from its first cell to its last, and is stored without outputs."""

import os
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from adain_lit import train
from support.commands import run_here, tiny

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(
    path: Path, photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder with nothing but a training run, so that nothing of the checkout is needed."""
    monkeypatch.chdir(tmp_path)
    if path.stem.startswith("03"):
        assert run_here(train.main, tiny(photographs, paintings), monkeypatch) == 0
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert any("image/png" in output["data"] for output in shown)


def run_folder(folder: Path, age: int = 0) -> Path:
    checkpoint = folder / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    os.utime(checkpoint, (1_000_000 - age, 1_000_000 - age))
    return folder


def choose(monkeypatch: pytest.MonkeyPatch, **settings: object) -> tuple[Path, bool]:
    """The run that the first cell of notebook 03 takes, and whether it trained one."""
    trained = []

    def train_one(*arguments: Any, **options: Any) -> None:
        trained.append(run_folder(Path("outputs/enc_adain_dec/new"), age=-1))

    monkeypatch.setattr(subprocess, "run", train_one)
    source = next(cell.source for cell in nbformat.read(NOTEBOOKS[2], as_version=4).cells if cell.cell_type == "code")
    for name, value in settings.items():
        assert f"\n{name} = " in source
        source = source.replace(f"\n{name} = ", f"\n{name} = {value!r} or ")
    names: dict[str, Any] = {}
    exec(source, names)
    return names["run"], bool(trained)


def test_notebook_03_takes_the_newest_run_or_job_of_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_folder(Path("outputs/enc_adain_dec/old"), age=10)
    job = run_folder(Path("outputs/multirun/lambda-1/3"))
    assert choose(monkeypatch) == (job, False)
    assert capsys.readouterr().out == f"the run in {job}\n"
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert choose(monkeypatch) == (".." / job, False)


def test_notebook_03_takes_the_run_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_folder(Path("outputs/enc_adain_dec/other"))
    elsewhere = run_folder(tmp_path / "elsewhere")
    assert choose(monkeypatch, RUN=str(elsewhere)) == (elsewhere, False)


def test_notebook_03_trains_only_if_set_to_or_if_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new = Path("outputs/enc_adain_dec/new")
    monkeypatch.chdir(tmp_path)
    assert choose(monkeypatch) == (new, True)
    assert "no run below outputs/: training one of 20 steps\n" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    run_folder(Path("outputs/enc_adain_dec/old"))
    assert choose(monkeypatch, TRAIN=True) == (new, True)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
