"""Command line: what people type, and what nobody should."""

import random
from argparse import ArgumentParser
from collections.abc import Callable

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from adain_lit import app, export, prepare, report, stylize
from adain_lit.config.command_line import prepared
from adain_lit.errors import InputError

Record = Callable[[int, str], None]
WORDS = [
    "ckpt_path",
    "resume",
    "data.content_dir",
    "seed",
    "model.lr",
    "-m",
    "--cfg",
    "job",
    "--help",
    "null",
    "~x",
    "+a.b",
]
WORDS += [
    "=",
    "==",
    ",",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "#",
    "&",
    "~",
    "$",
    "${",
    "${x}",
    "\\",
    "/",
    " ",
    "é",
    "日",
    "\n",
]
WORDS += [
    "1",
    "1e4",
    "true",
    "glob(*)",
    "choice(a,b)",
    "interval(0,1)",
    "a b",
    "..",
    "*",
    "@",
    ":",
    "%",
    "\0",
]
OPTIONS = [
    "--size",
    "--alpha",
    "--style",
    "--mask",
    "--card",
    "--port",
    "--jobs",
    "--weights",
    "-o",
    "a.jpg",
    "nan",
    "-1",
    "",
]
"""Words of the other five commands, beside those above."""


@pytest.mark.promise(
    fault="a command line that nobody foresaw, for train, evaluate or benchmark",
    cause="one to five arguments of one to six random words each, characters of Hydra's grammar among them; seeded",
    promise="Hydra reads what is passed on to it, anything else is one line",
)
def test_random_overrides(record: Record) -> None:
    chance, refused, tries = random.Random(0), 0, 1000
    parser = OverridesParser.create()
    for _ in range(tries):
        line = ["".join(chance.choices(WORDS, k=chance.randint(1, 6))) for _ in range(chance.randint(1, 5))]
        try:
            arguments = prepared(line)
        except InputError:
            refused += 1
            continue
        for argument in arguments:
            if not argument.startswith("-") and argument not in ("job", "hydra", "all"):
                parser.parse_override(argument)
    record(tries, f"{refused} refused in one line")


@pytest.mark.promise(
    fault="a command line that nobody foresaw, for the other five commands",
    cause="as above, with their options",
    promise="parsed, or refused with status 2",
)
@pytest.mark.parametrize("module", [app, export, prepare, report, stylize], ids=lambda module: module.__name__)
def test_random_options(module: object, record: Record, capsys: pytest.CaptureFixture[str]) -> None:
    chance, refused, tries = random.Random(0), 0, 200
    parser: ArgumentParser = module.parser()  # type: ignore[attr-defined]
    for _ in range(tries):
        line = [
            "".join(chance.choices(WORDS, k=2)) if chance.random() < 0.4 else chance.choice(OPTIONS) for _ in "12345"
        ]
        try:
            parser.parse_args(line)
        except InputError:
            refused += 1
            continue
        except SystemExit as end:
            refused += end.code in (0, 2)
            continue
    record(tries, "parsed or refused")
