"""Build objects from nodes with ``_target_``, after checking keys and types."""

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
        node: ``_target_`` and its keyword arguments. If the node has a schema, OmegaConf has already checked the types;
            otherwise scalars are checked against the signature of the target.
        key: key of the node in the configuration, for messages.
        extra: further keyword arguments, such as objects that a configuration cannot contain.

    Raises:
        InputError: for a key that the target does not accept, or a value of the wrong type.

    Example:
        >>> instantiate(OmegaConf.create({"_target_": "torch.nn.PReLU", "init": 0.1}), "activation")
        PReLU(num_parameters=1)
    """
    _check(node, key)
    return hydra.utils.instantiate(node, _convert_="all", **extra)


def _check(node: DictConfig, key: str) -> None:
    schema = OmegaConf.get_type(node)
    function: Any = get_object(node["_target_"]) if schema is dict else schema
    known = inspect.signature(function).parameters
    # with **kwargs any key may be right, and the target itself has to complain
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
    """Types that a value may have if the hint is a scalar or an optional scalar; empty if the value is not checked."""
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not all(option in (int, float, bool, str, types.NoneType) for option in options):
        return ()
    # YAML reads 1 as an int, which is a fine float
    return (*options, int) if float in options else tuple(options)
