"""Outcomes of jobs: curves of trainings and rows of evaluations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adain_evidence.jobs import Job
from adain_evidence.setting import Setting
from adain_lit.config.overrides import quoted
from adain_lit.runs.rows import curve, read_rows, values_by_step

FIRST = "stylised"
"""Name of the evaluated network in the results of an evaluation."""


def evaluation(setting: Setting, name: str, networks: Mapping[str, str | Path], *settings: str) -> Job:
    """An evaluation of several networks on the same held-out pairs.

    Args:
        setting: of the claim.
        name: of the job.
        networks: files by name (letters, digits and underscores); the first one's losses measure all.
        settings: further settings of ``adain_lit.evaluate``, such as ``contents=20``.
    """
    (_, measured), *others = networks.items()
    compared = [f"+compare.{other}={quoted(str(path))}" for other, path in others]
    return Job(
        "evaluate",
        name,
        (f"ckpt_path={quoted(str(measured))}", *compared, *setting.images(), *settings),
        setting.folder,
    )


def evaluated(job: Job, first: str = FIRST, *, statistic: str = "mean") -> dict[str, dict[str, float]]:
    """A statistic over all pairs, by method and quantity.

    Args:
        job: an evaluation that has been run.
        first: name for the evaluated network.
        statistic: ``mean``, or ``std``, the standard deviation over the pairs.
    """
    results: dict[str, Any] = json.loads((job.folder / "evaluation.json").read_text("utf-8"))["results"]
    return {
        first if name == FIRST else name: {key: float(value[statistic]) for key, value in quantities.items()}
        for name, quantities in results.items()
    }


def pair_count(job: Job) -> int:
    """Number of pairs that an evaluation measured."""
    return int(json.loads((job.folder / "evaluation.json").read_text("utf-8"))["pairs"])


def by_seed(rows: Mapping[int, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict[int, float]]]:
    """Convert the results of `evaluated` for each seed to the values that `write_results` takes."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for seed, methods in rows.items():
        for method, quantities in methods.items():
            for name, value in quantities.items():
                values.setdefault(method, {}).setdefault(name, {})[seed] = value
    return values


def selected(
    values: Mapping[str, Mapping[str, Mapping[int, float]]],
    names: Mapping[str, str],
    systems: Sequence[str] | None = None,
) -> dict[str, dict[str, dict[int, float]]]:
    """Select quantities of systems, under readable names.

    Args:
        values: as returned by `by_seed`.
        names: the readable name of each selected quantity.
        systems: the selected systems; None: all.
    """
    chosen = values if systems is None else systems
    return {s: {new: dict(values[s][old]) for old, new in names.items() if old in values[s]} for s in chosen}


def logged(run: Job | Path, name: str) -> tuple[list[int], list[float]]:
    """Steps at which a training logged a value, such as ``val/style_loss``, and the values.

    Args:
        run: a single training, or the folder of one.
        name: of the value.
    """
    folder = run.folder if isinstance(run, Job) else run
    return curve(values_by_step(read_rows(folder / "metrics.csv")[1]), name)
