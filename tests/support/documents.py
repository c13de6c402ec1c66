"""The project's documents and the commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text("utf-8")

GUIDES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (ROOT / "README.md", DOCS / "data.md", *sorted((DOCS / "guides").glob("*.md")))
}
"""Documents with commands that anybody can run, by their path in the project."""


def code_blocks(text: str, language: str) -> list[str]:
    """The contents of the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str, program: str) -> list[list[str]]:
    """Arguments of each command line of a module in the shell blocks of a document."""
    joined = "\n".join(code_blocks(text, "bash")).replace("\\\n", " ")
    prefix = f"python -m {program}"
    lines = [line.split("#")[0].strip() for line in joined.splitlines()]
    return [shlex.split(line[len(prefix) :]) for line in lines if re.match(re.escape(prefix) + r"( |$)", line)]


def guide_commands(program: str) -> list[list[str]]:
    """Arguments of the different command lines of a module in README and guides."""
    found = [arguments for text in GUIDES.values() for arguments in commands(text, program)]
    assert found, program
    return [arguments for i, arguments in enumerate(found) if arguments not in found[:i]]
