"""The report of a sweep: a table, a plot of content against style loss, and a contact sheet of the last images."""

import csv
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from adain_lit.errors import InputError, counted
from adain_lit.io.files import write_atomically
from adain_lit.io.images import read_image, write_image
from adain_lit.reports.contact_sheet import contact_sheet
from adain_lit.reports.page import PAGE, page_of
from adain_lit.reports.pareto import Point, plot_points, short
from adain_lit.reports.tables import text_table
from adain_lit.runs.comparison import LOSSES, incomparable_note, summarise
from adain_lit.runs.run import Run, read_run
from adain_lit.sweeps.jobs import DONE, Job

log = logging.getLogger(__name__)

CONTENT_LOSS, STYLE_LOSS = "val/content_loss", "val/style_loss"

Result = dict[str, Any]


@contextmanager
def reporting(jobs: Sequence[Job], attempted: Sequence[Job], folder: Path) -> Iterator[None]:
    """Context in which the jobs of a sweep run; on leaving it, also by an interruption, the report is written.

    Args:
        jobs: all jobs of the sweep, in order.
        attempted: those that this attempt runs.
        folder: of the sweep.

    Raises:
        InputError: if attempted jobs failed, with the reason in one line.
    """
    log.info("%s in %s, %d done already", counted(len(jobs), "job"), folder, sum(job.status in DONE for job in jobs))
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        _report(jobs, folder)
        log.warning("interrupted; the same command resumes with what is missing")
        raise
    _report(jobs, folder)
    failed = [job for job in attempted if job.status not in DONE]
    if not failed:
        return
    reasons = {reason(job) for job in failed}
    why = reasons.pop() if len(reasons) == 1 else f"{folder / 'sweep.csv'} says why"
    raise InputError(
        f"{len(failed)} of {counted(len(jobs), 'job')} failed: {why}; the same command runs what is missing"
    )


def _report(jobs: Sequence[Job], folder: Path) -> None:
    written = write_report(jobs, folder)
    log.info("%s\n%s", folder.name, table([result(job, _run_of(job)) for job in jobs]))
    for job in jobs:
        if job.status in ("failed", "died"):
            log.error("%s failed: %s", job.folder.name, reason(job))
    log.info("in %s: %s", folder, ", ".join(written))


def reason(job: Job) -> str:
    """Why a job failed."""
    record = job.record
    if job.unwritten:
        return job.unwritten[-1]
    if record is not None and record.error:
        return record.error
    return "it was interrupted" if job.status == "interrupted" else "its process and that of the sweep were killed"


def write_report(jobs: Sequence[Job], folder: Path) -> list[str]:
    """Write ``sweep.csv``, and of jobs with losses and images ``pareto.png``, ``contact_sheet.png``, ``report.html``.

    Args:
        jobs: of the sweep, in order.
        folder: of the sweep.

    Returns:
        Names of the files.
    """
    runs = [_run_of(job) for job in jobs]
    results = [result(job, run) for job, run in zip(jobs, runs, strict=True)]
    write_atomically(folder / "sweep.csv", lambda path: _write_csv(results, path))
    written = ["sweep.csv"]
    measured = [
        (job, run, row)
        for job, run, row in zip(jobs, runs, results, strict=True)
        if run is not None and all(math.isfinite(row.get(name, math.nan)) for name in (CONTENT_LOSS, STYLE_LOSS))
    ]
    if measured:
        figure = plot_pareto(measured, title=folder.name)
        write_atomically(folder / "pareto.png", lambda path: figure.savefig(path, dpi=120))
        written.append("pareto.png")
    grids = [(run.grid, _caption(job, row)) for job, run, row in measured if run.grid is not None]
    if grids:
        images, captions = zip(*((read_image(path), caption) for path, caption in grids), strict=True)
        write_image(contact_sheet(images, captions), folder / "contact_sheet.png")
        written.append("contact_sheet.png")
    if shown := [run for run in runs if run is not None]:
        page = page_of(shown, title=f"Sweep {folder.name}")
        write_atomically(folder / PAGE, partial(Path.write_bytes, data=page.files[PAGE]))
        written.append(PAGE)
    return written


def _run_of(job: Job) -> Run | None:
    try:
        return read_run(job.folder)
    except InputError:  # not begun, or ended before its first value
        return None


def result(job: Job, run: Run | None) -> Result:
    """A row of ``sweep.csv``: the swept settings, status, losses of the last validation, time and folder.

    Example:
        >>> job = Job("adain", Path("sweep/seed=0"), ("seed=0",), {"seed": "0"}, {"seed": 0})
        >>> result(job, Run(job.folder, "adain", {}, {5: {"val/loss": 2.0}}))
        {'job': 'seed=0', 'status': 'not begun', 'seed': '0', 'step': 5, 'val/loss': 2.0, 'folder': 'sweep/seed=0'}
    """
    record = job.record
    row: Result = {"job": job.folder.name, "status": job.status, **job.swept}
    if run is not None and (last := summarise(run).last):
        row |= {"step": last.step} | {f"val/{name}": last.losses[name] for name in LOSSES if name in last.losses}
    if record is not None:
        row |= {
            "objective": record.objective,
            "seconds": round(record.seconds, 1),
            "error": reason(job) if job.unwritten else record.error or "",
        }
    return row | {"folder": str(job.folder)}


def table(results: Sequence[Result]) -> str:
    """The results as a table for a terminal.

    Example:
        >>> print(table([{"job": "seed=0", "status": "finished", "step": 5, "val/content_loss": 1.5, "seconds": 12.5}]))
        <BLANKLINE>
         job      status     step   content loss   style loss   seconds
         ──────────────────────────────────────────────────────────────
         seed=0   finished      5         1.5000                   12.5
        <BLANKLINE>
    """
    rows = []
    for row in results:
        losses = [f"{row[name]:.4f}" if name in row else "" for name in (CONTENT_LOSS, STYLE_LOSS)]
        rows.append([row["job"], row["status"], str(row.get("step", "")), *losses, str(row.get("seconds", ""))])
    return text_table(["job", "status", "step", "content loss", "style loss", "seconds"], rows, left=2)


def plot_pareto(measured: Sequence[tuple[Job, Run, Result]], *, title: str = "") -> Figure:
    """Plot content against style loss of jobs with finite losses, see `adain_lit.reports.pareto.plot_points`.

    Args:
        measured: the jobs, their runs and their rows of the results.
        title: of the figure.
    """
    points = [
        Point(job.name, _settings(job), float(row[CONTENT_LOSS]), float(row[STYLE_LOSS])) for job, _, row in measured
    ]
    return plot_points(points, title=title, note=incomparable_note([run for _, run, _ in measured]))


def _caption(job: Job, row: Result) -> str:
    losses = f"content {row[CONTENT_LOSS]:.3f}, style {row[STYLE_LOSS]:.3f}"
    seed = {key: value for key, value in job.swept.items() if key == "seed"}
    settings = (f"{key.rpartition('.')[2]}={short(value)}" for key, value in (_settings(job) | seed).items())
    return "\n".join([job.name, " ".join(settings), losses])


def _settings(job: Job) -> dict[str, str]:
    """The swept settings other than experiment and seed."""
    return {key: value for key, value in job.swept.items() if key not in ("experiment", "seed")}


def _write_csv(results: Sequence[Result], path: Path) -> None:
    columns = list(dict.fromkeys(name for row in results for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(results)
