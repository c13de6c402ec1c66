"""Finding runs of training and reading what they left: run folders, sweeps, and W&B's offline runs."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from adain_lit.errors import InputError
from adain_lit.runs.rows import read_rows, values_by_step

LEFT_BY_RUNS = ("metrics.csv", "train.log")
"""Files that make a folder a run: its log, and before the first row of that Hydra's."""
WANTED = "give the folder of a run, of a sweep, or of an offline run of W&B"

Source = tuple[Path, ...]
"""Where a run lies: its folder, or W&B's folders of one run, which are several where it was resumed."""


@dataclass(frozen=True)
class Run:
    """What a run of training left.

    Attributes:
        folder: where it lies.
        name: of the run, which others may bear too.
        settings: its configuration by dotted key; empty where it left none.
        rows: the values that were logged, by optimiser step and name.
        grid: its last image grid, None where it made none.
        grid_step: the optimiser step of that.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    rows: Mapping[int, Mapping[str, float]]
    grid: Path | None = None
    grid_step: int = 0


def find_runs(path: Path) -> list[Source]:
    """The runs that a person names: the folder of one, or one above several, in the order of their numbers.

    Raises:
        InputError: if there is none.
    """
    if path.is_file() and (path.suffix == ".wandb" or path.name in LEFT_BY_RUNS):
        path = path.parent
    if not path.is_dir():
        raise InputError(f"{path} is {'no folder' if path.exists() else 'not there'}; {WANTED}")
    sources: dict[tuple[Path, str], list[Path]] = {}
    for folder in _below(path):
        # W&B names the file by the id; the folder of a second run in the same second has a number behind it
        record = next(folder.glob("*.wandb"), folder)
        sources.setdefault((folder.parent, record.name), []).append(folder)
    if not sources:
        raise InputError(f"{path} is no run and holds none (no {LEFT_BY_RUNS[0]}, no .wandb file); {WANTED}")
    return [tuple(folders) for folders in sources.values()]


def read_run(source: Source) -> Run:
    """Read a run.

    Raises:
        InputError: if it logged nothing, or if a file of it is damaged.
    """
    run = _read_offline(source) if _is_offline(source[0]) else _read_folder(source[0])
    if not run.rows:
        raise InputError(f"{run.folder} has no logged values: the run ended before its first; leave it out")
    return run


def _below(folder: Path) -> Iterator[Path]:
    """The folder, if it is a run, or else the runs below it."""
    if _is_offline(folder) or any((folder / name).is_file() for name in LEFT_BY_RUNS):
        yield folder
        return
    for child in sorted(folder.iterdir(), key=_natural):
        if child.is_dir() and not child.is_symlink():
            yield from _below(child)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order in which 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _is_offline(folder: Path) -> bool:
    return any(folder.glob("*.wandb"))


def _read_folder(folder: Path) -> Run:
    path = folder / "metrics.csv"
    try:
        rows = values_by_step(read_rows(path)[1])
    except (ValueError, KeyError, TypeError, csv.Error) as error:  # what bytes that are no log raise
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())}); leave that run out") from error
    path = folder / "config.yaml"
    try:
        settings = _flat(OmegaConf.to_container(OmegaConf.load(path))) if path.is_file() else {}
    except Exception as error:  # whatever the reader of YAML raises on a damaged file
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())[:100]}); leave that run out") from error
    grids = sorted((folder / "grids").glob("step_*.png"))
    last = grids[-1] if grids else None
    step = int(last.stem.removeprefix("step_")) if last else 0
    return Run(folder, str(settings.get("name", folder.name)), settings, rows, last, step)


def _read_offline(folders: Sequence[Path]) -> Run:
    """A run of W&B. Each folder after the first goes on from a checkpoint: the steps from there on count anew."""
    from adain_lit.runs.offline import read_offline_run  # with W&B, which takes seconds

    rows: dict[int, dict[str, float]] = {}
    grid, grid_step = None, 0
    for folder in folders:
        record = read_offline_run(folder)
        logged = [(int(row["trainer/global_step"]), row) for row in record.history if "trainer/global_step" in row]
        rows = {step: row for step, row in rows.items() if not logged or step < logged[0][0]}
        for step, row in logged:
            values = {name: float(value) for name, value in row.items() if _is_ours(name)}
            rows.setdefault(step, {}).update(values)
            if images := row.get("val/pictures.filenames"):
                grid, grid_step = folder / "files" / images[-1], step
    return Run(folders[0], record.name or record.run_id, _flat(record.config), rows, grid, grid_step)


def _is_ours(name: str) -> bool:
    """Whether a value is one of the module's; W&B's of an image have names with a dot."""
    return name.startswith(("train/", "val/")) and "." not in name


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat
