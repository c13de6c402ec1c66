"""Compose the configuration of a command without running it."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

import adain_lit.tasks.config  # noqa: F401  (registers the schemas of conf/model)
from adain_lit.config.messages import one_line
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from adain_lit.errors import InputError


def composed(command: str, overrides: Sequence[str]) -> DictConfig:
    """The configuration of ``python -m adain_lit.<command>`` with `overrides`.

    Raises:
        InputError: if they do not compose.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            return compose(command, list(overrides))
    except Exception as error:
        line = one_line(error, command)
        if line is None:
            raise
        raise InputError(line) from error
