"""Sweeps that a test made, and one that is hindered."""

import csv
import os
from pathlib import Path

import pytest


@pytest.fixture
def hinder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the files that hinder runs; the current one is `tmp_path`, and jobs can import the tests."""
    monkeypatch.chdir(tmp_path)
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    folder = tmp_path / "hinder"
    folder.mkdir()
    return folder


def only_sweep(folder: Path) -> Path:
    (found,) = (folder / "outputs" / "multirun").iterdir()
    return found


def statuses(sweep: Path) -> dict[str, str]:
    with (sweep / "sweep.csv").open(newline="") as file:
        return {row["job"]: row["status"] for row in csv.DictReader(file)}


def under_way(folder: Path) -> list[Path]:
    """Logs of the jobs that have made some steps."""
    logs = (folder / "outputs" / "multirun").glob("*/*/metrics.csv")
    return [log for log in logs if log.read_text().count("\n") > 3]
