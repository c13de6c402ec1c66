"""What jobs left: curves of trainings, and rows of evaluations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adain_evidence.jobs import Job
from adain_evidence.setting import Setting
from adain_lit.config.overrides import quoted
from adain_lit.runs.rows import curve, read_rows, values_by_step

FIRST = "stylised"
"""What an evaluation calls the network that it is about."""


def evaluation(setting: Setting, name: str, networks: Mapping[str, str | Path], *settings: str) -> Job:
    """The evaluation of networks beside each other, on the same held-out pairs.

    Args:
        setting: of the claim.
        name: of the job.
        networks: files by name, letters and underscores; the first one's losses and encoder measure.
        settings: further ones of ``adain_lit.evaluate``, as ``contents=20``.
    """
    (_, measured), *others = networks.items()
    compared = [f"+compare.{other}={quoted(str(path))}" for other, path in others]
    return Job(
        "evaluate",
        name,
        (f"ckpt_path={quoted(str(measured))}", *compared, *setting.images(), *settings),
        setting.folder,
    )


def evaluated(job: Job, first: str = FIRST) -> dict[str, dict[str, float]]:
    """Means over all pairs, by method and quantity.

    Args:
        job: an evaluation that has been run.
        first: what to call the network that it is about.
    """
    results: dict[str, Any] = json.loads((job.folder / "evaluation.json").read_text("utf-8"))["results"]
    return {
        first if name == FIRST else name: {key: float(value["mean"]) for key, value in quantities.items()}
        for name, quantities in results.items()
    }


def pair_count(job: Job) -> int:
    """How many pairs an evaluation measured."""
    return int(json.loads((job.folder / "evaluation.json").read_text("utf-8"))["pairs"])


def by_seed(rows: Mapping[int, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, dict[int, float]]]:
    """Values as `write_results` takes them, from what `evaluated` gave for each seed."""
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
    """Some quantities of some systems, under names for people.

    Args:
        values: as `by_seed` gives them.
        names: the new name of each quantity that is wanted.
        systems: those that are wanted; None: all.
    """
    wanted = values if systems is None else systems
    return {s: {new: dict(values[s][old]) for old, new in names.items() if old in values[s]} for s in wanted}


def logged(run: Job | Path, name: str) -> tuple[list[int], list[float]]:
    """Steps at which a training logged a value, such as ``val/style_loss``, and the values.

    Args:
        run: a single training, or the folder of one.
        name: of the value.
    """
    folder = run.folder if isinstance(run, Job) else run
    return curve(values_by_step(read_rows(folder / "metrics.csv")[1]), name)
