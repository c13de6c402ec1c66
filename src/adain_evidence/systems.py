"""Systems that are trained alike, from several seeds, and compared on the same held-out pairs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adain_evidence.jobs import Job
from adain_evidence.outcomes import by_seed, evaluated, evaluation, logged, pair_count, selected
from adain_evidence.setting import Setting
from adain_lit.config.paths import last_checkpoint


@dataclass(frozen=True)
class Systems:
    """Trainings that differ in one setting.

    Attributes:
        names: readable name of each system, by its value of the setting.
        steps: of the trainings at small scale, over which their learning rate falls to 0: at a constant one the losses
            vary more within so few steps than the systems differ.
        key: the setting.
        experiment: that of all trainings, if `key` is another setting.
        medium: further settings of the trainings at medium scale, whose schedule is that of ``scale=medium``.
    """

    names: Mapping[str, str]
    steps: int
    key: str = "experiment"
    experiment: str | None = None
    medium: tuple[str, ...] = ()

    def trainings(self, setting: Setting) -> Job:
        """Every system with every seed, as one Hydra multirun."""
        fixed = () if self.experiment is None else (f"experiment={self.experiment}",)
        small = (
            f"trainer.max_steps={self.steps}",
            f"trainer.val_check_interval={self.steps // 10}",
            "model.lr_schedule=cosine",
            f"model.lr_steps={self.steps}",
        )
        common = setting.training(setting.seeds, *setting.pick(small=small, medium=self.medium, paper=()))
        settings = (*fixed, f"{self.key}={','.join(self.names)}", *common)
        return Job("train", "trainings", settings, setting.folder, multirun=True)

    def run_of(self, setting: Setting, system: str, seed: int) -> Path:
        """Folder of one training."""
        own = {} if self.experiment is None else {self.key: system}
        return self.trainings(setting).run_of(self.experiment or system, seed=seed, **own)

    def checkpoint(self, setting: Setting, system: str, seed: int) -> Path:
        """The last checkpoint of one training."""
        return last_checkpoint(self.run_of(setting, system, seed))

    def comparison(self, setting: Setting, seed: int) -> Job:
        """All systems of one seed on the same held-out pairs, measured with the losses of the first one."""
        networks = {self._alias(system): self.checkpoint(setting, system, seed) for system in self.names}
        size = setting.pick(
            small=("data.resize=160", "data.crop=96"), medium=("data.resize=256", "data.crop=256"), paper=()
        )
        return evaluation(setting, f"systems-{seed}", networks, "contents=10", "styles=10", *size)

    def jobs(self, setting: Setting) -> list[Job]:
        """The trainings, then an evaluation for each seed."""
        return [self.trainings(setting), *(self.comparison(setting, seed) for seed in setting.seeds)]

    def measured(self, setting: Setting, quantities: Mapping[str, str]) -> dict[str, dict[str, dict[int, float]]]:
        """Results of the evaluations as `write_results` takes them, for each system and for both images themselves.

        Args:
            setting: of the claim.
            quantities: readable name of each selected quantity.
        """
        first = self._alias(next(iter(self.names)))
        rows = {seed: evaluated(self.comparison(setting, seed), first) for seed in setting.seeds}
        found = selected(by_seed(rows), quantities)
        values = {name: found.pop(self._alias(system)) for system, name in self.names.items()}
        return values | found

    def spread(self, setting: Setting, quantities: Mapping[str, str]) -> str:
        """A sentence on the standard deviation over the pairs, first seed."""
        names = {self._alias(system): name for system, name in self.names.items()}
        job = self.comparison(setting, setting.seeds[0])
        rows = evaluated(job, next(iter(names)), statistic="std")
        parts = [
            f"{name} " + ", ".join(f"{rows[alias][key]:.3g}" for key in quantities) for alias, name in names.items()
        ]
        listed = ", ".join(quantities.values())
        return f"Standard deviation over the {pair_count(job)} pairs ({listed}): {'; '.join(parts)}."

    def record(self, setting: Setting) -> dict[str, Any]:
        """Number of steps of the trainings and of pairs of the evaluations."""
        seed = setting.seeds[0]
        steps, _ = logged(self.run_of(setting, next(iter(self.names)), seed), "val/loss")
        return {"steps": steps[-1], "pairs": pair_count(self.comparison(setting, seed))}

    def _alias(self, system: str) -> str:
        """Name in an evaluation, which allows only letters, digits and underscores."""
        return system if self.experiment is None else re.sub(r"\W", "_", f"{self.key.rpartition('.')[2]}_{system}")


ABLATIONS = Systems(
    {
        "enc_adain_dec": "Enc-AdaIN-Dec",
        "ablation_concat": "Enc-Concat-Dec",
        "ablation_bndec": "Enc-AdaIN-BNDec",
        "ablation_indec": "Enc-AdaIN-INDec",
    },
    1000,
)
"""The four systems of Figs. 5 and 6, which other claims use as well."""


def paper_system(setting: Setting, seed: int) -> tuple[Job, Path]:
    """Enc-AdaIN-Dec as the claim ``fig5_6_ablations`` trains it.

    Args:
        setting: of the claim that uses it.
        seed: of the training.

    Returns:
        The sweep of trainings that it belongs to, and its checkpoint.
    """
    name = "fig5_6_ablations"
    usual = Setting.parse(name, [f"scale={setting.scale}"]).seeds
    theirs = replace(setting, claim=name, seeds=tuple(sorted({seed, *usual})))
    return ABLATIONS.trainings(theirs), ABLATIONS.checkpoint(theirs, "enc_adain_dec", seed)
