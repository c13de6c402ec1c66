"""The table of several runs."""

from pathlib import Path

import pytest

from adain_lit.reports.runs_table import as_text, duration, rows_of
from adain_lit.runs.run import Run
from support.run_folders import losses


def test_table_holds_a_row_for_each_run() -> None:
    first = Run(Path(), "a", {"model.norm": "none", "data.batch_size": 8}, losses(4))
    second = Run(Path(), "b", {"model.norm": "batch"}, {1: {"val/loss": 12345.678}})
    rows = rows_of({"one": first, "two": second, "three": Run(Path(), "c", {}, losses(1))})
    assert [row["run"] for row in rows] == ["one", "two", "three"]
    assert rows[0]["settings that differ"] == "model.norm=none\ndata.batch_size=8"
    assert rows[1]["settings that differ"] == "model.norm=batch\ndata.batch_size=not set"
    assert rows[2]["settings that differ"] == "unknown"
    assert [rows[0][f"last {name}"] for name in ("content", "style", "total")] == ["0.375", "0.75", "7.875"]
    assert [rows[1][f"best {name}"] for name in ("content", "style", "total", "step")] == ["-", "-", "1.235e+04", "1"]
    text = as_text(rows)
    assert all(label in text for label in ("one", "two", "three", "model.norm=batch", "0.375"))


def test_a_terminal_is_spared_the_ninth_setting() -> None:
    runs = {name: Run(Path(), name, {f"model.key{i}": name for i in range(20)}, losses(3)) for name in ("a", "b")}
    text = as_text(rows_of(runs))
    assert "model.key7=a" in text
    assert "model.key8" not in text
    assert "and 12 more" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (2e5, "55 h 33 min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
