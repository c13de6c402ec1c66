"""Locations of the configuration tree and of the files of a run."""

from pathlib import Path


def conf_dir() -> Path:
    """Folder of the configuration tree: ``adain_lit/conf`` in a wheel, ``conf`` next to ``src`` in a checkout.

    Example:
        >>> (conf_dir() / "train.yaml").is_file()
        True
    """
    package = Path(__file__).resolve().parents[1]
    installed = package / "conf"
    return installed if installed.is_dir() else package.parents[1] / "conf"


def last_checkpoint(run: Path) -> Path:
    """Path of the newest checkpoint of a run that was not disturbed.

    Example:
        >>> last_checkpoint(Path("runs/adain")).as_posix()
        'runs/adain/checkpoints/last.ckpt'
    """
    return run / "checkpoints" / "last.ckpt"


def checkpoints_of(run: Path) -> list[Path]:
    """All checkpoints of a run; what a killed process left half-written has a hidden name and is not among them.

    Example:
        >>> checkpoints_of(Path("runs/none"))
        []
    """
    return sorted((run / "checkpoints").glob("[!.]*.ckpt"))
