"""What is recorded with a result: hashes of the images, versions and hardware."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adain_evidence.setting import Setting
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.runs.record import environment
from adain_lit.training.trainer import trainer_precision


def image_record(setting: Setting, data: PairedDataModule) -> dict[str, Any]:
    """Number and hash of the images of each role, and a description; no names of files or folders.

    Args:
        setting: has the description.
        data: after ``setup``.
    """
    assert data.train_set is not None
    lists = {
        "photographs": data.train_set.contents.paths,
        "paintings": data.train_set.styles.paths,
        "held-out photographs": data.held_out_contents,
        "held-out paintings": data.held_out_styles,
    }
    record: dict[str, Any] = {"source": setting.where_from}
    return record | {name: {"count": len(paths), "sha256": hash_of(paths)} for name, paths in lists.items()}


def hash_of(paths: Sequence[Path]) -> str:
    """SHA-256 of the sorted SHA-256 sums of the files, independent of their names and folders."""
    each = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def circumstances(setting: Setting) -> dict[str, Any]:
    """Command, date, commit, versions and hardware."""
    known = environment()
    return {
        "command": setting.shown(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "precision": trainer_precision(setting.trained_precision, "auto"),
        **{key: known[key] for key in ("commit", "python", "packages", "cpu", "cpus", "torch_threads", "gpus")},
    }
