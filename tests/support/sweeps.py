"""Sweeps that a test made."""

import csv
from pathlib import Path


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
