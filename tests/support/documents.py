"""The project's documents and the commands in them."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text: str, program: str) -> list[list[str]]:
    """Arguments of each command line of a module in the shell blocks of a document."""
    joined = "\n".join(code_blocks(text, "bash")).replace("\\\n", " ")
    prefix = f"python -m {program}"
    lines = [line.split("#")[0].strip() for line in joined.splitlines()]
    return [shlex.split(line[len(prefix) :]) for line in lines if re.match(re.escape(prefix) + r"( |$)", line)]
