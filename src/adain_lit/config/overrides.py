"""Which settings make a training what it is, and the names that folders get from those of a command."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf

MAY_CHANGE = {"num_workers", "cache", "compile", "channels_last", "val_pairs", "max_pixels"}
"""Arguments that a resumed run may give other values: they change no weight beyond rounding."""
NOT_OF_THE_TRAINING = {"launcher", "logger", "callbacks", "sweep", "output_root", "group", "tags", "wandb_id", "hydra"}
"""Groups and keys of the configuration that change none either."""


def sweep_folder(name: str | None, overrides: Sequence[str]) -> str:
    """Name of a sweep's folder, which the same command finds again.

    Args:
        name: the one that was given; None: it says what is swept, and has a checksum of all settings.
        overrides: of the command.
    """
    if name is not None:
        return name
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    fixed = [str(o.value()) for o in parsed if o.key_or_group == "experiment" and not o.is_sweep_override()]
    swept = sorted(o.get_key_element().lstrip("+").rpartition(".")[2] for o in parsed if o.is_sweep_override())
    settings = " ".join(sorted({override for override in overrides if _matters(override.lstrip("+~").split("=")[0])}))
    return f"{'-'.join(fixed + swept) or 'sweep'}_{_digest(settings)}"


def job_folder(name: str, swept: Mapping[str, str]) -> str:
    """Name of a job's folder in a sweep: the run's name, and the settings that differ from job to job."""
    parts = [f"{key}={value}" for key, value in sorted(swept.items()) if (key, value) != ("experiment", name)]
    text = "_".join([name, *parts])
    readable = re.sub(r"[^\w.=+-]", "_", text)
    return readable if readable == text and len(text) <= 120 else f"{readable[:113]}_{_digest(text)}"


def unresolved(overrides: Any) -> list[str]:
    """Overrides as they were given: what they refer to may not be known yet, and may differ from job to job."""
    given: Any = OmegaConf.to_container(overrides, resolve=False)
    return list(map(str, given))


def of_the_training(config: DictConfig) -> dict[str, Any]:
    """The values of a configuration by key, but those that change no weight: where files go, who logs, what is fast."""
    chosen = [str(key) for key in config if key not in NOT_OF_THE_TRAINING]
    return {key: value for name in chosen for key, value in _leaves(config[name], name) if _matters(key)}


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """The values of nested dictionaries, with their keys joined by dots."""
    if isinstance(value, DictConfig):
        for name in map(str, value):
            yield from _leaves(None if OmegaConf.is_missing(value, name) else value[name], f"{key}.{name}")
    else:
        yield key, OmegaConf.to_container(value, resolve=True) if isinstance(value, ListConfig) else value


def _matters(key: str) -> bool:
    """Whether a setting changes the weights."""
    return key.split(".")[0] not in NOT_OF_THE_TRAINING and key.rpartition(".")[2] not in MAY_CHANGE


def quoted(text: str) -> str:
    """A text as a value of an override, whatever is in it."""
    return QuotedString(text, Quote.single).with_quotes()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
