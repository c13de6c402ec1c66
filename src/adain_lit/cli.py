"""What the commands share: threads that wait passively, one line for every error, and the exit statuses.

Commands import this before torch, whose OpenMP threads otherwise spin while they wait for each other. On cores that are
busy with loader workers or a browser, that makes a training step several times slower.
"""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence

from adain_lit.errors import InputError

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit statuses that shells use for a process ended by SIGINT and SIGPIPE (128 plus the signal's number)."""


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
    try:
        status = task(parser.parse_args(argv)) or 0
        sys.stdout.flush()
        return status
    except InputError as error:
        return _fail(parser, f"error: {error}", 2)
    except BrokenPipeError:
        # Python flushes stdout once more at exit, which would print the error that is caught here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        named = error.filename and error.strerror
        return _fail(parser, f"error: {error.strerror}: {error.filename}" if named else f"error: {error}", 2)
    except KeyboardInterrupt:
        hint = "; run the same command again to continue" if resumable else ""
        return _fail(parser, f"interrupted{hint}", INTERRUPTED)


def _fail(parser: ArgumentParser, text: str, status: int) -> int:
    sys.stderr.write(f"{parser.prog}: {' '.join(text.split())}\n")
    return status
