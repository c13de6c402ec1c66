"""The table, the plot and the sheet of a sweep, from folders as runs leave them."""

import csv
import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.loggers.csv import MetricsFile
from adain_lit.reports.pareto import front
from adain_lit.runs.run import Run, read_run
from adain_lit.sweeps.jobs import Job, recording
from adain_lit.sweeps.report import plot_pareto, reporting, result, table, write_report

LOSSES = {"1": (0.30, 2.0), "10": (0.40, 1.0), "100": (0.60, 0.9)}
COLOURS = {"1": "red", "10": "lime", "100": "blue"}


def make_grid(colours: list[str]) -> Image.Image:
    """A row of squares with the borders of a run's grid."""
    grid = Image.new("RGB", (3 * 36 + 4, 40), "white")
    for i, colour in enumerate(colours):
        grid.paste(colour, (4 + 36 * i, 4, 36 + 36 * i, 36))
    return grid


def trained(
    folder: Path, weight: str, seed: str, *, name: str = "enc_adain_dec", config: str = "model: {fusion: adain}"
) -> Job:
    """A job and the folder of its run, which validated twice."""
    swept = {"model.style_weight": weight, "seed": seed}
    job = Job(name, folder / f"{name}_{weight}_{seed}", tuple(f"{k}={v}" for k, v in swept.items()), swept, {})
    (job.folder / "grids").mkdir(parents=True)
    (job.folder / "config.yaml").write_text(config)
    with recording(job.folder) as record:
        log = MetricsFile(job.folder / "metrics.csv")
        content, style = (value + 0.01 * int(seed) for value in LOSSES[weight])
        for step, factor in ((5, 2.0), (10, 1.0)):
            log.log_metrics({"train/loss": 1.0}, step)
            log.log_metrics({"val/loss": factor, "val/content_loss": factor * content}, step)
            log.log_metrics({"val/style_loss": factor * style}, step)
            grid = make_grid(["gray", "yellow", COLOURS[weight] if step == 10 else "black"])
            grid.save(job.folder / "grids" / f"step_{step:06d}.png")
        log.log_metrics({"train/loss": 1.0}, 12)
        log.save()
        record.objective = 1.0
    return job


def failed(folder: Path) -> Job:
    """A job that failed before it logged anything."""
    swept = {"model.style_weight": "1", "seed": "9"}
    job = Job("enc_adain_dec", folder / "enc_adain_dec_1_9", ("seed=9",), swept, {})
    job.folder.mkdir()
    with pytest.raises(RuntimeError), recording(job.folder):
        raise RuntimeError("made to fail")
    return job


def test_csv_has_a_row_for_every_job_with_its_last_validation(tmp_path: Path) -> None:
    jobs = [trained(tmp_path, "1", "0"), failed(tmp_path), Job("x", tmp_path / "x", (), {"seed": "2"}, {})]
    assert write_report(jobs, tmp_path) == ["sweep.csv", "pareto.png", "contact_sheet.png", "report.html"]
    with (tmp_path / "sweep.csv").open(newline="") as file:
        first, second, third = csv.DictReader(file)
    assert (first["status"], first["model.style_weight"], first["seed"], first["step"]) == ("finished", "1", "0", "10")
    assert (float(first["val/content_loss"]), float(first["val/style_loss"])) == (0.30, 2.0)
    assert first["folder"] == str(jobs[0].folder)
    assert (second["status"], second["error"], second["val/loss"]) == ("failed", "RuntimeError: made to fail", "")
    assert (third["status"], third["seconds"]) == ("not begun", "")
    lines = table([result(job, None) for job in jobs]).splitlines()
    assert [job.folder.name in line for job, line in zip(jobs, lines[3:], strict=False)] == [True] * 3


def measured(jobs: list[Job]) -> list[tuple[Job, Run, dict[str, Any]]]:
    runs = [read_run(job.folder) for job in jobs]
    return [(job, run, result(job, run)) for job, run in zip(jobs, runs, strict=True)]


def test_front_is_what_no_other_point_beats() -> None:
    """Oracle: every pair compared."""
    points = [tuple(map(float, p)) for p in np.random.default_rng(0).integers(0, 30, (40, 2))]
    beaten = {p for p, q in itertools.permutations(points, 2) if q != p and q[0] <= p[0] and q[1] <= p[1]}
    assert front(points) == sorted(set(points) - beaten)  # type: ignore[arg-type, comparison-overlap]


def test_plot_labels_every_setting_once_and_every_name_in_the_legend(tmp_path: Path) -> None:
    jobs = [
        trained(tmp_path, weight, seed, name=name)
        for name in ("enc_adain_dec", "ablation_indec")
        for weight in LOSSES
        for seed in ("0", "1")
    ]
    figure = plot_pareto(measured(jobs), title="sweep")
    (axes,) = figure.axes
    assert sorted(text.get_text() for text in axes.texts) == sorted(2 * list(LOSSES))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    (legend,) = figure.legends
    assert legend.get_title().get_text().endswith("style_weight")
    assert {"enc_adain_dec", "ablation_indec"} < {text.get_text() for text in legend.get_texts()}
    offsets = [points.get_offsets() for points in axes.collections]
    drawn = {tuple(map(float, point)) for points in offsets for point in np.asarray(points)}
    assert drawn == {(row["val/content_loss"], row["val/style_loss"]) for _, _, row in measured(jobs)}
    styles = {
        (points.get_facecolor()[0].tobytes(), points.get_paths()[0].vertices.shape) for points in axes.collections
    }
    assert len({colour for colour, _ in styles}) == len(styles) == 2


@pytest.mark.parametrize("setting", ["model.encoder", "data.crop"])
def test_plot_warns_of_settings_that_make_losses_incomparable(setting: str, tmp_path: Path) -> None:
    """The note of `incomparable_note`, as in the report of the command."""
    group, key = setting.split(".")
    configs = [f"{group}: {{{key}: {value}, lr: {i}}}" for i, value in enumerate((1, 1, 2))]
    jobs = [trained(tmp_path, "1", str(i), config=config) for i, config in enumerate(configs)]
    assert plot_pareto(measured(jobs[:2])).get_supxlabel() == ""
    assert f"they differ in {setting};" in plot_pareto(measured(jobs)).get_supxlabel()


def test_contact_sheet_shows_the_last_grid_of_every_run(tmp_path: Path) -> None:
    jobs = [trained(tmp_path, weight, "0") for weight in LOSSES]
    write_report([*jobs, failed(tmp_path)], tmp_path)
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        fractions = {name: float(np.all(np.asarray(sheet) == rgb, axis=-1).mean()) for name, rgb in RGB.items()}
        assert fractions["black"] < 0.05  # the captions
        assert all(fractions[name] > 0.05 for name in ("red", "lime", "blue")), fractions


RGB = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


def test_reporting_names_the_jobs_that_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [trained(tmp_path, "1", "0"), failed(tmp_path)]
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(InputError, match="1 of 2 jobs failed: RuntimeError: made to fail"),
        reporting(jobs, jobs, tmp_path),
    ):
        pass
    assert f"{jobs[1].folder.name} failed: RuntimeError: made to fail" in caplog.text
    with reporting(jobs, jobs[:1], tmp_path):  # what an earlier attempt left does not count
        pass


def test_an_interrupted_sweep_is_reported_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    jobs = [trained(tmp_path, "1", "0")]
    with pytest.raises(SystemExit), reporting(jobs, jobs, tmp_path):
        raise SystemExit(130)
    assert (tmp_path / "sweep.csv").is_file()
    assert "the same command resumes with what is missing" in caplog.text
