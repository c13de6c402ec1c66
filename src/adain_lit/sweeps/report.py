"""The report of a sweep: a table, a plot of content against style loss, and a contact sheet of the last images."""

import csv
import itertools
import logging
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from matplotlib.transforms import Bbox

from adain_lit.errors import InputError, counted
from adain_lit.io.files import write_atomically
from adain_lit.io.images import read_image, write_image
from adain_lit.reports.contact_sheet import contact_sheet
from adain_lit.reports.style import COLOURS, MARKERS
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
    if record is not None and record.error:
        return record.error
    return "it was interrupted" if job.status == "interrupted" else "its process and that of the sweep were killed"


def write_report(jobs: Sequence[Job], folder: Path) -> list[str]:
    """Write ``sweep.csv``, and if jobs have losses and images, ``pareto.png`` and ``contact_sheet.png``.

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
        row |= {"objective": record.objective, "seconds": round(record.seconds, 1), "error": record.error or ""}
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
    """Plot content against style loss: a point for each job, and the Pareto front.

    Runs of one name share colour and marker. The other swept settings are written beside the points, once for jobs that
    differ only in their seed.

    Args:
        measured: jobs with finite losses, their runs and their rows of the results.
        title: of the figure.

    Example:
        >>> job = Job("adain", Path("seed=0"), (), {"seed": "0"}, {})
        >>> row = {"val/content_loss": 1.5, "val/style_loss": 2.5}
        >>> figure = plot_pareto([(job, Run(job.folder, "adain", {}, {}), row)], title="lambda")
        >>> [text.get_text() for text in figure.legends[0].get_texts()]
        ['adain', 'no run is better in both']
    """
    jobs = [job for job, _, _ in measured]
    points = [(float(row[CONTENT_LOSS]), float(row[STYLE_LOSS])) for _, _, row in measured]
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes: Axes = figure.subplots()
    axes.set(xscale="log", yscale="log", title=title)
    axes.set(xlabel="content loss $L_c$ on held-out pairs", ylabel="style loss $L_s$ on held-out pairs")
    for i, name in enumerate(sorted({job.name for job in jobs})):
        x, y = zip(*(point for job, point in zip(jobs, points, strict=True) if job.name == name), strict=True)
        marker, colour = MARKERS[i % len(MARKERS)], COLOURS[i % len(COLOURS)]
        axes.scatter(x, y, s=60, marker=marker, color=colour, edgecolor="white", linewidth=0.7, label=name, zorder=3)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    best = front(points)
    x, y = zip((best[0][0], top), *best, (right, best[-1][1]), strict=True)
    axes.step(x, y, where="post", color="0.6", linestyle="--", label="no run is better in both")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(PlainLogFormatter(minor_thresholds=(2, 0.5)))
    axes.grid(alpha=0.3, which="both")
    beside = list(dict.fromkeys(key.rpartition(".")[2] for job in jobs for key in _settings(job)))
    figure.legend(loc="outside right upper", title=f"beside the points:\n{', '.join(beside)}" if beside else None)
    if note := incomparable_note([run for _, run, _ in measured]):
        figure.supxlabel(textwrap.fill(note, 100), fontsize=9)
    _write_beside(axes, points, _labels(jobs, points))
    return figure


def _labels(jobs: Sequence[Job], points: Sequence[tuple[float, float]]) -> dict[int, str]:
    """Labels of the points: settings as text, by the index of the job most central among those that differ in seed."""
    groups: dict[tuple[str, str], list[int]] = {}
    for i, job in enumerate(jobs):
        text = ", ".join(_short(value) for value in _settings(job).values())
        groups.setdefault((job.name, text), []).append(i)
    logs = np.log(points)  # (jobs, 2)
    middle = {}
    for (_, text), group in groups.items():
        distances = np.linalg.norm(logs[group] - logs[group].mean(0), axis=1)
        middle[group[int(distances.argmin())]] = text
    return middle


def _write_beside(axes: Axes, points: Sequence[tuple[float, float]], labels: Mapping[int, str]) -> None:
    """Write each label beside its point, at the first of 18 places where it covers no point and no other label."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # positions in pixels are only known after layout
    places = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in places]
    for i, text in labels.items():
        for distance, angle in itertools.product((10, 18, 28), range(30, 390, 60)):
            dx, dy = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
            where: Any = {"ha": "left" if dx > 0 else "right", "va": "center"}
            label = axes.annotate(text, points[i], (dx, dy), textcoords="offset points", fontsize=8, zorder=4, **where)
            box = label.get_window_extent()
            free = not any(box.overlaps(other) for other in taken if other is not taken[i])
            if (free and axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)) or (distance, angle) == (28, 330):
                taken.append(box)
                break
            label.remove()


class PlainLogFormatter(LogFormatter):
    """Writes 0.3 instead of matplotlib's 3e-01."""

    def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:
        return f"{x:g}"


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The Pareto front: points that no other point dominates, from left to right.

    Example:
        >>> front([(1.0, 3.0), (2.0, 2.0), (3.0, 2.5)])
        [(1.0, 3.0), (2.0, 2.0)]
    """
    best: list[tuple[float, float]] = []
    for point in sorted(points):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


def _caption(job: Job, row: Result) -> str:
    losses = f"content {row[CONTENT_LOSS]:.3f}, style {row[STYLE_LOSS]:.3f}"
    seed = {key: value for key, value in job.swept.items() if key == "seed"}
    settings = (f"{key.rpartition('.')[2]}={_short(value)}" for key, value in (_settings(job) | seed).items())
    return "\n".join([job.name, " ".join(settings), losses])


def _settings(job: Job) -> dict[str, str]:
    """The swept settings other than experiment and seed."""
    return {key: value for key, value in job.swept.items() if key not in ("experiment", "seed")}


def _short(value: str) -> str:
    """A number with four digits; any other value unchanged."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _write_csv(results: Sequence[Result], path: Path) -> None:
    columns = list(dict.fromkeys(name for row in results for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(results)
