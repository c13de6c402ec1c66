"""Where the configuration tree and the files of a run are."""

from pathlib import Path


def conf_dir() -> Path:
    """The configuration tree: ``adain_lit/conf`` in an installed wheel, ``conf`` beside ``src`` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def last_checkpoint(run: Path) -> Path:
    """Where a run keeps its newest checkpoint."""
    return run / "checkpoints" / "last.ckpt"
