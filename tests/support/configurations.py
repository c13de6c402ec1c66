"""Composed configurations."""

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

import adain_lit.tasks.config  # noqa: F401  (registers the schemas of conf/model)
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers


def composed(*overrides: str, command: str = "train", output: str = "out") -> DictConfig:
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        arguments = [*overrides, f"hydra.runtime.output_dir={output}"]
        cfg = compose(command, arguments, return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
    return cfg
