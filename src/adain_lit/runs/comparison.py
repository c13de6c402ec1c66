"""What several runs have in common, in what they differ, and where each one ended."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adain_lit.errors import InputError
from adain_lit.runs.run import Run

LOSSES = ("content_loss", "style_loss", "loss")
"""Losses of the table, under ``val/``."""
BOOKKEEPING = (
    "callbacks",
    "ckpt_path",
    "group",
    "launcher",
    "logger",
    "name",
    "output_root",
    "resume",
    "sweep",
    "tags",
    "wandb_id",
)
"""Settings, and groups of them, that say where a run lies and what it is called."""
MEASURE = (
    "model.fusion",  # the content loss of concatenation has another target
    "model.encoder",
    "model.loss_encoder",
    "model.content_layer",
    "model.style_layers",
    "model.style_statistic",
    "model.reduction",
    "data.content_dir",
    "data.style_dir",
    "data.val_content_dir",
    "data.val_style_dir",
    "data.resize",
    "data.crop",
)
"""Settings that say what the content and the style loss measure, and on what images."""
UNSET = object()


@dataclass(frozen=True)
class Validation:
    """Losses on the held-out pairs at one optimiser step, by name as in `LOSSES`."""

    step: int
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """How far a run came.

    Attributes:
        steps: optimiser steps.
        last: the last validation; None where there was none.
        best: the validation of the least total loss.
        seconds: of training without validation; None where the run does not tell.
    """

    steps: int
    last: Validation | None
    best: Validation | None
    seconds: float | None


def summarise(run: Run) -> Summary:
    """Losses, steps and time of a run."""
    validations = [
        Validation(step, losses)
        for step, row in run.rows.items()
        if (losses := {name: row[f"val/{name}"] for name in LOSSES if f"val/{name}" in row})
    ]
    finite = [v for v in validations if math.isfinite(v.losses.get("loss", math.nan))]
    best = min(finite, key=lambda v: v.losses["loss"], default=None)
    return Summary(max(run.rows), validations[-1] if validations else None, best, _seconds(run))


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Settings in which runs differ: by dotted key the value of each run, `UNSET` where it has no such key.

    Bookkeeping is left out, and so are runs that left no configuration, whose values are all `UNSET`.
    """
    told = [run.settings for run in runs if run.settings]
    keys = dict.fromkeys(key for settings in told for key in settings if not _is_bookkeeping(key))
    differing = [key for key in keys if any(s.get(key, UNSET) != told[0].get(key, UNSET) for s in told)]
    return {key: [run.settings.get(key, UNSET) for run in runs] for key in differing}


def common_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """Settings that are the same in all runs, without bookkeeping."""
    told = [run.settings for run in runs if run.settings]
    differing = differences(runs)
    return {k: v for k, v in told[0].items() if k not in differing and not _is_bookkeeping(k)} if told else {}


def labels(runs: Sequence[Run], given: Sequence[str] | None = None) -> list[str]:
    """A label for each run, no two alike.

    That is the run's name; among several of one name the settings in which they differ; among equal ones the folder.

    Args:
        runs: the runs.
        given: labels that a person chose.

    Raises:
        InputError: if those are too many, too few or not all different.
    """
    if given is not None:
        if len(given) != len(runs) or len(set(given)) != len(given):
            raise InputError(f"{len(given)} labels for {len(runs)} runs; give one for each, all different")
        return list(given)
    names = [_name(run, runs) for run in runs]
    again = {name for name in names if names.count(name) > 1}
    names = [f"{name} ({run.folder.name})" if name in again else name for name, run in zip(names, runs, strict=True)]
    return [f"{name} [{i}]" if name in names[: i - 1] else name for i, name in enumerate(names, 1)]


def differing_measures(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs differ and with which their losses cannot be compared as they are."""
    return [key for key in differences(runs) if key in MEASURE]


def shown(value: Any) -> str:
    """A setting as people read it."""
    if value is UNSET:
        return "not set"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name(run: Run, runs: Sequence[Run]) -> str:
    namesakes = [other for other in runs if other.name == run.name]
    own = namesakes.index(run)
    parts = [f"{key.rpartition('.')[2]} {shown(values[own])}" for key, values in differences(namesakes).items()][:3]
    return ", ".join(parts if parts and len(namesakes) == len(runs) else [run.name, *parts])


def _is_bookkeeping(key: str) -> bool:
    return key.split(".")[0] in BOOKKEEPING


def _seconds(run: Run) -> float | None:
    """From the pairs of each step and the logged pairs per second."""
    pairs = run.settings.get("data.batch_size")
    rates = [(step, row["train/pairs_per_second"]) for step, row in run.rows.items() if "train/pairs_per_second" in row]
    if pairs is None or not rates:
        return None
    pairs *= run.settings.get("trainer.accumulate_grad_batches", 1)
    before = [0, *(step for step, _ in rates)]
    return float(sum(pairs * (step - last) / rate for last, (step, rate) in zip(before, rates, strict=False)))
