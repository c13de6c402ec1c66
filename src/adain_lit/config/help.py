"""What ``--help`` prints: the choices of every group, and every key with its value and its explanation.

Explanations are the comments of the YAML files and, where a schema defines the keys, the strings below its fields.
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

COLUMN, WIDTH = 44, 120
"""Where explanations begin, and where lines end."""


def help_groups(conf: Path) -> str:
    """The choices of each group in the folder `conf`: a line for each group, wrapped."""
    groups = ((group.name, sorted(path.stem for path in group.glob("*.yaml"))) for group in sorted(conf.glob("*/")))
    return "\n".join(
        textwrap.fill(f"{name + ':':12}{', '.join(choices)}", WIDTH, subsequent_indent=" " * 12)
        for name, choices in groups
    )


def help_keys(cfg: DictConfig, conf: Path, command: str) -> str:
    """Every key of a configuration as it would be set, with its explanation, grouped by the first part of the key."""
    found = _comments(conf, command)
    for group in map(str, cfg):
        schema = OmegaConf.get_type(cfg, group)
        if is_dataclass(schema):
            found |= {f"{group}.{name}": text for name, text in explanations(schema).items()}
    values: Any = OmegaConf.to_container(cfg, resolve=False)
    blocks: dict[str, list[str]] = {}
    for key, value in _leaves(values):
        group, _, rest = key.partition(".")
        if group == "hydra" or key.endswith("._target_"):
            continue
        text = f"{key}={value}"
        said = textwrap.wrap(found.get(key, ""), WIDTH - COLUMN)
        if said and len(text) < COLUMN - 1:
            text = text.ljust(COLUMN) + said.pop(0)
        blocks.setdefault(group if rest else "", []).extend([text, *(" " * COLUMN + line for line in said)])
    return "\n\n".join("\n".join(lines) for lines in blocks.values()).replace("$", "$$")  # Hydra replaces $NAME


def explanations(config: type) -> dict[str, str]:
    """The strings below the fields of a dataclass and of its bases, by field; a subclass may replace them."""
    found: dict[str, str] = {}
    for base in config.__mro__[-2::-1]:  # from the oldest; not object
        if base.__module__ == "types":  # made by make_dataclass, has no source
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for line, text in pairwise(node.body):
            if isinstance(line, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                assert isinstance(line.target, ast.Name)
                found[line.target.id] = " ".join(str(text.value.value).split())
    return found


def _leaves(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Keys, joined by dots, and values as on a command line."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, list):
        yield key, f"[{','.join(map(str, values))}]"
    else:
        yield key, values if isinstance(values, str) else json.dumps(values)


def _comments(conf: Path, command: str) -> dict[str, str]:
    """The comments behind keys in the file of a command and in those of all groups, by key."""
    found: dict[str, str] = {}
    for path in [*sorted(conf.glob("*/*.yaml")), conf / f"{command}.yaml"]:
        text = path.read_text("utf-8")
        group = [] if path.parent == conf or "@package _global_" in text else [path.parent.name]
        parents: list[str] = []  # of the line, one for each two spaces that it is indented
        for match in re.finditer(r"^((?:  )*)([\w]+):(?:[^#\n]* # *(.+))?", text, re.M):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            if match[3]:
                found.setdefault(".".join([*group, *parents]), match[3])
    return found
