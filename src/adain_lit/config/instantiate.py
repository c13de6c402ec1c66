"""Build objects from nodes with ``_target_``, with keys and types checked first."""

import inspect
import types
import typing
from typing import Any

import hydra
from hydra.utils import get_object
from omegaconf import DictConfig

from adain_lit.config.messages import nearest
from adain_lit.errors import InputError


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
            raise InputError(f"no key {key}.{name}; {nearest(name, list(parameters), prefix=key + '.')}")
        value = node[name]
        allowed = _scalar_types(hints.get(name))
        if allowed and not isinstance(value, allowed):
            wanted = " or ".join("null" if t is types.NoneType else t.__name__ for t in allowed)
            raise InputError(f"{key}.{name} is {value!r}; needed is {wanted}")


def _scalar_types(hint: Any) -> tuple[type, ...]:
    """Types that a value may have, where the hint is a scalar or an optional one; empty where anything goes."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not all(option in (int, float, bool, str, types.NoneType) for option in options):
        return ()
    return (*options, int) if float in options else tuple(options)
