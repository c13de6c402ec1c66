"""What every argparse command does at its end: exit statuses, and one line for what people can cause."""

import errno
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace

import pytest

from adain_lit.cli import EXTRAS, missing_extra, run
from adain_lit.errors import InputError
from support.commands import run_without

PARSER = ArgumentParser(prog="adain_lit.test")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("no images in\n  folder; give another"), 2, "error: no images in folder; give another"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.png"), 2, "error: No space left on device: out.png"),
        (OSError("timed out"), 2, "error: timed out"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
    ],
)
def test_what_people_cause_is_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(arguments: Namespace) -> None:
        raise error

    assert run(PARSER, task, [], resumable=True) == status
    assert capsys.readouterr() == ("", f"adain_lit.test: {line}\n")


def test_the_status_of_the_task_is_that_of_the_command() -> None:
    assert [run(PARSER, lambda arguments, status=status: status, []) for status in (None, 0, 1)] == [0, 0, 1]


def test_defects_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        run(PARSER, lambda arguments: 1 // 0, [])


def test_interrupting_what_cannot_be_continued_promises_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def task(arguments: Namespace) -> None:
        raise KeyboardInterrupt

    assert run(PARSER, task, []) == 130
    assert capsys.readouterr().err == "adain_lit.test: interrupted\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
@pytest.mark.parametrize("lines", [1, 100_000], ids=["flushed at the end", "on the way"])
def test_a_reader_that_leaves_is_no_error(lines: int) -> None:
    program = (
        "import sys\n"
        "from argparse import ArgumentParser\n"
        "from adain_lit.cli import run\n"
        "sys.stdin.readline()\n"  # until the reader has gone
        f"sys.exit(run(ArgumentParser(), lambda arguments: print('line\\n' * {lines}), []))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()
    assert (process.wait(60), process.stderr.read()) == (141, "")
    process.stderr.close()


@pytest.mark.parametrize("command", ["train", "evaluate", "report"])
def test_a_command_without_its_extra_is_one_line_that_names_it(command: str) -> None:
    """In a process that has none of the extra's packages."""
    code = (
        f"import runpy; sys.argv = ['adain-{command}', '.']; runpy.run_module('adain_lit.{command}', None, '__main__')"
    )
    done = run_without(EXTRAS["train"], code)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"adain_lit.{command}: error: ")
    assert line.endswith(" is not installed; pip install 'adain_lit[train]'")


@pytest.mark.parametrize("command", ["stylize", "export", "app", "prepare", "report"])
def test_wrong_option_is_refused_before_anything_slow_is_imported(command: str) -> None:
    slow = ["torch", "matplotlib", "omegaconf", "gradio"]
    code = f"import sys, adain_lit.{command} as command; sys.argv[1:] = ['--nope']; sys.exit(command.main())"
    done = run_without(slow, code)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"adain_lit.{command}: error: ")
    assert line.endswith(f"; see python -m adain_lit.{command} --help")


def test_without_torch_there_is_another_backend() -> None:
    done = run_without(["torch"], "import adain_lit.cli, torch")
    assert done.returncode == 2
    assert done.stderr.endswith(" error: torch is not installed; install it, or stylise with --backend onnx\n")


def test_only_packages_of_extras_are_explained() -> None:
    """What is missing otherwise is a defect, with its traceback."""
    assert missing_extra(ModuleNotFoundError("no", name="numpy")) is None
    assert missing_extra(ImportError("cannot import name 'x' from 'hydra'", name="hydra")) is None
    done = run_without(["numpy"], "import adain_lit.cli, numpy")
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "Traceback (most recent call last):")
