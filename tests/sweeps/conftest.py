"""A folder in which runs of a sweep can be hindered."""

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
