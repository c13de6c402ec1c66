"""Shared and differing settings, labels, and summaries against sums by hand."""

import math
from pathlib import Path
from typing import Any

import pytest

from adain_lit.errors import InputError
from adain_lit.runs.comparison import (
    UNSET,
    common_settings,
    differences,
    incomparable_note,
    labels,
    shown,
    summarise,
)
from adain_lit.runs.run import Run
from support.run_folders import losses


def run(name: str, folder: str = "folder", /, **settings: Any) -> Run:
    """A run of three steps; __ in a key stands for a dot."""
    return Run(Path(folder), name, {key.replace("__", "."): value for key, value in settings.items()}, losses(3))


def test_settings_differ_where_values_or_keys_do_and_bookkeeping_never() -> None:
    a = run("a", model__lr=1e-3, model__norm="none", name="a", logger__wandb__id="1", seed=0)
    b = run("b", model__lr=1e-4, model__norm="none", name="b", logger__wandb__id="2", seed=0, model__new=1)
    assert differences([a, b]) == {"model.lr": [1e-3, 1e-4], "model.new": [UNSET, 1]}
    assert common_settings([a, b]) == {"model.norm": "none", "seed": 0}


def test_setting_that_follows_another_is_no_difference_of_its_own() -> None:
    runs = [run("a", seed=seed, data__seed=seed, model__lr=lr) for seed, lr in ((1, 0.1), (2, 0.1))]
    assert differences(runs) == {"seed": [1, 2]}
    assert common_settings(runs) == {"model.lr": 0.1}
    assert labels(runs) == ["seed 1", "seed 2"]
    own = [run("a", seed=seed, data__seed=other) for seed, other in ((1, 5), (2, 5), (2, 6))]
    assert differences(own) == {"seed": [1, 2, 2], "data.seed": [5, 5, 6]}


def test_a_run_without_a_configuration_makes_no_difference() -> None:
    a, unknown = run("a", model__lr=1e-3, seed=0), run("b")
    assert differences([a, unknown]) == {}
    assert common_settings([unknown, a]) == {"model.lr": 1e-3, "seed": 0}
    assert differences([unknown, unknown]) == common_settings([unknown]) == {}


def test_labels_are_names_then_settings_then_folders() -> None:
    assert labels([run("a"), run("b")]) == ["a", "b"]
    swept = [run("a", model__style_weight=1.0), run("a", model__style_weight=10.0)]
    assert labels(swept) == ["style_weight 1", "style_weight 10"]
    assert labels([*swept, run("b")]) == ["a, style_weight 1", "a, style_weight 10", "b"]
    assert labels([run("a", "monday"), run("a", "tuesday")]) == ["a (monday)", "a (tuesday)"]
    assert labels([run("a", "0_a"), run("a", "0_a")]) == ["a (0_a)", "a (0_a) [2]"]


def test_given_labels_are_taken_if_there_is_one_for_each() -> None:
    runs = [run("a"), run("b")]
    assert labels(runs, ["x", "y"]) == ["x", "y"]
    for given in (["x"], ["x", "y", "z"], ["x", "x"]):
        with pytest.raises(InputError, match=r"labels? for 2 runs"):
            labels(runs, given)


def test_runs_whose_losses_do_not_compare_get_a_note() -> None:
    runs = [run("a", model__fusion="adain", model__lr=1, data__crop=128), run("b", model__fusion="concat", model__lr=2)]
    assert "they differ in model.fusion, data.crop;" in incomparable_note(runs)
    assert incomparable_note(runs[:1]) == ""


@pytest.mark.parametrize(
    "setting",
    [
        "model.encoder",
        "model.encoder_preprocessing",
        "model.unit_mean_images",
        "model.loss_unit_mean_images",
        "model.styles",
        "model.teacher",
        "data.val_pairs",
        "data.val_fraction",
    ],
)
def test_settings_of_the_networks_and_images_that_measure_get_a_note(setting: str) -> None:
    runs = [run("a", **{setting.replace(".", "__"): value}) for value in (0, 64)]
    assert f"they differ in {setting};" in incomparable_note(runs)


def test_last_and_best_validation_are_those_of_the_log() -> None:
    rows = losses(8)  # validation at 2, 4, 6, 8
    rows[6]["val/loss"] = 0.1
    rows[8]["val/loss"] = math.nan
    summary = summarise(Run(Path(), "a", {}, rows))
    assert summary.steps == 8
    assert summary.last is not None
    assert summary.last.step == 8
    assert summary.last.losses["content_loss"] == 1.5 / 8
    assert summary.best is not None
    assert (summary.best.step, summary.best.losses["style_loss"]) == (6, 1.5 * 2 / 6)


def test_a_run_without_validation_has_neither() -> None:
    summary = summarise(Run(Path(), "a", {}, losses(1)))
    assert (summary.last, summary.best, summary.seconds) == (None, None, None)


def test_training_time_is_pairs_by_pairs_per_second() -> None:
    """10 steps at 4 pairs/s, then 20 at 8, each of 2 x 8 pairs: 40 s + 40 s."""
    rows = {10: {"train/pairs_per_second": 4.0}, 20: {"val/loss": 1.0}, 30: {"train/pairs_per_second": 8.0}}
    settings = {"data.batch_size": 8, "trainer.accumulate_grad_batches": 2}
    assert summarise(Run(Path(), "a", settings, rows)).seconds == pytest.approx(80)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), (1e-05, "1e-05"), (10.0, "10"), ("a", "a"), (["a", 1.0], "a, 1"), ({}, "{}")],
)
def test_settings_are_shown_as_people_write_them(value: Any, text: str) -> None:
    assert shown(value) == text
