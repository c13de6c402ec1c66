"""Finding images on disk: a folder tree of any layout, or a list that `prepare` wrote."""

import hashlib
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from adain_lit.errors import InputError
from adain_lit.io.images import IMAGE_SUFFIXES


def find_images(folder: str | Path) -> list[Path]:
    """Every file below `folder` with an image's suffix, sorted by its path; symbolic links are followed once.

    Raises:
        InputError: if the folder is missing or holds no such file.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"no folder {root}; give a folder of images or a list written by adain_lit.prepare")
    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(root, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders.sort()
        found += [Path(parent, name) for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"no image in {root}; files ending in {suffixes} are looked for, in all sub-folders")
    return sorted(found)


def hold_out(paths: Sequence[Path], root: Path, fraction: float) -> tuple[list[Path], list[Path]]:
    """Split files into training and held-out by a hash of their path below `root`.

    The split stays as it is when files are added. No file is on both sides and neither side is empty, except that a
    single file is on both; so of a few files one may be moved against its hash.

    Args:
        paths: files below `root`.
        root: the folder; its own name plays no part.
        fraction: share to hold out, in (0, 1).
    """
    shares = {path: place_in_split(path.relative_to(root).as_posix()) for path in paths}
    ordered = sorted(shares.values())
    threshold = min(max(fraction, ordered[0]), ordered[-2:][0])  # at least one held out, at least one to train on
    held_out = [path for path in paths if shares[path] <= threshold]
    train = [path for path in paths if shares[path] > threshold]
    return train or held_out, held_out


def place_in_split(name: str) -> float:
    """A number in [0, 1) that depends on a relative path alone, however the file system composes its letters."""
    digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48
