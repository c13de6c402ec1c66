"""The CSV log: rows merged by step, right after a kill and a resume; loggers that fail."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger

from adain_lit.loggers.csv import MetricsFile, log_everywhere
from adain_lit.runs.rows import read_rows


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_values_of_a_step_share_a_row_and_new_values_get_a_column(tmp_path: Path) -> None:
    log = MetricsFile(tmp_path / "metrics.csv")
    log.log_metrics({"a": 1.0}, 1)
    log.log_metrics({"a": 2.0}, 2)
    log.log_metrics({"b": 0.5}, 2)
    log.save()
    log.log_metrics({"c": 7.0}, 2)
    log.finalize("success")
    assert rows(log.path) == [
        {"step": "1", "a": "1.0", "b": "", "c": ""},
        {"step": "2", "a": "2.0", "b": "0.5", "c": "7.0"},
    ]


def test_a_resumed_log_drops_the_rows_that_are_written_again(tmp_path: Path) -> None:
    """Oracle: the log of a run that was never broken off."""
    broken, whole = MetricsFile(tmp_path / "broken.csv"), MetricsFile(tmp_path / "whole.csv")
    for step in range(1, 6):
        broken.log_metrics({"a": float(step)}, step)
    broken.save()
    resumed = MetricsFile(broken.path)
    for step in range(4, 8):
        resumed.log_metrics({"a": float(step)}, step)
    resumed.save()
    for step in range(1, 8):
        whole.log_metrics({"a": float(step)}, step)
    whole.save()
    assert rows(broken.path) == rows(whole.path)


def test_a_half_written_row_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,a\n1,0.5\n2,0.")
    assert read_rows(path) == (["step", "a"], [{"step": "1", "a": "0.5"}])


def test_a_logger_that_fails_is_reported_once_and_the_others_get_the_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Dead(CSVLogger):
        def log_metrics(self, *args: Any, **kwargs: Any) -> None:
            raise ConnectionResetError("Connection lost")

    file = MetricsFile(tmp_path / "metrics.csv")
    dead = Dead(tmp_path)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            log_everywhere([dead, file], {"a": float(step)}, step)
    file.save()
    assert [row["a"] for row in rows(file.path)] == ["1.0", "2.0"]
    assert [r.message for r in caplog.records] == [
        "Dead fails (ConnectionResetError: Connection lost); going on without it"
    ]
