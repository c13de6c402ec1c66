"""A search over some settings with Optuna."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.utils import instantiate
from omegaconf import MISSING

from adain_lit.errors import InputError
from hydra_plugins.adain_lit_sweeps import grid

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from adain_lit.sweeps.jobs import Job

log = logging.getLogger(__name__)


class OptunaSweeper(grid.GridSweeper):
    """A search that prunes unpromising trials and continues where it was interrupted.

    The published Optuna sweepers for Hydra 1.3 need Optuna 2; none of them passes a job the number of its trial, which
    pruning needs, and all start again from the first trial.

    Args:
        n_trials: total number of finished or pruned trials to reach, including those of earlier attempts.
        n_jobs: trials at a time; None: as many as the launcher has slots.
        seed: of the sampler.
        sampler: configuration of an Optuna sampler.
        pruner: configuration of an Optuna pruner.
        storage: URL of the study; None: ``study.db`` in the folder of the sweep.
        params: settings to search over, beside those of the command line.
    """

    def __init__(
        self,
        *,
        n_trials: int,
        n_jobs: int | None,
        seed: int,
        sampler: Any,
        pruner: Any,
        storage: str | None,
        params: dict[str, str] | None,
    ) -> None:
        super().__init__(params)
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed
        self.sampler, self.pruner, self.storage = sampler, pruner, storage

    def sweep(self, arguments: list[str]) -> None:
        """Ask for trials and run them until there are enough.

        Raises:
            InputError: if jobs failed, if there is nothing to search over, or if Optuna is not installed.
        """
        from adain_lit.sweeps.report import reporting

        overrides = self.overrides_of(arguments)
        space = {o.get_key_element(): distribution(o) for o in overrides if o.is_sweep_override()}
        if not space:
            raise InputError("nothing to search over; give for example 'model.lr=tag(log,interval(1e-4,1e-2))'")
        (fixed,) = grid.combinations([o for o in overrides if not o.is_sweep_override()])
        study = self.study()
        jobs = [self.trial_job(trial, fixed) for trial in study.trials]
        for job in jobs:
            job.is_done()  # raises if its folder holds another training
        attempted: list[Job] = []
        at_a_time: int = self.n_jobs or getattr(self.launcher, "slots", None) or 1
        with reporting(jobs, attempted, self.folder):
            left = [trial for trial in study.trials if not trial.state.is_finished()]
            done = [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]
            to_go = self.n_trials - len(done)
            while to_go > 0:
                batch = left[: min(at_a_time, to_go)]
                del left[: len(batch)]
                while len(batch) < min(at_a_time, to_go):
                    number = study.ask(space).number
                    batch.append(study.trials[number])
                    jobs.append(self.trial_job(batch[-1], fixed))
                attempted += [jobs[trial.number] for trial in batch]
                self.run(study, batch, jobs)
                to_go -= len(batch)
            if any(trial.state.name == "COMPLETE" for trial in study.trials):
                best = study.best_trial
                log.info("best is trial %d with %s: %s", best.number, best.value, best.params)

    def study(self) -> "Study":
        """The study of this sweep, new or as an earlier attempt left it."""
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise InputError("searching needs Optuna: pip install 'adain_lit[sweeps]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if self.storage is None:
            self.storage = f"sqlite:///{self.folder.absolute()}/study.db"
        study = optuna.create_study(study_name=self.folder.name, storage=self.storage, load_if_exists=True)
        # another seed each time: the generator begins anew, and would draw the first trials again
        study.sampler = instantiate(self.sampler, seed=self.seed + len(study.trials))
        return study

    def trial_job(self, trial: "FrozenTrial", fixed: Sequence[str]) -> "Job":
        """The job of a trial."""
        swept = {key: value if isinstance(value, str) else repr(value) for key, value in trial.params.items()}
        overrides = [*fixed, *(f"{key}={value}" for key, value in swept.items())]
        return self.job(overrides, swept, prefix=f"{trial.number:03d}_")

    def run(self, study: "Study", trials: Sequence["FrozenTrial"], jobs: Sequence["Job"]) -> None:
        """Run those trials whose jobs are not done already, and report all of them to the study."""
        from optuna.trial import TrialState

        missing = [trial for trial in trials if not jobs[trial.number].is_done()]
        own = [self.pruning(trial.number, study.study_name) for trial in missing]
        self.launch([jobs[trial.number] for trial in missing], first=trials[0].number, own=own)
        for trial in trials:
            job = jobs[trial.number]
            value = job.record.objective if job.record else None
            if job.status == "pruned":
                study.tell(trial.number, state=TrialState.PRUNED)
            elif job.status == "finished" and value is not None:
                study.tell(trial.number, value)
            else:
                study.tell(trial.number, state=TrialState.FAIL)

    def pruning(self, trial: int, study: str) -> list[str]:
        """The overrides that make a job report to its trial."""
        from adain_lit.config.overrides import quoted

        values = {
            "_target_": "adain_lit.callbacks.Pruning",
            "study": study,
            "storage": self.storage,
            "trial": trial,
            "objective": "${objective}",
            "pruner": "${hydra:sweeper.pruner}",
        }
        texts = {key: quoted(value) if isinstance(value, str) else value for key, value in values.items()}
        return [f"+callbacks.pruning.{key}={text}" for key, text in texts.items()]


def distribution(override: Override) -> "BaseDistribution":
    """Values of a setting: ``interval(a,b)``, also in ``int(...)`` or ``tag(log,...)``, or a list of choices.

    Raises:
        InputError: if Optuna cannot draw from it.

    Example:
        >>> from hydra.core.override_parser.overrides_parser import OverridesParser
        >>> [override] = OverridesParser.create().parse_overrides(["model.lr=tag(log,interval(0.1,1.0))"])
        >>> distribution(override)
        FloatDistribution(high=1.0, log=True, low=0.1, step=None)
    """
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if not isinstance(value, IntervalSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    low, high, logarithmic = value.start, value.end, "log" in value.tags
    assert low is not None
    assert high is not None
    try:
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=logarithmic)
        return FloatDistribution(low, high, log=logarithmic)
    except ValueError as error:
        raise InputError(f"{override.input_line}: {error}") from error


@dataclass
class OptunaConf:
    """Settings of `OptunaSweeper`; conf/sweeper/optuna.yaml gives them."""

    _target_: str = "hydra_plugins.adain_lit_sweeps.search.OptunaSweeper"
    _recursive_: bool = False
    n_trials: int = MISSING
    n_jobs: int | None = MISSING
    seed: int = MISSING
    sampler: Any = MISSING
    pruner: Any = MISSING
    storage: str | None = MISSING
    params: dict[str, str] | None = MISSING


ConfigStore.instance().store(group="hydra/sweeper", name="adain_optuna", node=OptunaConf, provider="adain_lit")
