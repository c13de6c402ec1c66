"""Compare runs: shared and differing settings, labels, and the losses that each ended with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adain_lit.errors import InputError, counted
from adain_lit.runs.run import Run

LOSSES = ("content_loss", "style_loss", "loss")
"""Losses of the table, logged under ``val/``."""
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
"""Settings, and groups of settings, that only say where a run is stored and what it is called."""
LOSS_DEFINING_SETTINGS = (
    "model.fusion",  # the content loss of concatenation has another target
    "model.encoder",
    "model.encoder_widths",
    "model.encoder_preprocessing",
    "model.unit_mean_images",  # features are divided by their means over these images, or are not
    "model.loss_encoder",
    "model.loss_unit_mean_images",
    "model.teacher",
    "model.content_layer",
    "model.style_layers",
    "model.style_statistic",
    "model.reduction",
    "model.layers",
    "model.styles",
    "model.style_count",
    "model.style_size",
    "data.content_dir",
    "data.style_dir",
    "data.val_content_dir",
    "data.val_style_dir",
    "data.val_fraction",
    "data.val_pairs",
    "data.resize",
    "data.crop",
)
"""Settings that decide what the content and the style loss measure, and on which images."""
UNSET = object()


@dataclass(frozen=True)
class Validation:
    """Losses on the held-out pairs at one optimiser step, by name (see `LOSSES`)."""

    step: int
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """How far a run got.

    Attributes:
        steps: optimiser steps.
        last: the last validation; None if there was none.
        best: the validation with the lowest total loss; None if no total loss is finite.
        seconds: training time without validation; None if the log or the configuration lacks what it takes.
    """

    steps: int
    last: Validation | None
    best: Validation | None
    seconds: float | None


def summarise(run: Run) -> Summary:
    """Summarise the losses, steps and training time of a run.

    Example:
        >>> from pathlib import Path
        >>> run = Run(Path("a"), "a", {}, {5: {"val/loss": 2.0}, 10: {"val/loss": 3.0}})
        >>> summary = summarise(run)
        >>> summary.steps, summary.last.losses, summary.best.step
        (10, {'loss': 3.0}, 5)
    """
    validations = [
        Validation(step, losses)
        for step, row in run.rows.items()
        if (losses := {name: row[f"val/{name}"] for name in LOSSES if f"val/{name}" in row})
    ]
    finite = [v for v in validations if math.isfinite(v.losses.get("loss", math.nan))]
    best = min(finite, key=lambda v: v.losses["loss"], default=None)
    return Summary(max(run.rows), validations[-1] if validations else None, best, _seconds(run))


def differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Settings that differ between runs: by dotted key the value of each run, `UNSET` if it has no such key.

    Bookkeeping is left out, and what follows another setting of the same name, as ``data.seed`` does ``seed``. Runs
    without a configuration make no difference; their values are all `UNSET`.

    Example:
        >>> from pathlib import Path
        >>> runs = [Run(Path(), "a", {"seed": seed, "data.seed": seed, "model.lr": 0.1}, {}) for seed in (1, 2)]
        >>> differences(runs)
        {'seed': [1, 2]}
    """
    found = _all_differences(runs)
    return {k: v for k, v in found.items() if "." not in k or v != found.get(k.rpartition(".")[2])}


def common_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """Settings that are the same in all runs, without bookkeeping.

    Example:
        >>> from pathlib import Path
        >>> runs = [Run(Path(), "a", {"model.lr": lr, "seed": 0, "tags": []}, {}) for lr in (0.1, 0.2)]
        >>> common_settings(runs)
        {'seed': 0}
    """
    first = next((run.settings for run in runs if run.settings), {})
    differing = _all_differences(runs)
    return {k: v for k, v in first.items() if k not in differing and not _is_bookkeeping(k)}


def labels(runs: Sequence[Run], given: Sequence[str] | None = None) -> list[str]:
    """Unique labels, one for each run.

    A label is the run's name; runs that share a name add the settings that differ between them, and if there are none,
    their folder.

    Args:
        runs: the runs.
        given: labels chosen by the user, returned as they are.

    Raises:
        InputError: if the given labels are too many, too few or not unique.

    Example:
        >>> from pathlib import Path
        >>> labels([Run(Path(), "adain", {"model.lr": lr}, {}) for lr in (0.1, 0.2)])
        ['lr 0.1', 'lr 0.2']
    """
    if given is not None:
        if len(given) != len(runs) or len(set(given)) != len(given):
            raise InputError(
                f"{counted(len(given), 'label')} for {counted(len(runs), 'run')}; give one for each, all different"
            )
        return list(given)
    names = [_name(run, runs) for run in runs]
    again = {name for name in names if names.count(name) > 1}
    names = [f"{name} ({run.folder.name})" if name in again else name for name, run in zip(names, runs, strict=True)]
    return [f"{name} [{i}]" if name in names[: i - 1] else name for i, name in enumerate(names, 1)]


def incomparable_note(runs: Sequence[Run]) -> str:
    """A sentence that warns if the losses of runs measure different things; empty if they compare.

    Example:
        >>> from pathlib import Path
        >>> incomparable_note([Run(Path(), "a", {"data.crop": crop}, {}) for crop in (128, 256)])[:61]
        'The losses of these runs do not compare: they differ in data.'
    """
    differing = ", ".join(key for key in differences(runs) if key in LOSS_DEFINING_SETTINGS)
    if not differing:
        return ""
    return (
        f"The losses of these runs do not compare: they differ in {differing}; "
        "python -m adain_lit.evaluate measures all runs alike."
    )


def shown(value: Any) -> str:
    """Format the value of a setting.

    Example:
        >>> shown(None), shown(True), shown(1e-05), shown(["relu1_1", "relu2_1"])
        ('null', 'true', '1e-05', 'relu1_1, relu2_1')
    """
    if value is UNSET:
        return "not set"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _all_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    known = [run.settings for run in runs if run.settings]
    keys = dict.fromkeys(key for settings in known for key in settings if not _is_bookkeeping(key))
    # each is compared with the first; a dict in place of a set keeps the order of the configuration
    differing = [key for key in keys if any(s.get(key, UNSET) != known[0].get(key, UNSET) for s in known)]
    return {key: [run.settings.get(key, UNSET) for run in runs] for key in differing}


def _name(run: Run, runs: Sequence[Run]) -> str:
    namesakes = [other for other in runs if other.name == run.name]
    own = namesakes.index(run)
    parts = [f"{key.rpartition('.')[2]} {shown(values[own])}" for key, values in differences(namesakes).items()][:3]
    return ", ".join(parts if parts and len(namesakes) == len(runs) else [run.name, *parts])


def _is_bookkeeping(key: str) -> bool:
    return key.split(".")[0] in BOOKKEEPING


def _seconds(run: Run) -> float | None:
    """Training time from the pairs of each step and the logged pairs per second."""
    pairs = run.settings.get("data.batch_size")
    rates = [(step, row["train/pairs_per_second"]) for step, row in run.rows.items() if "train/pairs_per_second" in row]
    if pairs is None or not rates:
        return None
    pairs *= run.settings.get("trainer.accumulate_grad_batches", 1)
    before = [0, *(step for step, _ in rates)]  # each rate is the mean since the one before
    return float(sum(pairs * (step - last) / rate for last, (step, rate) in zip(before, rates, strict=False)))
