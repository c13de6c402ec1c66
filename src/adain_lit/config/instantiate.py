"""Build objects from nodes with ``_target_``, with keys and types checked first."""

import inspect
import types
import typing
from typing import Any

import hydra
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from adain_lit.config.messages import nearest
from adain_lit.errors import InputError


def instantiate(node: DictConfig, key: str, **extra: Any) -> Any:
    """Build the object that a node with ``_target_`` describes.

    Args:
        node: ``_target_`` and its keyword arguments. OmegaConf has checked the types of a node with a schema; those of
            any other are compared with the signature of the target.
        key: key of the node in the configuration, for messages.
        extra: further arguments that no configuration can hold.

    Raises:
        InputError: for a key that the target does not take, or a value of another type.
    """
    _check(node, key)
    return hydra.utils.instantiate(node, _convert_="all", **extra)


def _check(node: DictConfig, key: str) -> None:
    schema = OmegaConf.get_type(node)
    function: Any = get_object(node["_target_"]) if schema is dict else schema
    known = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else inspect.unwrap(function))
    for name in (name for name in map(str, node) if not name.startswith("_")):
        if name not in known:
            raise InputError(f"no key {key}.{name}; {nearest(name, list(known), prefix=key + '.')}")
        allowed = _scalar_types(hints.get(name)) if schema is dict else ()
        if allowed and not isinstance(node[name], allowed):
            wanted = " or ".join("null" if t is types.NoneType else t.__name__ for t in allowed)
            raise InputError(f"{key}.{name} is {node[name]!r}; needed is {wanted}")


def _scalar_types(hint: Any) -> tuple[type, ...]:
    """Types that a value may have, where the hint is a scalar or an optional one; empty where anything goes."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not all(option in (int, float, bool, str, types.NoneType) for option in options):
        return ()
    return (*options, int) if float in options else tuple(options)
