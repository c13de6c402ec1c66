"""Ending a trial of a search early where it lags behind the others."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from adain_lit.errors import InputError


class Pruning(Callback):
    """After each validation, tells an Optuna study how a trial does, and ends the trial where the study says so.

    The study lies in a storage, through which the processes of a search speak; `pruned` says that it was ended.

    Args:
        study: name of the study.
        storage: URL of its storage.
        trial: number of the trial.
        objective: what the study minimises, as `objective_value` takes it.
        pruner: an Optuna pruner; None is Optuna's own choice.
    """

    def __init__(
        self, *, study: str, storage: str, trial: int, objective: str | Mapping[str, float], pruner: Any = None
    ) -> None:
        import optuna

        # a sampler that does not look at the other trials: this one has its settings already
        found = optuna.load_study(
            study_name=study, storage=storage, pruner=pruner, sampler=optuna.samplers.RandomSampler()
        )
        self._trial = optuna.trial.Trial(found, found.trials[trial]._trial_id)
        self.objective = objective
        self.pruned = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report, and stop if that was not good enough."""
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._trial.report(objective_value(self.objective, values), trainer.global_step)
        if trainer.global_step < trainer.max_steps and self._trial.should_prune():
            self.pruned = trainer.should_stop = True


def objective_value(objective: str | Mapping[str, float], values: Mapping[str, float]) -> float:
    """The value that a sweep minimises.

    Args:
        objective: name of a value, or weights of several, which are added.
        values: of a validation.

    Returns:
        The sum; NaN if there was no validation.

    Raises:
        InputError: for a name that is not among the values.
    """
    weights = {objective: 1.0} if isinstance(objective, str) else objective
    if not values:
        return math.nan
    if missing := [name for name in weights if name not in values]:
        known = ", ".join(sorted(name for name in values if name.startswith("val/")))
        raise InputError(f"objective names {missing[0]!r}, which is not validated; known are {known}")
    return sum(weight * values[name] for name, weight in weights.items())
