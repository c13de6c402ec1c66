"""Text of ``--help``: the choices of each group, and each key with its value and explanation.

Explanations are the comments in the YAML files and, for keys defined by a schema, the strings below its fields.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from adain_lit.errors import InputError

_OF_A_RUN = {"${hydra:runtime.output_dir}": "RUN", "${hydra:runtime.choices.experiment}": "EXPERIMENT"}
"""Words of ``--help`` for interpolations that have no value before a run begins."""
COLUMN, WIDTH = 44, 120
"""Column where explanations begin, and maximum line length, in characters."""


def help_groups(conf: Path) -> str:
    """List the choices of each group in the folder `conf`, one wrapped line for each group.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "logger").mkdir()
        ...     Path(folder, "logger", "csv.yaml").touch()
        ...     help_groups(Path(folder))
        'logger:     csv'
    """
    groups = ((group.name, sorted(path.stem for path in group.glob("*.yaml"))) for group in sorted(conf.glob("*/")))
    return "\n".join(
        textwrap.fill(f"{name + ':':12}{', '.join(choices)}", WIDTH, subsequent_indent=" " * 12)
        for name, choices in groups
    )


def help_keys(cfg: DictConfig, conf: Path, command: str) -> str:
    r"""List every key of a configuration as ``key=value`` with its explanation, grouped by the first part of the key.

    Args:
        cfg: the composed configuration.
        conf: the configuration tree, whose comments are read.
        command: name of the command, whose file ``conf/COMMAND.yaml`` is read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.yaml").write_text("seed: 0  # of everything random\n")
        ...     help_keys(OmegaConf.create({"seed": 0}), Path(folder), "train")
        'seed=0                                      of everything random'
    """
    found = _comments(conf, command)
    for group in map(str, cfg):
        schema = OmegaConf.get_type(cfg, group)
        if is_dataclass(schema):
            found |= {f"{group}.{name}": text for name, text in explanations(schema).items()}
    values: Any = OmegaConf.to_container(cfg, resolve=False)
    named = _named({group: node for group, node in values.items() if group != "hydra"})
    resolved = OmegaConf.create(named)
    blocks: dict[str, list[str]] = {}
    for key, value in _leaves(named):
        group, _, rest = key.partition(".")
        if key.endswith("._target_"):
            continue
        text = f"{key}={_resolved(resolved, key, value)}"
        said = textwrap.wrap(found.get(key, ""), WIDTH - COLUMN)
        if said and len(text) < COLUMN - 1:
            text = text.ljust(COLUMN) + said.pop(0)
        blocks.setdefault(group if rest else "", []).extend([text, *(" " * COLUMN + line for line in said)])
    return "\n\n".join("\n".join(lines) for lines in blocks.values()).replace("$", "$$")  # Hydra fills in $NAME


def explanations(config: type) -> dict[str, str]:
    """The strings below the fields of a dataclass and its bases, by field name; those of subclasses take precedence.

    Example:
        >>> from adain_lit.nets import NetConfig
        >>> explanations(NetConfig)["content_layer"]
        'layer that is fused, where the decoder begins (Sec. 6.1)'
    """
    found: dict[str, str] = {}
    for base in config.__mro__[-2::-1]:  # from the oldest base on, without object
        if base.__module__ == "types":  # made by make_dataclass, so it has no source
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for line, text in pairwise(node.body):
            if isinstance(line, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                assert isinstance(line.target, ast.Name)
                found[line.target.id] = " ".join(str(text.value.value).split())
    return found


def _named(values: Any) -> Any:
    """A configuration in which a word stands for what is known only once a run begins, such as RUN for its folder."""
    if isinstance(values, dict):
        return {key: _named(value) for key, value in values.items()}
    if isinstance(values, str):
        for interpolation, word in _OF_A_RUN.items():
            values = values.replace(interpolation, word)
    return values


def _resolved(cfg: DictConfig, key: str, value: str) -> str:
    """The value of a leaf that is an interpolation; the interpolation itself where it has none yet."""
    if "${" not in value:
        return value
    try:
        ((_, found),) = _leaves(OmegaConf.to_container(OmegaConf.create({"": OmegaConf.select(cfg, key)})))
    except (OmegaConfBaseException, InputError):
        return value
    return found


def _leaves(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Keys joined by dots, and values as typed on a command line."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        yield key, f"[{','.join(map(str, values))}]"
    else:
        yield key, values if isinstance(values, str) else json.dumps(values)


def _comments(conf: Path, command: str) -> dict[str, str]:
    """The comments after keys in the file of a command and in those of all groups, by key."""
    found: dict[str, str] = {}
    for path in [*sorted(conf.glob("*/*.yaml")), conf / f"{command}.yaml"]:
        text = path.read_text("utf-8")
        group = [] if path.parent == conf or "@package _global_" in text else [path.parent.name]
        parents: list[str] = []  # keys that the line is nested in, one for every two spaces of indentation
        for match in re.finditer(r"^((?:  )*)([\w]+):(?:[^#\n]* # *(.+))?", text, re.M):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            if match[3]:
                found.setdefault(".".join([*group, *parents]), match[3])
    return found
