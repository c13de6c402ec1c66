"""OmegaConf resolvers: functions that configuration files call, such as ``${run_folder:...}``."""

import os
from pathlib import Path

from omegaconf import OmegaConf

from adain_lit.config.help import help_groups, help_keys
from adain_lit.config.overrides import sweep_folder, unresolved
from adain_lit.config.paths import checkpoints_of, conf_dir
from adain_lit.distributed import processes
from adain_lit.errors import InputError


def register_resolvers() -> None:
    """Register the resolvers that the configuration files use."""
    # cached: once the folder of a new run exists, a second call of run_folder would return another one
    for name, function in (
        ("run_folder", run_folder),
        ("sweep_folder", lambda name, overrides: sweep_folder(name, unresolved(overrides))),
        ("coco_folder", coco_folder),
        ("wandb_offline", wandb_offline),
        ("hydra_subfolder", hydra_subfolder),
        ("nodes", processes.nodes),
        ("processes_per_node", processes.processes_per_node),
    ):
        OmegaConf.register_new_resolver(name, function, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("help_groups", lambda: help_groups(conf_dir()), replace=True)
    OmegaConf.register_new_resolver(
        "help_keys", lambda command, *, _root_: help_keys(_root_, conf_dir(), command), replace=True
    )


def run_folder(resume: str | None, root: str, name: str, now: str) -> str:
    """Folder of a run, the same in all of its processes: a new one, or that of the run to be resumed.

    Args:
        resume: None for a new run; ``last`` for the latest run of that name; or the folder of a run.
        root: folder of all runs.
        name: name of the run.
        now: date and time, which name a new folder; under SLURM the job names it instead.

    Raises:
        InputError: if there is nothing to resume.
    """
    return processes.agree_on_folder(lambda: _run_folder(resume, root, name, now))


def _run_folder(resume: str | None, root: str, name: str, now: str) -> str:
    if resume is None and (step := processes.slurm_step()):
        return str(Path(root, name, step))
    if resume is None:
        folder, count = Path(root, name, now), 1
        while folder.exists():
            count += 1
            folder = Path(root, name, f"{now}-{count}")
        return str(folder)
    if resume != "last":
        if not checkpoints_of(Path(resume)):
            raise InputError(
                f"resume={resume}: no checkpoint in {resume}/checkpoints; give last or the folder of a run"
            )
        return resume
    checkpoints = (path for run in Path(root, name).glob("*") for path in checkpoints_of(run))
    runs = sorted((path.stat().st_mtime, str(path.parents[1])) for path in checkpoints)
    if not runs:
        raise InputError(f"resume=last: no run with a checkpoint in {Path(root, name)}; start one without resume")
    return runs[-1][1]


def coco_folder(root: str, split: str) -> str:
    """Folder of COCO's ``train`` or ``val`` images below `root`: the 2014 release, used in the paper, or that of 2017.

    Args:
        root: folder of all data sets.
        split: ``train`` or ``val``.

    Returns:
        The first candidate that exists; if none does, the default location, for the error message of the data module.

    Example:
        >>> Path(coco_folder("no-such-folder", "train")).as_posix()
        'no-such-folder/coco/train2014'
    """
    candidates = [Path(root, base, f"{split}{year}") for year in (2014, 2017) for base in ("coco", "coco/images", "")]
    return str(next((path for path in candidates if path.is_dir()), candidates[0]))


def hydra_subfolder() -> str | None:
    """Subfolder of a run where Hydra saves the configuration; None in all processes but the first, which writes it."""
    return None if processes.rank() else ".hydra"


def wandb_offline() -> bool:
    """Whether W&B is offline: it is, unless the environment has WANDB_MODE=online."""
    return os.environ.get("WANDB_MODE", "offline") != "online"
