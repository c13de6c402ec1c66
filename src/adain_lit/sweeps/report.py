"""What a sweep leaves for people: a table, content against style loss, and a sheet of the last images."""

import csv
import io
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
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console
from rich.table import Table

from adain_lit.errors import InputError
from adain_lit.inference.grids import captioned_grid
from adain_lit.io.files import write_atomically
from adain_lit.io.images import write_image
from adain_lit.loggers.csv import last_validation
from adain_lit.sweeps.jobs import DONE, Job

log = logging.getLogger(__name__)

LOSSES = ("val/loss", "val/content_loss", "val/style_loss")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart; the markers differ as well."""
MARKERS = "os^DvPX"
MEASURES = ("fusion", "style_statistic", "reduction", "style_layers", "encoder", "loss_encoder")
"""Settings of ``model`` that say what the losses measure."""

Result = dict[str, Any]


@contextmanager
def reporting(jobs: Sequence[Job], attempted: Sequence[Job], folder: Path) -> Iterator[None]:
    """Run the jobs of a sweep, and in the end, however it comes about, write the report and say what became of them.

    Args:
        jobs: all of the sweep, in its order.
        attempted: those that this attempt runs.
        folder: of the sweep.

    Raises:
        InputError: if jobs failed; it says why in one line.
    """
    log.info("%d jobs in %s, %d of them done already", len(jobs), folder, sum(job.status in DONE for job in jobs))
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        _report(jobs, folder)
        log.warning("interrupted; the same command goes on with what is missing")
        raise
    _report(jobs, folder)
    failed = [job for job in attempted if job.status not in DONE]
    if not failed:
        return
    reasons = {reason(job) for job in failed}
    why = reasons.pop() if len(reasons) == 1 else f"{folder / 'sweep.csv'} says why"
    raise InputError(f"{len(failed)} of {len(jobs)} jobs failed: {why}; the same command runs what is missing")


def _report(jobs: Sequence[Job], folder: Path) -> None:
    written = write_report(jobs, folder)
    log.info("%s\n%s", folder.name, table(jobs))
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
    """Write ``sweep.csv``, and where the jobs have losses and images ``pareto.png`` and ``contact_sheet.png``.

    Args:
        jobs: of the sweep, in its order.
        folder: of the sweep.

    Returns:
        Names of the files.
    """
    results = [result(job) for job in jobs]
    write_atomically(folder / "sweep.csv", lambda path: _write_csv(results, path))
    written = ["sweep.csv"]
    both = ("val/content_loss", "val/style_loss")
    measured = [
        (job, row)
        for job, row in zip(jobs, results, strict=True)
        if all(math.isfinite(row.get(name, math.nan)) for name in both)
    ]
    if measured:
        figure = plot_pareto(measured, title=folder.name)
        write_atomically(folder / "pareto.png", lambda path: figure.savefig(path, dpi=120))
        written.append("pareto.png")
    with_grid = [(job, row, grid) for (job, row) in measured if (grid := last_grid(job.folder)) is not None]
    if with_grid:
        captions = [_caption(job, row) for job, row, _ in with_grid]
        write_image(captioned_grid([grid for *_, grid in with_grid], captions), folder / "contact_sheet.png")
        written.append("contact_sheet.png")
    return written


def result(job: Job) -> Result:
    """A row of the table: the swept settings, the status, the losses of the last validation, time and folder."""
    record = job.record
    row: Result = {"job": job.folder.name, "status": job.status, **job.swept}
    last = last_validation(job.folder / "metrics.csv")
    if last:
        row |= {"step": int(last["step"])} | {name: last[name] for name in LOSSES if name in last}
    if record is not None:
        row |= {"objective": record.objective, "seconds": round(record.seconds, 1), "error": record.error or ""}
    return row | {"folder": str(job.folder)}


def table(jobs: Sequence[Job], width: int = 160) -> str:
    """The results as a table for a terminal."""
    sheet = Table()
    for name in ("job", "status", "step", "content loss", "style loss", "seconds"):
        sheet.add_column(name, justify="left" if name in ("job", "status") else "right", overflow="fold")
    for job in jobs:
        row = result(job)
        losses = [f"{row[name]:.4f}" if name in row else "" for name in LOSSES[1:]]
        sheet.add_row(row["job"], row["status"], str(row.get("step", "")), *losses, str(row.get("seconds", "")))
    text = io.StringIO()
    Console(file=text, width=width).print(sheet)
    return text.getvalue().rstrip()


def plot_pareto(measured: Sequence[tuple[Job, Result]], *, title: str = "") -> Figure:
    """Content against style loss: a point for each job, and the line beyond which no job is better in both.

    Runs of one name share colour and marker. What else was swept stands beside the points, once for jobs that differ in
    their seed alone.
    """
    jobs = [job for job, _ in measured]
    points = [(float(row["val/content_loss"]), float(row["val/style_loss"])) for _, row in measured]
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
    if differ := _other_measures(jobs):
        note = f"The runs differ in {', '.join(differ)}, which decides what the losses measure; "
        figure.supxlabel(textwrap.fill(note + "python -m adain_lit.evaluate measures all alike.", 100), fontsize=9)
    _write_beside(axes, points, _labels(jobs, points))
    return figure


def _labels(jobs: Sequence[Job], points: Sequence[tuple[float, float]]) -> dict[int, str]:
    """The settings of jobs as texts, by the number of the job that lies in the middle of those of other seeds."""
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
    """Write each label beside its point, where there is a place in which it covers no point and no other label."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only then is it known what lies where
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


def _other_measures(jobs: Sequence[Job]) -> list[str]:
    """Settings that differ between the jobs and make their losses another measure."""
    models: list[Any] = [OmegaConf.load(job.folder / "config.yaml").model for job in jobs]
    return [f"model.{key}" for key in MEASURES if len({str(model.get(key)) for model in models}) > 1]


class PlainLogFormatter(LogFormatter):
    """Writes 0.3 where matplotlib writes 3e-01."""

    def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:
        return f"{x:g}"


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in one coordinate without losing in the other, from left to right."""
    best: list[tuple[float, float]] = []
    for point in sorted(points):
        if not best or point[1] < best[-1][1]:
            best.append(point)
    return best


def last_grid(run: Path) -> Image.Image | None:
    """The newest image grid of a run."""
    grids = sorted((run / "grids").glob("step_*.png"))
    if not grids:
        return None
    with Image.open(grids[-1]) as image:
        return image.convert("RGB")


def _caption(job: Job, row: Result) -> str:
    losses = f"content {row['val/content_loss']:.3f}, style {row['val/style_loss']:.3f}"
    seed = {key: value for key, value in job.swept.items() if key == "seed"}
    settings = (f"{key.rpartition('.')[2]}={_short(value)}" for key, value in (_settings(job) | seed).items())
    return "\n".join([job.name, " ".join(settings), losses])


def _settings(job: Job) -> dict[str, str]:
    """What was swept beside experiment and seed."""
    return {key: value for key, value in job.swept.items() if key not in ("experiment", "seed")}


def _short(value: str) -> str:
    """A number with four digits; any other value as it is."""
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
