"""The command line of a resumed run: that of the run itself, and what is given anew."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from adain_lit.config.overrides import quoted, unresolved
from adain_lit.config.paths import checkpoints_of
from adain_lit.distributed import processes

NOT_REPEATED = {"resume", "ckpt_path"}
"""Settings of the first command that say where it started from."""
RECORD = "overrides.yaml"
DEFAULT_ROOT = "outputs"
"""``output_root`` in conf/train.yaml."""


def resumed(arguments: Sequence[str]) -> list[str]:
    """Complete a command line with ``resume=``: what the run was started with and what is not given again is repeated.

    ``resume=last`` becomes the folder of a run: the last one of the given ``experiment`` or ``name``, and if neither is
    given, the last one of all. Any other command line, and one whose run cannot be found, is returned as it is.

    Args:
        arguments: of the command, without its name.
    """
    given = dict(_split(text) for text in arguments if "=" in text and not text.startswith("-"))
    resume = given.get("resume")
    if resume in (None, "null") or {"-m", "--multirun"} & set(arguments) or processes.queued_again():
        return list(arguments)
    run = _last_run(given) if resume == "last" else Path(str(resume).strip("'\""))
    if run is None or not checkpoints_of(run):
        return list(arguments)
    own = [text for text in _overrides(run) if _is_kept(text, arguments)]
    rest = [f"resume={quoted(str(run))}" if text == f"resume={resume}" else text for text in arguments]
    if not any(text.split("=")[0] in ("--config-dir", "-cd") for text in arguments):
        own += [f"--config-dir={folder}" for folder in _config_folders(run)]
    return [*own, *rest]


def _last_run(given: dict[str, str]) -> Path | None:
    root = Path(given.get("output_root", DEFAULT_ROOT))
    name = given.get("name") or given.get("experiment") or "*"
    checkpoints = root.glob(f"{name}/*/checkpoints/[!.]*.ckpt")
    runs = sorted((path.stat().st_mtime, path.parents[1]) for path in checkpoints)
    return runs[-1][1] if runs else None


def _is_kept(text: str, arguments: Sequence[str]) -> bool:
    """Whether a setting of the first command is repeated: it does not say where to start, and is not given anew."""
    key = text.split("=")[0]
    if key in NOT_REPEATED:
        return False
    again = {argument.split("=")[0] for argument in arguments}
    # an addition (+key) has to stay where the key is set to another value
    return key not in again and (key.startswith("+") or key.lstrip("~") not in {other.lstrip("+~") for other in again})


def record(run: Path) -> None:
    """Write the settings that a run was started with into its folder, once nothing speaks against them.

    Hydra's own list has those of a refused attempt to resume as well.
    """
    given = unresolved(HydraConfig.get().overrides.task)
    OmegaConf.save(OmegaConf.create(given), run / RECORD)


def _overrides(run: Path) -> list[str]:
    own = run / RECORD
    path = own if own.is_file() else run / ".hydra" / "overrides.yaml"
    found: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else []
    return [str(text) for text in found]


def _config_folders(run: Path) -> list[str]:
    """Folders that ``--config-dir`` added to the configuration of a run."""
    path = run / ".hydra" / "hydra.yaml"
    sources = OmegaConf.select(OmegaConf.load(path), "hydra.runtime.config_sources") if path.is_file() else None
    return [str(source.path) for source in sources or [] if source.provider == "command-line"]


def _split(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def complete_command_line() -> None:
    """Replace the arguments of this process by `resumed` of them."""
    sys.argv[1:] = resumed(sys.argv[1:])
