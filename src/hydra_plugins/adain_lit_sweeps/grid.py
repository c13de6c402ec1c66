"""A sweep over every combination of some settings, which runs only the jobs that are missing."""

import io
import itertools
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from adain_lit.errors import InputError

if TYPE_CHECKING:
    from adain_lit.sweeps.jobs import Job


class GridSweeper(Sweeper):
    """Every combination of the values, as Hydra's own sweeper, but only those that are missing.

    Each job has a folder that its settings name. Finished jobs are left alone, interrupted ones are resumed from
    their last checkpoint, and every attempt ends by rewriting the table, the plot and the contact sheet of all jobs.

    Args:
        params: settings to sweep over, beside those of the command line.
    """

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Fix the folder of the sweep: its name comes from the settings of the command, not from those of a job."""
        self.hydra_context, self.config = hydra_context, config
        self.folder = Path(config.hydra.sweep.dir)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs that are not finished, and report on all.

        Raises:
            InputError: if jobs failed, or if their folders hold other trainings.
        """
        overrides = self.overrides_of(arguments)
        swept = [override.get_key_element() for override in overrides if override.is_sweep_override()]
        jobs = []
        for combination in combinations(overrides):
            values = dict(override.split("=", 1) for override in combination)
            jobs.append(self.job(combination, {key: values[key] for key in swept}))
        jobs = list({job.folder: job for job in jobs}.values())  # a value given twice is one job
        missing = [job for job in jobs if not job.is_done()]
        from adain_lit.sweeps.report import reporting

        with reporting(jobs, missing, self.folder):
            self.launch(missing)

    def overrides_of(self, arguments: Sequence[str]) -> list[Override]:
        """The settings of `params` and of the command line; for a key in both, the latter counts."""
        assert self.hydra_context is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        params = [f"{key}={value}" for key, value in self.params.items()]
        return list(parser.parse_overrides([*params, *arguments]))

    def job(self, overrides: Sequence[str], swept: Mapping[str, str], prefix: str = "") -> "Job":
        """The job of some settings.

        Args:
            overrides: all of them.
            swept: those that differ from job to job.
            prefix: of its folder's name.

        Raises:
            HydraException: if they do not compose.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        HydraConfig.instance().set_config(config)  # the name refers to it
        # torch, which takes seconds, comes with a job: after settings that do not compose are refused
        from adain_lit.config.overrides import job_folder, of_the_training
        from adain_lit.sweeps.jobs import Job

        folder = job_folder(self.folder, str(config.name), swept, prefix=prefix)
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(folder.absolute())  # settings may refer to it
        HydraConfig.instance().set_config(config)
        return Job(str(config.name), folder, tuple(overrides), dict(swept), of_the_training(config))

    def launch(self, jobs: Sequence["Job"], *, first: int = 0, own: Sequence[Sequence[str]] = ()) -> None:
        """Run jobs until all have ended, numbered from `first`, each with its own further settings `own`."""
        assert self.launcher is not None
        if not jobs:
            return
        before = [job.record for job in jobs]
        more = own or [()] * len(jobs)
        arguments = [[*job.arguments, *extra] for job, extra in zip(jobs, more, strict=True)]
        for job, record, returned in zip(jobs, before, self.launcher.launch(arguments, first), strict=True):
            if (error := error_of(returned)) is not None:
                job.conclude(record, error)


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Every combination of the values of `overrides`, as overrides of one value each; the last one varies fastest.

    Raises:
        InputError: for an interval, which has no list of values.

    Example:
        >>> swept = OverridesParser.create().parse_overrides(["seed=0,1", "data.crop=64"])
        >>> combinations(swept)
        [['seed=0', 'data.crop=64'], ['seed=1', 'data.crop=64']]
    """
    choices = {}  # by key: the last override of a key counts
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise InputError(f"{override.input_line}: an interval needs a search; give sweeper=optuna, or values")
    return [list(combination) for combination in itertools.product(*choices.values())]


def error_of(returned: JobReturn) -> Exception | None:
    """Why a job failed; None if it did not."""
    try:
        with redirect_stderr(io.StringIO()):  # Hydra repeats all overrides there
            _ = returned.return_value
    except Exception as error:
        return error
    return None


@dataclass
class GridConf:
    """Settings of `GridSweeper`."""

    _target_: str = "hydra_plugins.adain_lit_sweeps.grid.GridSweeper"
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="adain_grid", node=GridConf, provider="adain_lit")
