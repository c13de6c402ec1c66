"""Pruning: a trial of a search that is worse than the others is ended early."""

import math
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from adain_lit.errors import InputError


class Pruning(Callback):
    """Reports each validation of a trial to its Optuna study, and ends the trial if the study's pruner says so.

    The processes of a search communicate through the storage of the study. `pruned` says whether the trial was ended.

    Args:
        study: name of the study.
        storage: URL of its storage.
        trial: number of the trial in the study.
        objective: what the study minimises, as `objective_value` takes it.
        pruner: an Optuna pruner; None is Optuna's own choice.
    """

    def __init__(
        self, *, study: str, storage: str, trial: int, objective: str | Mapping[str, float], pruner: Any = None
    ) -> None:
        import optuna

        # Any sampler will do, as the trial has its settings already; this one does not read the other trials.
        found = optuna.load_study(
            study_name=study, storage=storage, pruner=pruner, sampler=optuna.samplers.RandomSampler()
        )
        # Optuna has no public way to open a trial of another process.
        self._trial = optuna.trial.Trial(found, found.trials[trial]._trial_id)
        self.objective = objective
        self.pruned = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Report the objective, and stop the training if the pruner says so."""
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

    Example:
        >>> values = {"val/content_loss": 0.5, "val/style_loss": 0.2}
        >>> objective_value({"val/content_loss": 1.0, "val/style_loss": 10.0}, values)
        2.5
    """
    weights = {objective: 1.0} if isinstance(objective, str) else objective
    if not values:
        return math.nan
    if missing := [name for name in weights if name not in values]:
        known = ", ".join(sorted(name for name in values if name.startswith("val/")))
        raise InputError(f"objective names {missing[0]!r}, which is not validated; known are {known}")
    return sum(weight * values[name] for name, weight in weights.items())
