"""Runs that a test made: find them, read them, compare them to the bit."""

import csv
from pathlib import Path
from typing import Any

import torch


def only_run(folder: Path, name: str = "enc_adain_dec") -> Path:
    (found,) = (folder / "outputs" / name).iterdir()
    return found


def last(run_folder: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run_folder / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint


def log_of(run_folder: Path) -> list[dict[str, str]]:
    """Rows of metrics.csv without the one column that measures time."""
    with (run_folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "train/pairs_per_second"} for row in csv.DictReader(file)]


def assert_same(a: Any, b: Any) -> None:
    """Equal to the bit, through dictionaries and lists."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def assert_same_runs(a: Path, b: Path) -> None:
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "encoder", "global_step"):
        assert_same(last(a)[key], last(b)[key])
    assert log_of(a) == log_of(b)
