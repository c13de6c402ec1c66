"""What the commands share: threads that wait passively, one line for every error, and the exit statuses.

An installation without extras can stylise, export and serve. Where a command needs a package of an extra that is not
installed, it ends with one line that names the extra, wherever the import is.

Commands import this before torch, whose OpenMP threads otherwise spin while they wait for each other. On cores that are
busy with loader workers or a browser, that makes a training step several times slower.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from adain_lit.errors import InputError
from adain_lit.io.files import BROKEN_PIPE, discard_stdout

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

INTERRUPTED = 130
"""Exit status that shells use for a process ended by SIGINT (128 plus the signal's number)."""
EXTRAS = {
    "train": [
        "lightning",
        "torchmetrics",
        "hydra",
        "omegaconf",
        "wandb",
        "tensorboard",
        "matplotlib",
        "submitit",
        "filelock",
        "pooch",
        "requests",
        "rich",
        "skimage",
    ],
    "video": ["av"],
    "export": ["onnx", "onnxruntime", "onnxscript"],
    "app": ["gradio"],
    "sweeps": ["optuna"],
}
"""Modules of each extra, see ``pyproject.toml``."""


def run(
    parser: ArgumentParser,
    task: Callable[[Namespace], int | None],
    argv: Sequence[str] | None = None,
    *,
    resumable: bool = False,
) -> int:
    """Parse a command line, run `task` on it, and turn what people can cause into one line on stderr.

    Args:
        parser: the command's parser; its ``prog`` starts every line.
        task: does the work; its result is the exit status, None means 0.
        argv: the arguments; None takes those of the process.
        resumable: whether running the same command again continues after Ctrl-C.

    Returns:
        The exit status: that of `task`, 2 for unusable input and for files that cannot be read or written, 130 for
        Ctrl-C, 141 if the reader of standard output has gone. Any other exception is a defect and is raised.

    Example:
        >>> parser = ArgumentParser(prog="adain_lit.count")
        >>> _ = parser.add_argument("words", nargs="*")
        >>> run(parser, lambda arguments: print(len(arguments.words)), ["two", "words"])
        2
        0
    """

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m {parser.prog} --help")

    parser.error = refuse  # type: ignore[method-assign]  # argparse's own prints the whole usage first
    try:
        status = task(parser.parse_args(argv)) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        return _fail(parser, f"error: {error}", 2)
    except BrokenPipeError:
        discard_stdout()
        return BROKEN_PIPE
    except OSError as error:
        named = error.filename and error.strerror
        return _fail(parser, f"error: {error.strerror}: {error.filename}" if named else f"error: {error}", 2)
    except KeyboardInterrupt:
        hint = "; run the same command again to continue" if resumable else ""
        return _fail(parser, f"interrupted{hint}", INTERRUPTED)


def train() -> None:
    """Entry point of ``adain-train``; its command line is checked before torch is imported, which takes seconds."""
    _run_with_hydra("train", lambda: import_module("adain_lit.training.arguments").complete_command_line())


def evaluate() -> None:
    """Entry point of ``adain-evaluate``, as `train`."""
    _run_with_hydra("evaluate")


def benchmark() -> None:
    """Entry point of ``adain-benchmark``, as `train`."""
    _run_with_hydra("benchmark")


def _run_with_hydra(command: str, complete: Callable[[], None] | None = None) -> None:
    import_module("adain_lit.config.hydra").run_command(
        command, complete
    )  # by name: what uses a network does not need Hydra


def _fail(parser: ArgumentParser, text: str, status: int) -> int:
    sys.stderr.write(f"{parser.prog}: {' '.join(text.split())}\n")
    return status


def missing_extra(error: BaseException) -> str | None:
    """One line for an import that failed because an extra is not installed; None for any other error.

    Example:
        >>> missing_extra(ModuleNotFoundError("No module named 'hydra.core'", name="hydra.core"))
        "hydra is not installed; pip install 'adain_lit[train]'"
    """
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else None
    if module == "torch":  # left out on purpose, where ONNX Runtime is to do
        return "torch is not installed; install it, or stylise with --backend onnx"
    extra = next((extra for extra, modules in EXTRAS.items() if module in modules), None)
    return extra and f"{module} is not installed; pip install 'adain_lit[{extra}]'"


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line if an extra is missing: at the top of a module too, where no function of ours is running yet."""
    line = missing_extra(error)
    if line is None:
        _previous_hook(kind, error, trace)
        return
    sys.stderr.write(f"adain_lit.{Path(sys.argv[0]).stem.removeprefix('adain-')}: error: {line}\n")
    raise SystemExit(2)  # Python takes the exit status of its hook


_previous_hook, sys.excepthook = sys.excepthook, _excepthook
