"""What users type, made into what Hydra's grammar reads: the order of the arguments, and paths with any character."""

import os
import re
import shlex
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse

from adain_lit.config.overrides import quoted
from adain_lit.errors import InputError

_PATH = re.compile(
    r"\+{0,2}(ckpt_path|resume|output|output_root|encoder|loss_encoder|compare\.\w+|data\.(val_)?(content|style)_dir"
    r"|model\.(encoder|decoder|loss_encoder|teacher|styles|add_to|normal_style|normal_network)"
    r"|method\.\w+\.(source|encoder)|hydra\.(run|sweep)\.dir)=(?P<path>.+)",
    re.DOTALL,
)
"""An override of a key that holds a path, or a name in place of one."""


def prepared(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command as Hydra takes them: options first, and paths quoted where its grammar needs that.

    Args:
        arguments: of the command line, options and overrides in any order.

    Raises:
        InputError: for an option that Hydra does not have, or an override that its grammar refuses.

    Example:
        >>> prepared(["data=demo", "-m", "ckpt_path=runs/a (1).ckpt"])
        ['-m', 'data=demo', "ckpt_path='runs/a (1).ckpt'"]
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]  # argparse's own prints its usage and leaves
    parsed = parser.parse_intermixed_args(list(arguments))
    overrides = list(parsed.overrides)
    for argument in arguments:
        if argument.encode(errors="ignore").decode() != argument:  # bytes that are no text arrive as lone surrogates
            raise InputError(f"{argument!r} is not UTF-8; rename the file")
    options, remaining = [], list(overrides)
    for argument in arguments:
        if remaining and argument == remaining[0]:
            remaining.pop(0)
        else:
            options.append(argument)
    return [*options, *(_readable(override, sweeps=parsed.multirun) for override in overrides)]


def _refuse(message: str) -> NoReturn:
    raise InputError(f"{message}; --help lists the keys, --hydra-help Hydra's own options")


def _readable(override: str, *, sweeps: bool) -> str:
    """An override that Hydra's grammar reads as it was meant."""
    key, equals, value = override.partition("=")
    if _PATH.fullmatch(override) and "${" in value and _has_no_interpolation(value):
        # OmegaConf reads a backslash before it as "not an interpolation", and two as one backslash
        literal = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", os.path.expanduser(value))
        return f"{key}={quoted(literal)}"
    if _PATH.fullmatch(override) and not _is_understood(override, value, sweeps=sweeps):
        return f"{key}={quoted(os.path.expanduser(value))}"
    if _parsed(override) is not None:
        return override
    literal = f"{key}={quoted(value)}"
    if not equals or _parsed(literal) is None:
        raise InputError(f"{override!r} is neither an option nor a setting; give KEY=VALUE, --help lists the keys")
    raise InputError(f"Hydra's grammar does not take the value of {override}; quote it: {shlex.quote(literal)}")


def _has_no_interpolation(path: str) -> bool:
    """Whether ``${`` is part of a file's name: of one that is there, or where no interpolation can be read."""
    if os.path.lexists(os.path.expanduser(path)):
        return True
    try:
        parse(path)
    except OmegaConfBaseException:
        return True
    return False


def _is_understood(override: str, path: str, *, sweeps: bool) -> bool:
    """Whether Hydra's grammar reads the path that was typed, or something that only its own notation can mean."""
    parsed = _parsed(override)
    if parsed is None:
        return False
    if not parsed.is_sweep_override() and parsed.value() in (path, None):
        return True
    if os.path.lexists(os.path.expanduser(path)):
        return False
    if parsed.is_sweep_override():
        return sweeps or not parsed.is_choice_sweep()
    return path[0] in "'\"[{" or "${" in path  # quoted, a list, a dictionary, an interpolation


def _parsed(override: str) -> Override | None:
    """The override as Hydra reads it; None if it does not."""
    try:
        return OverridesParser.create().parse_override(override)
    except (HydraException, RecursionError):
        return None
