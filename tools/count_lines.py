"""``python tools/count_lines.py [FOLDER]``: lines of the package by kind (docs/decisions/0064)."""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path


def kinds(text: str) -> list[str]:
    """The kind of each line: code, docstring, example, comment or blank; code with a comment behind it is code."""
    lines = text.splitlines()
    found = ["code" if line.strip() else "blank" for line in lines]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            kind = "docstring"  # also the strings below constants and fields
            for i in range(node.lineno - 1, node.end_lineno or node.lineno):
                kind = "example" if lines[i].strip() == "Example:" else kind
                found[i] = "docstring" if lines[i].strip() == '"""' else kind
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row = token.start[0] - 1
        if token.type == tokenize.COMMENT and lines[row].strip().startswith("#"):
            found[row] = "comment"
    return found


def main() -> None:
    """Print a row for each package, and the sum."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "src"
    rows: dict[str, Counter[str]] = {}
    for path in sorted([*source.glob("adain_lit/**/*.py"), *source.glob("hydra_plugins/**/*.py")]):
        parts = path.relative_to(source).parts
        name = parts[1] if parts[0] == "adain_lit" and len(parts) > 2 else parts[0]
        for key in (name, "all"):
            rows.setdefault(key, Counter()).update(kinds(path.read_text("utf-8")))
    rows["all"] = rows.pop("all")
    columns = ("code", "docstring", "example", "comment", "blank")
    for name, row in rows.items():
        counts = "  ".join(f"{column} {row[column]:5}" for column in columns)
        sys.stdout.write(f"{name:15} {row.total():6}  {counts}\n")


if __name__ == "__main__":
    main()
