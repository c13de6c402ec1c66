"""One clear line for every mistake in a configuration."""

import difflib
import re
from collections.abc import Iterator, Sequence

import hydra
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from adain_lit.distributed import processes
from adain_lit.errors import InputError


def one_line(error: BaseException) -> str | None:
    """The message for a mistake of a person, in one line; None for anything else, which is a defect of ours."""
    for cause in causes(error):
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
        return f"no key {key}; {nearest(key, _known_keys())} (a key that its class takes is added by +{key}=VALUE)"
    if isinstance(error, MissingMandatoryValue):
        key = text.removeprefix("Missing mandatory value: ").split(" ")[0]
        return f"{key} is not set; give {key}=VALUE"
    if isinstance(error, HydraException | OmegaConfBaseException | MisconfigurationException):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return None


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


def nearest(name: str, known: Sequence[str], *, prefix: str = "") -> str:
    """A question after the known name that comes closest, or where the names are listed."""
    near = difflib.get_close_matches(name, [k for k in known if k != "self"], n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else "--help lists the keys"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
