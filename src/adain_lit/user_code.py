"""Objects of a user's own modules, which the configuration names: ``model.fusion=my_module.my_fusion``.

A configuration is the user's, so what it names is imported. A checkpoint or a .safetensors file may come from anybody,
so a module that it names is imported only if the environment variable ``ADAIN_IMPORT`` lists it.
"""

import os
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adain_lit.errors import InputError

VARIABLE = "ADAIN_IMPORT"
"""Environment variable: modules, separated by commas, that may be imported because a file names them."""
SETTINGS = ("fusion", "style_statistic", "encoder", "loss_encoder")
"""Settings that may name an object of the user's."""
FILE_SUFFIXES = (".bin", ".ckpt", ".pt", ".pth", ".safetensors", ".tar")
_imported: set[str] = set()


def is_dotted(name: object) -> bool:
    """Whether a setting names an object in a module rather than one of ours or a file.

    Example:
        >>> is_dotted("my_module.my_fusion"), is_dotted("adain"), is_dotted("encoder.pth")
        (True, False, False)
    """
    text = str(name)
    return bool(re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", text)) and not text.endswith(FILE_SUFFIXES)


def import_object(name: str, what: str) -> Any:
    """The object of a dotted name.

    Args:
        name: ``module.object`` or ``package.module.object``.
        what: what it is to be, for messages.

    Raises:
        InputError: if there is no such module, or no such object in it.

    Example:
        >>> import_object("math.tau", "number")
        6.283185307179586
    """
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"{what} {name} cannot be imported: {error}; run in the folder of the module with python -m, or put that "
            "folder on PYTHONPATH"
        ) from error
    _imported.add(name.partition(".")[0])
    return found


def require_trusted(settings: Mapping[str, Any], source: str | Path) -> None:
    """Refuse settings of a file that name modules which neither the configuration nor the user has named.

    Args:
        settings: of a file.
        source: the file, for the message.

    Raises:
        InputError: for the first such module.

    Example:
        >>> require_trusted({"fusion": "their_module.fusion"}, "best.ckpt")
        Traceback (most recent call last):
        adain_lit.errors.InputError: best.ckpt has the fusion their_module.fusion, code that loading does not run ...
    """
    trusted = _imported | set(filter(None, os.environ.get(VARIABLE, "").split(",")))
    for key in SETTINGS:
        values = settings.get(key)
        for value in values if isinstance(values, list) else [values]:
            module = str(value).partition(".")[0]
            if isinstance(value, str) and is_dotted(value) and module not in trusted:
                raise InputError(
                    f"{source} has the {key} {value}, code that loading does not run by itself; if you trust it, set "
                    f"the environment variable {VARIABLE}={module}"
                )
