"""Names of other libraries that are not public and that this project uses: each test names what has changed.

Each is used in one module, named in the test. If a test fails after an update, look at that module first.
"""

from pathlib import Path
from typing import Any

import lightning as L
import optuna
import pytest
from lightning.pytorch.loggers import WandbLogger


@pytest.fixture
def trainer() -> L.Trainer:
    return L.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_progress_bar=False)


def test_lightning_subprocess_script_launcher(trainer: L.Trainer) -> None:
    """`adain_lit.training.trainer`: the launcher of strategies that run the command again for every device."""
    from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

    assert isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher)


@pytest.mark.parametrize("path", ["fit_loop.epoch_loop.total_batch_idx", "val_check_batch", "log_every_n_steps"])
def test_lightning_loop_fields(path: str, trainer: L.Trainer) -> None:
    """`adain_lit.callbacks`: whether a validation follows this batch, and whether the step is logged."""
    found: Any = trainer
    for name in path.split("."):
        assert hasattr(found, name), f"lightning.Trainer.{path}"
        found = getattr(found, name)


def test_wandb_logger_init_arguments(tmp_path: Path) -> None:
    """`adain_lit.loggers.wandb`: the arguments of wandb.init, from which one is removed."""
    assert "anonymous" in WandbLogger(save_dir=tmp_path, offline=True)._wandb_init


def test_optuna_trial_id() -> None:
    """`adain_lit.callbacks.pruning`: the id by which a trial is opened in another process."""
    study = optuna.create_study()
    study.ask()
    assert optuna.trial.Trial(study, study.trials[0]._trial_id).number == 0
