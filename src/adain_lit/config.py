"""Hydra: where the configuration lies, what it may refer to, and one clear line for every mistake in it."""

import difflib
import functools
import inspect
import logging
import os
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from hydra.types import RunMode
from hydra.utils import get_object
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from adain_lit import processes
from adain_lit.errors import InputError
from adain_lit.overrides import sweep_folder, unresolved

log = logging.getLogger(__name__)


def conf_dir() -> Path:
    """The configuration tree: ``adain_lit/conf`` in an installed wheel, ``conf`` beside ``src`` in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def run_command(task: Callable[[DictConfig], Any], config_name: str) -> None:
    """Run `task` with the configuration that the command line composes.

    Mistakes of a person end in one line on the standard error and exit status 2; HYDRA_FULL_ERROR=1 shows where they
    come from. In a multirun the other jobs go on, and the status is 2 in the end. A process that lost the connection
    to another ends with one line, too.
    """

    @functools.wraps(task)
    def job(cfg: DictConfig) -> Any:
        processes.number_the_log()
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"  # for processes that the task starts
        try:
            return task(cfg)
        except Exception as error:
            line = one_line(error)
            if is_multirun():
                log.error("this job failed: %s", line or "", exc_info=full or line is None)
                raise
            if full or line is None:
                raise
            _leave(config_name, line, error)
        finally:
            os.environ["HYDRA_FULL_ERROR"] = "1"

    register_resolvers()
    full = os.environ.get("HYDRA_FULL_ERROR", "0") not in ("", "0")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then hands errors through instead of printing them
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except Exception as error:
        line = one_line(error)
        if full or line is None:
            raise
        _leave(config_name, line, error)
    finally:
        os.environ["HYDRA_FULL_ERROR"] = "1" if full else "0"


def _leave(command: str, line: str, error: BaseException) -> NoReturn:
    lost = any(processes.connection_lost(cause) for cause in _causes(error))
    processes.leave(f"adain_lit.{command}: error: {line}", lost=lost)


def instantiate(node: DictConfig, key: str, **extra: Any) -> Any:
    """Build the object that a node with ``_target_`` describes, after checking its other keys against the signature.

    Args:
        node: ``_target_`` and its keyword arguments.
        key: where the node stands in the configuration, for messages.
        extra: further arguments that no configuration can hold.

    Raises:
        InputError: for a key that the target does not take, or a value of another type.
    """
    check_arguments(node, key)
    return hydra.utils.instantiate(node, _convert_="all", **extra)


def check_arguments(node: DictConfig, key: str) -> None:
    """Hold the keys and the types of a node's values against the signature of its ``_target_``."""
    target = get_object(node["_target_"])
    function = target.__init__ if inspect.isclass(target) else target
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    hints = typing.get_type_hints(inspect.unwrap(function))
    for name in map(str, node):
        if name.startswith("_"):
            continue
        if name not in parameters:
            raise InputError(f"no key {key}.{name}; {_nearest(name, list(parameters), prefix=key + '.')}")
        value = node[name]
        allowed = _scalar_types(hints.get(name))
        if allowed and not isinstance(value, allowed):
            wanted = " or ".join("null" if t is types.NoneType else t.__name__ for t in allowed)
            raise InputError(f"{key}.{name} is {value!r}; needed is {wanted}")


def one_line(error: BaseException) -> str | None:
    """The message for a mistake of a person, in one line; None for anything else, which is a defect of ours."""
    for cause in _causes(error):
        if isinstance(cause, InputError):
            return str(cause)
        if processes.connection_lost(cause):
            reason = " ".join(str(cause).split())
            return f"rank {processes.rank()} lost the connection to another process: {reason:.200}"
    if isinstance(error, MissingConfigException):
        name = str(error.missing_cfg_file)
        group, _, option = name.rpartition("/")
        own = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))  # Hydra tells none for NAME=[A,B]
        return f"no {group or 'configuration'} {option!r}; there are {', '.join(error.options or own)}"
    text = " ".join(str(error).split())
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        where = re.search(r"full_key: (\S+)", text)
        text = f"{where[1] if where else 'configuration'}: {' '.join(str(error.__cause__).split())}"
    if isinstance(error, ConfigCompositionException) and (match := re.search(r"Could not override '([^']+)'", text)):
        key = match[1]
        if "No match in the defaults list" in text:
            return f"no group {key!r}; --help lists the groups and their choices"
        return f"no key {key}; {_nearest(key, _known_keys())} (a key that its class takes is added by +{key}=VALUE)"
    if isinstance(error, MissingMandatoryValue):
        key = text.removeprefix("Missing mandatory value: ").split(" ")[0]
        return f"{key} is not set; give {key}=VALUE"
    if isinstance(error, HydraException | OmegaConfBaseException | MisconfigurationException):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return None


def register_resolvers() -> None:
    """Make the functions that the configuration files call known to OmegaConf."""
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


def run_folder(resume: str | None, root: str, name: str, now: str) -> str:
    """Folder of a run, the same in all of its processes: a new one, or the one that is gone on with.

    Args:
        resume: None; ``last`` for the run of that name which was trained last; or the folder of a run.
        root: folder of all runs.
        name: name of the run.
        now: date and time, for a new folder; a run under SLURM is named after its job.

    Raises:
        InputError: if there is nothing to go on with.
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
        if not last_checkpoint(Path(resume)).is_file():
            raise InputError(f"resume={resume}: no {last_checkpoint(Path(resume))}; give last or the folder of a run")
        return resume
    checkpoints = Path(root, name).glob("*/checkpoints/last.ckpt")
    runs = sorted((path.stat().st_mtime, str(path.parents[1])) for path in checkpoints)
    if not runs:
        raise InputError(f"resume=last: no run with a checkpoint in {Path(root, name)}; start one without resume")
    return runs[-1][1]


def is_multirun() -> bool:
    """Whether this run is a job of a sweep."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps its newest checkpoint."""
    return run / "checkpoints" / "last.ckpt"


def coco_folder(root: str, split: str) -> str:
    """Folder of COCO's ``train`` or ``val`` pictures below `root`: of 2014, the paper's, or of 2017."""
    candidates = [Path(root, base, f"{split}{year}") for year in (2014, 2017) for base in ("coco", "coco/images", "")]
    return str(next((path for path in candidates if path.is_dir()), candidates[0]))


def hydra_subfolder() -> str | None:
    """Where Hydra keeps the configuration in a run folder; None in all processes but the first."""
    return None if processes.rank() else ".hydra"


def wandb_offline() -> bool:
    """W&B stays offline unless the user's environment says WANDB_MODE=online."""
    return os.environ.get("WANDB_MODE", "offline") != "online"


def _known_keys() -> list[str]:
    """Keys of the default configuration of every command."""
    register_resolvers()
    keys: list[str] = []
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        for name in ("train", "evaluate", "benchmark"):
            keys += _flatten(hydra.compose(name))
    return keys


def _flatten(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in map(str, node):
        key = f"{prefix}{name}"
        yield key
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            child = node[name]
            if isinstance(child, DictConfig):
                yield from _flatten(child, key + ".")


def _nearest(name: str, known: Sequence[str], *, prefix: str = "") -> str:
    near = difflib.get_close_matches(name, [k for k in known if k != "self"], n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else "--help lists the keys"


def _scalar_types(hint: Any) -> tuple[type, ...]:
    """Types that a value may have, where the hint is a scalar or an optional one; empty where anything goes."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not all(option in (int, float, bool, str, types.NoneType) for option in options):
        return ()
    return (*options, int) if float in options else tuple(options)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
