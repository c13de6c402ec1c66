"""Images of a folder tree of any layout, and their split into training and held-out files."""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from adain_lit.errors import InputError
from adain_lit.io.files import find_files
from adain_lit.io.formats import IMAGE_SUFFIXES


def find_images(folder: str | Path) -> list[Path]:
    """All files below `folder` with the suffix of an image, as `adain_lit.io.files.find_files` finds them.

    Raises:
        InputError: if the folder is missing or holds no such file.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> [path.name for path in find_images(STYLE_FOLDER)][:2]
        ['art_nouveau-0.webp', 'art_nouveau-1.webp']
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise InputError(f"no folder {root}; give a folder of images or a list written by adain_lit.prepare")
    found = find_files(root, IMAGE_SUFFIXES)
    if not found:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(
            f"no image in {root}; files ending in {suffixes} are looked for, in all sub-folders that are not hidden"
        )
    return found


def hold_out(paths: Sequence[Path], root: Path, fraction: float) -> tuple[list[Path], list[Path]]:
    """Split files into training and held-out files by a hash of their path below `root`.

    The split does not change when files are added. No file is on both sides and neither side is empty; so with few
    files one may be moved against its hash, and a single file is on both sides.

    Args:
        paths: files below `root`.
        root: the folder; its own name does not matter.
        fraction: fraction of the files to hold out, in (0, 1).

    Returns:
        The files to train on and the held-out files.

    Example:
        >>> files = [Path(f"cats/{i}.jpg") for i in range(1000)]
        >>> train, held_out = hold_out(files, Path("cats"), fraction=0.05)
        >>> len(train), len(held_out)
        (950, 50)
    """
    places = {path: place_in_split(path.relative_to(root).as_posix()) for path in paths}
    ordered = sorted(places.values())
    threshold = min(max(fraction, ordered[0]), ordered[-2:][0])  # at least one held out, at least one to train on
    held_out = [path for path in paths if places[path] <= threshold]
    train = [path for path in paths if places[path] > threshold]
    return train or held_out, held_out


def place_in_split(name: str) -> float:
    """A number in [0, 1) that depends only on a relative path, in whichever Unicode form the file system stores it.

    Example:
        >>> round(place_in_split("cats/1.jpg"), 4)
        0.8705
    """
    digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48
