"""Settings that determine the weights of a training, and folder names derived from the overrides of a command."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf

MAY_CHANGE = {"num_workers", "cache", "compile", "channels_last", "val_pairs", "max_pixels"}
"""Arguments that a resumed run may change, because they affect weights by no more than rounding."""
NOT_OF_THE_TRAINING = {"launcher", "logger", "callbacks", "sweep", "output_root", "group", "tags", "wandb_id", "hydra"}
"""Groups and keys of the configuration that do not affect weights at all."""


SWEEPERS = ("grid", "optuna")
"""Choices of the group ``sweeper`` that name a method; others name a sweep."""


def sweep_folder(name: str | None, overrides: Sequence[str]) -> str:
    """Name of a sweep's folder, the same whenever the same command is run.

    Args:
        name: the name given by the user; None builds one from the swept keys and a checksum of all settings.
        overrides: overrides of the command.

    Example:
        >>> sweep_folder(None, ["experiment=ablation_concat", "seed=1,2"])
        'ablation_concat-seed_...'
        >>> sweep_folder(None, ["seed=1,2", "logger=csv"]) == sweep_folder(None, ["seed=1,2"])
        True
    """
    if name is not None:
        return name
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    named = [o for o in parsed if o.key_or_group in ("experiment", "sweeper") and not o.is_sweep_override()]
    fixed = [str(o.value()) for o in named if o.value() not in SWEEPERS]
    swept = sorted(o.get_key_element().lstrip("+").rpartition(".")[2] for o in parsed if o.is_sweep_override())
    # sorted and without settings that affect no weight, so that neither order nor loggers give a new folder
    settings = " ".join(sorted({override for override in overrides if _matters(override.lstrip("+~").split("=")[0])}))
    return f"{'-'.join(fixed + swept) or 'sweep'}_{_digest(settings)}"


def job_folder(sweep: Path, name: str, swept: Mapping[str, str], *, prefix: str = "") -> Path:
    """Folder of a job in a sweep, named after the run and the settings that differ between jobs.

    The name has no character that Hydra's grammar gives a meaning to, so that the path can be typed as a value. Jobs of
    sweeps from before, whose names have ``=``, keep their folders.

    Args:
        sweep: folder of the sweep.
        name: name of the run.
        swept: values of the swept keys in this job.
        prefix: put before the name.

    Example:
        >>> job_folder(Path("sweep"), "adain", {"model.lr": "1e-4", "seed": "2"}).name
        'adain_model.lr-1e-4_seed-2'
    """
    before, now = (sweep / f"{prefix}{_job_name(name, swept, joint)}" for joint in "=-")
    return before if before.is_dir() else now


def _job_name(name: str, swept: Mapping[str, str], joint: str) -> str:
    parts = [f"{key}{joint}{value}" for key, value in sorted(swept.items()) if (key, value) != ("experiment", name)]
    text = "_".join([name, *parts])
    readable = re.sub(r"[^\w.=+-]", "_", text) if joint == "=" else re.sub(r"[^\w.+-]", "_", text, flags=re.ASCII)
    # the digest keeps jobs apart whose names became equal by replacing characters or by cutting
    return readable if readable == text and len(text) <= 120 else f"{readable[:113]}_{_digest(text)}"


def unresolved(overrides: Any) -> list[str]:
    """Overrides as typed: what an interpolation refers to may not exist yet, and may differ between jobs.

    Example:
        >>> unresolved(OmegaConf.create(["name=${model.fusion}"]))
        ['name=${model.fusion}']
    """
    given: Any = OmegaConf.to_container(overrides, resolve=False)
    return list(map(str, given))


def of_the_training(config: DictConfig) -> dict[str, Any]:
    """The values of a configuration that affect weights, by key; output folders, loggers and speed options do not.

    Example:
        >>> of_the_training(OmegaConf.create({"data": {"size": 256, "num_workers": 4}, "logger": {"name": "csv"}}))
        {'data.size': 256}
    """
    chosen = [str(key) for key in config if key not in NOT_OF_THE_TRAINING]
    return {key: value for name in chosen for key, value in _leaves(config[name], name) if _matters(key)}


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The values of nested dictionaries, with keys joined by dots."""
    if isinstance(value, DictConfig):
        for name in map(str, value):
            yield from _leaves(None if OmegaConf.is_missing(value, name) else value[name], f"{key}.{name}")
    else:
        yield key, OmegaConf.to_container(value, resolve=True) if isinstance(value, ListConfig) else value


def _matters(key: str) -> bool:
    """Whether a setting affects the weights."""
    return key.split(".")[0] not in NOT_OF_THE_TRAINING and key.rpartition(".")[2] not in MAY_CHANGE


def quoted(text: str) -> str:
    """Quote a text, so that Hydra takes it as one value whatever characters it contains.

    Example:
        >>> print(quoted("a, b"))
        'a, b'
    """
    return QuotedString(text, Quote.single).with_quotes()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
