"""A report on several runs: curves, Pareto plot, contact sheet, tables and the HTML page that holds them all."""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from PIL import Image

from adain_lit.errors import InputError
from adain_lit.io.images import read_image
from adain_lit.reports.contact_sheet import contact_sheet
from adain_lit.reports.curves import draw_curves
from adain_lit.reports.html import report_page
from adain_lit.reports.pareto import Point, plot_points
from adain_lit.reports.runs_table import Cells, columns_of, provenance, rows_of
from adain_lit.reports.tables import csv_table, latex_table
from adain_lit.runs.comparison import UNSET, common_settings, differences, incomparable_note, labels, shown, summarise
from adain_lit.runs.run import Run

PAGE, CURVES, SHEET, PARETO = "report.html", "report_curves.png", "report_images.png", "report_pareto.png"
CSV, LATEX = "report.csv", "report.tex"
"""Names of the files of a report; runs and sweeps have no files of these names, but for a sweep's own page."""


@dataclass(frozen=True)
class Report:
    """A report that is not written yet.

    Attributes:
        rows: the table of the runs.
        notes: what does not compare, and which runs or images are missing.
        files: contents by name.
    """

    rows: Sequence[Cells]
    notes: Sequence[str]
    files: Mapping[str, bytes]


def page_of(
    read: Sequence[Run],
    *,
    title: str,
    given: Sequence[str] | None = None,
    failed: list[str] | None = None,
    **curves: Any,
) -> Report:
    """Report on runs.

    Args:
        read: the runs.
        title: of the page.
        given: labels of the runs; None: their names.
        failed: one line for each run that could not be read; those of unreadable images are added.
        curves: options of `draw_curves`.

    Raises:
        InputError: if labels do not match the runs.
    """
    failed = [] if failed is None else failed
    runs = dict(zip(labels(read, given), read, strict=True))
    rows = rows_of(runs)
    files = {CURVES: _png(draw_curves({label: run.rows for label, run in runs.items()}, **curves).savefig)}
    points = _points(read)
    if len(points) > 2:
        files[PARETO] = _png(partial(plot_points(points).savefig, dpi=120))
    sheet = _sheet(runs, failed)
    if sheet is not None:
        files[SHEET] = _png(partial(sheet.save, format="png"))
    notes = list(filter(None, [incomparable_note(read)]))
    columns = columns_of(rows)
    described = {label: provenance(run) for label, run in runs.items()}
    full = [row | described[row["run"]] for row in columns]
    names = list(dict.fromkeys(name for row in full for name in row))
    files[CSV] = csv_table(names, [[row.get(name, "") for name in names] for row in full]).encode()
    files[LATEX] = latex_table(list(columns[0]), [list(row.values()) for row in columns]).encode()
    page = report_page(
        title,
        rows=columns,
        folders={label: str(run.folder) for label, run in runs.items()},
        curves=files[CURVES],
        pareto=files.get(PARETO),
        sheet=files.get(SHEET),
        common=common_settings(read),
        provenance=described,
        notes=[*notes, *(f"Left out: {line}" for line in failed)],
    )
    return Report(rows, notes, files | {PAGE: page.encode()})


def _points(runs: Sequence[Run]) -> list[Point]:
    """The runs whose last validation has a finite content and style loss above 0."""
    differing = {key: values for key, values in differences(runs).items() if key not in ("seed", "data.seed")}
    points = []
    for i, run in enumerate(runs):
        last = summarise(run).last
        losses = [last.losses.get(f"{name}_loss", math.nan) if last else math.nan for name in ("content", "style")]
        if all(math.isfinite(loss) and loss > 0 for loss in losses):
            settings = {key: shown(values[i]) for key, values in differing.items() if values[i] is not UNSET}
            points.append(Point(run.name, settings if len(differing) < 4 else {}, *losses))
    return points


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
