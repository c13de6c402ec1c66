"""Searching with Optuna: what is drawn, what is pruned, and going on with a study."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from adain_lit import train
from adain_lit.callbacks import Pruning, objective_value
from adain_lit.errors import InputError
from hydra_plugins.adain_lit_sweeps.search import distribution
from support.commands import hindrance, run_here, tiny


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.lr=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("model.lr=interval(0.5, 2)", FloatDistribution(0.5, 2)),
        ("data.batch_size=int(interval(2,8))", IntDistribution(2, 8)),
        ("model.lr_schedule=inverse,cosine", CategoricalDistribution(["inverse", "cosine"])),
        ("model.lr_warmup=range(0,30,10)", CategoricalDistribution(["0", "10", "20"])),
    ],
)
def test_search_space_is_that_of_the_overrides(text: str, expected: Any) -> None:
    (override,) = OverridesParser.create().parse_overrides([text])
    assert distribution(override) == expected


def test_interval_that_cannot_be_drawn_from_is_named() -> None:
    (override,) = OverridesParser.create().parse_overrides(["model.lr=tag(log,interval(0.0,1.0))"])
    with pytest.raises(InputError, match=r"model.lr=tag\(log,interval\(0.0,1.0\)\): .*low.*"):
        distribution(override)


def test_objective_is_a_value_or_a_weighted_sum() -> None:
    values = {"val/loss": 3.0, "val/content_loss": 1.0, "val/style_loss": 2.0, "train/loss": 9.0}
    assert objective_value("val/loss", values) == 3.0
    assert objective_value({"val/content_loss": 1.0, "val/style_loss": 10.0}, values) == 21.0
    assert objective_value("val/loss", {}) != objective_value("val/loss", {})  # NaN
    with pytest.raises(InputError, match=r"names 'val/acc'.*known are val/content_loss, val/loss, val/style_loss"):
        objective_value("val/acc", values)


def test_trial_that_lags_behind_is_stopped_but_not_at_its_last_step(tmp_path: Path) -> None:
    """Oracle: a threshold of 1 after step 10."""
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(study_name="s", storage=storage)
    pruner = optuna.pruners.ThresholdPruner(upper=1.0, n_warmup_steps=10)
    for value, step, pruned in ((0.5, 20, False), (2.0, 10, True), (2.0, 5, False), (2.0, 100, False)):
        trial = study.ask().number
        callback = Pruning(study="s", storage=storage, trial=trial, objective="val/loss", pruner=pruner)
        trainer: Any = SimpleNamespace(
            sanity_checking=False,
            state=SimpleNamespace(fn="fit"),
            callback_metrics={"val/loss": torch.tensor(value)},
            global_step=step,
            max_steps=100,
            should_stop=False,
        )
        callback.on_validation_end(trainer, None)  # type: ignore[arg-type]
        assert callback.pruned is trainer.should_stop is pruned
        assert study.trials[trial].intermediate_values == {step: value}


@pytest.mark.slow
def test_search_prunes_and_goes_on_where_it_was_interrupted(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four trials with lambda 1 or 1000; the loss under the latter is above the threshold from the first validation."""
    monkeypatch.chdir(tmp_path)
    hinder = tmp_path / "hinder"
    hinder.mkdir()
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), "sweeper=optuna", "sweep=search"]
    arguments += ["model.style_weight=1,1000", "trainer.max_steps=6", "trainer.val_check_interval=2"]
    arguments += ["hydra.sweeper.n_trials=4", "+hydra.sweeper.pruner.upper=3000"]
    arguments += [
        "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
        "~hydra.sweeper.pruner.n_startup_trials",
    ]
    for number in (1, 2, 3):
        (hinder / f"{number:03d}_enc_adain_dec_model.style_weight-1").write_text("interrupt")
    assert run_here(train.main, arguments, monkeypatch) == 130
    sweep = tmp_path / "outputs" / "multirun" / "search"
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{sweep}/study.db")
    broken_off = study.trials[-1]
    assert (broken_off.state, broken_off.params) == (TrialState.RUNNING, {"model.style_weight": "1"})
    folder = sweep / f"{broken_off.number:03d}_enc_adain_dec_model.style_weight-1"
    rows = (folder / "metrics.csv").read_text().splitlines()

    for file in hinder.glob("*-1"):
        file.unlink()
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert (folder / "metrics.csv").read_text().splitlines()[: len(rows)] == rows
    with (sweep / "sweep.csv").open(newline="") as file:
        jobs = list(csv.DictReader(file))
    trials = study.trials
    assert len(jobs) == len(trials) == 4
    for trial, job in zip(trials, jobs, strict=True):
        lags = trial.params["model.style_weight"] == "1000"
        assert trial.state == (TrialState.PRUNED if lags else TrialState.COMPLETE)
        assert (job["status"], job["step"]) == (("pruned", "2") if lags else ("finished", "6"))
        assert trial.value == pytest.approx(float(job["objective"]))
        assert list(trial.intermediate_values) == ([2] if lags else [2, 4, 6])
    assert {trial.state for trial in trials} == {TrialState.PRUNED, TrialState.COMPLETE}

    assert run_here(train.main, arguments, monkeypatch) == 0
    assert len(study.trials) == 4
    assert run_here(train.main, [*arguments, "hydra.sweeper.n_trials=5"], monkeypatch) == 0
    assert len(study.trials) == 5
