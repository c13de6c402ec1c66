"""The W&B runs that a configuration names."""

from pathlib import Path

import pytest
from lightning.pytorch.loggers import WandbLogger
from omegaconf import OmegaConf

from adain_lit.loggers import wandb


@pytest.mark.parametrize(
    ("sweep", "given", "name"),
    [
        (False, "enc_adain_dec", "enc_adain_dec"),
        (True, "enc_adain_dec", "enc_adain_dec_seed-1"),
        (True, "a name of my own", "a name of my own"),
    ],
)
def test_jobs_of_a_sweep_have_the_names_of_their_folders(
    sweep: bool, given: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb, "in_sweep", lambda: sweep)
    node = {
        "_target_": "lightning.pytorch.loggers.WandbLogger",
        "name": given,
        "save_dir": str(tmp_path / "enc_adain_dec_seed-1"),
        "offline": True,
    }
    cfg = OmegaConf.create({"name": "enc_adain_dec", "logger": {"wandb": node}})
    (logger,) = wandb.chosen_loggers(cfg)
    assert isinstance(logger, WandbLogger)
    assert logger._wandb_init["name"] == name
    assert cfg.logger.wandb.name == given
