"""Find training runs on disk and read what they left: log, configuration and image grids."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from adain_lit.errors import InputError
from adain_lit.runs.rows import read_rows, values_by_step
from adain_lit.runs.settings import read_settings

RUN_FILES = ("metrics.csv", "train.log")
"""A folder with one of these is a run: its log of values, or Hydra's log, which exists before the first value."""
WANTED = "give the folder of a run or of a sweep"


@dataclass(frozen=True)
class Run:
    """What a training run left.

    Attributes:
        folder: its run folder.
        name: of the run; several runs may share one.
        settings: its configuration by dotted key; empty if it left none.
        rows: logged values by optimiser step and name.
        grid: its last image grid; None if it made none.
        grid_step: the optimiser step of that grid.
        environment: commit, versions, hardware, data and time, as ``environment.json`` has them; empty without one.
    """

    folder: Path
    name: str
    settings: Mapping[str, Any]
    rows: Mapping[int, Mapping[str, float]]
    grid: Path | None = None
    grid_step: int = 0
    environment: Mapping[str, Any] = field(default_factory=dict)


def find_runs(path: Path) -> list[Path]:
    """Run folders at or below a path, in natural order (``2_a`` before ``10_b``).

    Args:
        path: a run folder, a file of one (``metrics.csv``, ``train.log``), or a folder above several.

    Raises:
        InputError: if there is none.

    Example:
        >>> import tempfile
        >>> sweep = Path(tempfile.mkdtemp())
        >>> for name in ("10_b", "2_a"):
        ...     (sweep / name).mkdir()
        ...     (sweep / name / "metrics.csv").touch()
        >>> [run.name for run in find_runs(sweep)]
        ['2_a', '10_b']
    """
    if path.is_file() and path.name in RUN_FILES:
        path = path.parent
    if path.suffix != ".wandb" and not path.is_dir():
        raise InputError(f"{path} is {'no folder' if path.exists() else 'not there'}; {WANTED}")
    folders = list(_below(path)) if path.is_dir() else []
    if not folders:
        if path.suffix == ".wandb" or any(path.rglob("*.wandb")):
            raise InputError(_wandb_advice(path))
        raise InputError(f"{path} is no run and holds none (no {RUN_FILES[0]}); {WANTED}")
    return folders


def read_run(folder: Path) -> Run:
    r"""Read a run folder.

    Raises:
        InputError: if it logged nothing, or if a file of it is damaged.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "config.yaml").write_text("name: adain\nmodel: {lr: 0.1}\n")
        >>> _ = (folder / "metrics.csv").write_text("step,val/loss\n5,1.5\n")
        >>> run = read_run(folder)
        >>> run.name, run.settings["model.lr"], run.rows
        ('adain', 0.1, {5: {'val/loss': 1.5}})
    """
    path = folder / "metrics.csv"
    try:
        rows = values_by_step(read_rows(path)[1])
    except (ValueError, KeyError, TypeError, csv.Error) as error:  # whatever bytes that are no log raise
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())}); leave that run out") from error
    if not rows:
        raise InputError(f"{folder} has no logged values: the run ended before its first; leave it out")
    path = folder / "config.yaml"
    settings = _flat(OmegaConf.to_container(read_settings(path))) if path.is_file() else {}
    grids = sorted((folder / "grids").glob("step_*.png"))
    last = grids[-1] if grids else None
    step = int(last.stem.removeprefix("step_")) if last else 0
    return Run(folder, str(settings.get("name", folder.name)), settings, rows, last, step, read_environment(folder))


def read_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs at or below some paths that can be read, each once, and one line for each that cannot.

    Raises:
        InputError: if none can be read.

    Example:
        >>> read_runs([Path("no folder")])
        Traceback (most recent call last):
        adain_lit.errors.InputError: no folder is not there; give the folder of a run or of a sweep
    """
    folders: dict[Path, Path] = {}
    runs, failed = [], []
    for path in paths:
        try:
            folders |= {folder.resolve(): folder for folder in find_runs(path)}
        except InputError as error:
            failed.append(str(error))
    for folder in folders.values():
        try:
            runs.append(read_run(folder))
        except InputError as error:
            failed.append(str(error))
    if not runs:
        raise InputError("; ".join(failed))
    return runs, failed


def read_environment(folder: Path) -> dict[str, Any]:
    """What ``environment.json`` of a run says; empty if there is none that can be read."""
    try:
        found = json.loads((folder / "environment.json").read_text("utf-8"))
    except (OSError, ValueError):  # left by an old version, or cut off
        return {}
    return found if isinstance(found, dict) else {}


def _below(folder: Path) -> Iterator[Path]:
    """The folder itself if it is a run, otherwise the runs below it."""
    if any((folder / name).is_file() for name in RUN_FILES):
        yield folder
        return
    for child in sorted(folder.iterdir(), key=_natural):
        if child.is_dir() and not child.is_symlink():
            yield from _below(child)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts 10 after 9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _wandb_advice(path: Path) -> str:
    """What to do with a file or folder of W&B, which are not read here: every run has its values in metrics.csv too."""
    run = next((folder for folder in path.resolve().parents if (folder / RUN_FILES[0]).is_file()), None)
    instead = f"give its run folder {run}" if run else f"give the run folder that holds {RUN_FILES[0]}"
    return f"{path} is W&B's own record; {instead}, or look at it with `wandb leet {path}` or `wandb sync {path}`"


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return flat
