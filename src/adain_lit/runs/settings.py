"""The configuration that a run left, ``config.yaml``."""

from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from adain_lit.errors import InputError

MAX_BYTES = 1_000_000
"""Largest file that is read; those of runs have some 4000 bytes."""
MAX_DEPTH = 50
"""Deepest nesting that is read; the parser's time grows with its square."""


def read_settings(path: Path) -> DictConfig:
    """Read the configuration of a run.

    Raises:
        InputError: if it is damaged, no configuration, or has aliases, by which a few hundred bytes can claim any
            amount of memory and which no run writes.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "config.yaml")
        >>> _ = path.write_text("seed: 3")
        >>> read_settings(path)
        {'seed': 3}
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"{size} bytes")
        text = path.read_text("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("it has YAML aliases, which no run writes")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        settings = OmegaConf.create(text)
        if not isinstance(settings, DictConfig):
            raise ValueError("it has no keys")
    except Exception as error:  # whatever the YAML parser raises on a damaged file
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())[:100]}); leave that run out") from error
    return settings
