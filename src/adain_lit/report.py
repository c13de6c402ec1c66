"""``python -m adain_lit.report``: compare training runs."""

import argparse
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from adain_lit import cli
from adain_lit.errors import InputError
from adain_lit.io.files import require_writable, write_atomically
from adain_lit.io.images import read_image
from adain_lit.reports.contact_sheet import contact_sheet
from adain_lit.reports.curves import draw_curves
from adain_lit.reports.html import report_page
from adain_lit.reports.runs_table import as_text, rows_of
from adain_lit.runs.comparison import common_settings, incomparable_note, labels
from adain_lit.runs.run import Run, find_runs, read_run

PAGE, CURVES, SHEET = "report.html", "report_curves.png", "report_images.png"
"""Names of the files that are written; runs and sweeps have no files of these names."""


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
    read, failed = _read(arguments.runs)
    runs = dict(zip(labels(read, arguments.labels), read, strict=True))
    rows = rows_of(runs)
    images = {CURVES: _png(draw_curves({label: run.rows for label, run in runs.items()}).savefig)}
    sheet = _sheet(runs, failed)
    if sheet is not None:
        images[SHEET] = _png(partial(sheet.save, format="png"))
    notes = list(filter(None, [incomparable_note(read)]))
    page = report_page(
        arguments.title,
        rows=rows,
        folders={label: str(run.folder) for label, run in runs.items()},
        curves=images[CURVES],
        sheet=images.get(SHEET),
        common=common_settings(read),
        notes=[*notes, *(f"Left out: {line}" for line in failed)],
    )
    files = images | {PAGE: page.encode()}
    for name, content in files.items():
        write_atomically(arguments.output / name, partial(Path.write_bytes, data=content))
    lines = [as_text(rows), *notes, f"written to {arguments.output}: {', '.join(files)}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return failed


def _read(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs that can be read, each once, and one line for each that cannot."""
    folders: dict[Path, Path] = {}
    runs, failed = [], []
    for path in paths:
        try:
            folders |= {folder.resolve(): folder for folder in find_runs(path)}
        except InputError as error:
            failed.append(str(error))
    for folder in folders.values():
        try:
            runs.append(read_run(folder))
        except InputError as error:
            failed.append(str(error))
    if not runs:
        raise InputError("; ".join(failed))
    return runs, failed


def _sheet(runs: Mapping[str, Run], failed: list[str]) -> Image.Image | None:
    """The contact sheet of the runs that made images; unreadable images are added to `failed`."""
    grids, captions = [], []
    for label, run in runs.items():
        if run.grid is None:
            continue
        try:
            grids.append(read_image(run.grid))
            captions.append(f"{label}, step {run.grid_step}")
        except InputError as error:
            failed.append(str(error))
    return contact_sheet(grids, captions) if grids else None


def _png(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
