"""Explanations of configuration keys, for ``--help``."""

import ast
import inspect
import textwrap
from itertools import pairwise


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
