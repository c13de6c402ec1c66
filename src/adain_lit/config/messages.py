"""One-line messages for mistakes in a configuration."""

import difflib
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import hydra
from hydra.errors import ConfigCompositionException, HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from adain_lit.distributed import processes
from adain_lit.errors import InputError

_GROUPS = ("data", "method")
"""Groups from which a command may choose nothing."""


def one_line(error: BaseException, command: str = "train") -> str | None:
    """One-line message for a user's mistake; None for any other error, which is a bug.

    Args:
        error: the exception that was raised.
        command: command whose configuration was composed, to suggest the key that was probably meant.

    Example:
        >>> one_line(InputError("no image a.jpg; give the path of an image"))
        'no image a.jpg; give the path of an image'
        >>> one_line(ZeroDivisionError()) is None
        True
    """
    for cause in causes(error):
        if isinstance(cause, InputError):
            return str(cause)
        if type(cause).__module__.startswith("wandb.errors"):  # imported by then, if it raised
            reason = " ".join(str(cause).split())
            return f"W&B: {reason:.200}; run `wandb login`, or leave WANDB_MODE unset to log offline"
        if processes.connection_lost(cause):
            reason = " ".join(str(cause).split())
            return f"rank {processes.rank()} lost the connection to another process: {reason:.200}"
    if isinstance(error, MissingConfigException):
        name = str(error.missing_cfg_file)
        group, _, option = name.rpartition("/")
        own = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))  # Hydra lists none for NAME=[A,B]
        return f"no {group or 'configuration'} {option!r}; there are {', '.join(error.options or own)}"
    text = " ".join(str(error).split())
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        where = re.search(r"full_key: (\S+)", text)
        text = f"{where[1] if where else 'configuration'}: {' '.join(str(error.__cause__).split())}"
    if isinstance(error, ConfigCompositionException):
        return _of_composition(error, command)
    if isinstance(error, MissingMandatoryValue):
        key = text.removeprefix("Missing mandatory value: ").split(" ")[0]
        return f"{key} is not set; give {key}=VALUE"
    if isinstance(error, HydraException | OmegaConfBaseException) or _is_lightnings(error):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return None


def _is_lightnings(error: BaseException) -> bool:
    """Whether the error is Lightning's for a setting that it refuses; one that was not imported has raised none."""
    exceptions = sys.modules.get("lightning.fabric.utilities.exceptions")
    return exceptions is not None and isinstance(error, exceptions.MisconfigurationException)


def _of_composition(error: ConfigCompositionException, command: str) -> str:
    """The message for a key or a value that the configuration does not accept."""
    text = " ".join(str(error).split())
    if "No match in the defaults list" in text and (match := re.search(r"Could not override '([^']+)'", text)):
        return f"no group {match[1]!r}; --help lists the groups and their choices"
    # OmegaConf's message has the reason on the line before "full_key: KEY"
    lines = [line.strip() for line in str(error.__cause__ or error).splitlines()]
    found = next(((reason, key) for reason, key in pairwise(lines) if key.startswith("full_key: ")), None)
    if found is None:
        return text
    reason, key = found[0], found[1].removeprefix("full_key: ")
    if not reason.startswith("Key "):  # a value that does not match the schema
        return f"{key}: {reason}"
    match = re.search(r"Could not override '([^']+)'", text)
    key = match[1] if match else key
    known = _known_keys(command)
    if group := _unchosen(key, known):
        names = ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")))
        return f"{key} is a key of the group {group}, from which nothing is chosen; give {group}=NAME too ({names})"
    line = f"no key {key}; {nearest(key, known)}"
    return f"{line} (a key that its class takes is added by +{key}=VALUE)" if "is not in struct" in reason else line


def _unchosen(key: str, known: Sequence[str]) -> str | None:
    """The group that a key is of, if the command has the group but no choice from it."""
    group = key.partition(".")[0]
    # by default a command has no keys of a group of which it needs none
    return group if group in _GROUPS and not any(name.startswith(f"{group}.") for name in known) else None


def _known_keys(command: str) -> list[str]:
    """All keys of the default configuration of a command."""
    register_resolvers()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        return [*_flatten(hydra.compose(command))]


def _flatten(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in map(str, node):
        key = f"{prefix}{name}"
        yield key
        if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
            child = node[name]
            if isinstance(child, DictConfig):
                yield from _flatten(child, key + ".")


def nearest(name: str, known: Sequence[str], *, prefix: str = "") -> str:
    """Suggest the known name most similar to `name`, or say where the names are listed.

    Args:
        name: the unknown name.
        known: candidates; ``self`` is ignored.
        prefix: put before the suggestion, such as the key of the parent node and a dot.

    Example:
        >>> nearest("batchsize", ["batch_size", "num_workers"], prefix="data.")
        'did you mean data.batch_size?'
    """
    near = difflib.get_close_matches(name, [k for k in known if k != "self"], n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else "--help lists the keys"


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and the chain of its causes, explicit (``raise ... from``) or implicit.

    Example:
        >>> error = KeyError("lr")
        >>> error.__cause__ = ValueError("1e")
        >>> list(causes(error))
        [KeyError('lr'), ValueError('1e')]
    """
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
