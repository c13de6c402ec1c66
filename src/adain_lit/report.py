"""``python -m adain_lit.report``: compare training runs."""

import argparse
import sys
from functools import partial
from pathlib import Path

from adain_lit import cli
from adain_lit.io.files import require_writable, write_atomically

STEPS = ("all", "shortest", "log")
"""As `adain_lit.reports.curves.draw_curves` takes them."""


def main() -> int:
    """Command line entry point; the exit status."""
    return cli.run(parser(), _report)


def _report(arguments: argparse.Namespace) -> int:
    failed = report(arguments)
    for line in failed:
        sys.stderr.write(f"adain_lit.report: left out: {line}\n")
    return 1 if failed else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.report",
        description="Compare training runs: their curves in one figure, a table, and their last images side by side, "
        "as PNG and as one self-contained HTML page.",
    )
    add = command.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs or of sweeps")
    add("--output", "-o", type=Path, default=Path("outputs/report"), metavar="FOLDER", help="default outputs/report")
    add("--labels", nargs="+", metavar="LABEL", help="one for each run, in order; default: their names")
    add(
        "--smooth",
        type=float,
        default=0.05,
        metavar="S",
        help="window of the running mean, share of a run (default 0.05)",
    )
    add("--steps", choices=STEPS, default="all", help="of the curves: all, those of the shortest run, or a log axis")
    add("--title", default="Training runs compared", help="title of the page")
    return command


def report(arguments: argparse.Namespace) -> list[str]:
    """Write the report that the command line asks for.

    Returns:
        One line for each run that could not be shown.

    Raises:
        InputError: if no run can be shown, if labels do not match the runs, or if the output is not writable.
    """
    require_writable(arguments.output)
    # each import after what can be refused without it: OmegaConf, then matplotlib, which takes a second
    from adain_lit.runs.run import read_runs

    read, failed = read_runs(arguments.runs)
    from adain_lit.reports.page import PAGE, page_of
    from adain_lit.reports.runs_table import as_text

    made = page_of(
        read,
        title=arguments.title,
        given=arguments.labels,
        failed=failed,
        smooth=arguments.smooth,
        x=arguments.steps,
    )
    for name, content in made.files.items():
        write_atomically(arguments.output / name, partial(Path.write_bytes, data=content))
    lines = [as_text(made.rows), *made.notes, f"written to {arguments.output}: {', '.join(made.files)}"]
    lines.append(
        f"open {arguments.output / PAGE} in a browser; judge a run: python -m adain_lit.evaluate ckpt_path=RUN"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
