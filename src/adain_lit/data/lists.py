"""Image lists: text files with the path, checksum and size of every readable image of a folder."""

import hashlib
import os
import re
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from adain_lit.data.folders import find_images, place_in_split
from adain_lit.errors import InputError, counted
from adain_lit.io.files import irregular_kind, write_atomically
from adain_lit.io.images import ImageReadError, read_image

FORMAT_VERSION = 1
# Lists of earlier versions begin with "picture list".
_HEADER = re.compile(r"# adain_lit (?:image|picture) list ([0-9]+)  count=([0-9]+)  sha256=([0-9a-f]{64})  root=(.+)")
_LINE = re.compile(r"([0-9a-f]{64})  ([1-9][0-9]*) ([1-9][0-9]*)  (.+)")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One readable image.

    Attributes:
        path: relative to the list's root, with forward slashes.
        sha256: checksum of the file, in hexadecimal.
        width: in pixels, upright (after the EXIF orientation).
        height: in pixels, upright.
    """

    path: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """A file that cannot be used, and the reason in one line."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImageList:
    """The images of a folder.

    Attributes:
        root: the folder, absolute.
        entries: the images, in the order of the list.

    Example:
        >>> entry = ImageEntry("cats/a.jpg", "0" * 64, width=640, height=480)
        >>> [path.as_posix() for path in ImageList(Path("images"), (entry,)).paths]
        ['images/cats/a.jpg']
    """

    root: Path
    entries: tuple[ImageEntry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def paths(self) -> list[Path]:
        """Paths of the images, in the order of the list."""
        return [self.root / entry.path for entry in self.entries]


def read_list(path: str | Path) -> ImageList:
    """Read an image list without opening the images.

    Raises:
        InputError: if the file is missing, not an image list, or altered.
    """
    path = Path(path)
    if kind := irregular_kind(path):
        raise InputError(f"cannot read the image list {path}: it is {kind}, not a regular file")
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"cannot read the image list {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not an image list: it is not UTF-8 text") from error
    first, _, body = text.partition("\n")
    header = _HEADER.fullmatch(first)
    if header is None:
        raise InputError(f"{path} is not an image list: its first line is not '# adain_lit image list ...'")
    version, count, sha256, root = header.groups()
    if int(version) != FORMAT_VERSION:
        raise InputError(f"{path} has the list format {version}, this program reads {FORMAT_VERSION}; update adain_lit")
    if _sha256(body) != sha256:
        raise InputError(f"{path} was altered: its lines do not match the checksum in its header; write the list again")
    entries = tuple(_parse(path, line) for line in body.split("\n")[:-1])
    if len(entries) != int(count):
        raise InputError(f"{path} has {counted(len(entries), 'image')}, its header says {count}; write the list again")
    return ImageList(Path(os.path.abspath(path.parent / root)), entries)


def find_source_images(source: str | Path) -> tuple[list[Path], Path]:
    """Images of a folder (searched recursively) or of an image list, and the folder that their paths are relative to.

    Raises:
        InputError: if there are none.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> paths, root = find_source_images(STYLE_FOLDER)
        >>> len(paths), root == STYLE_FOLDER
        (68, True)
    """
    path = Path(source).expanduser()
    if path.is_file():
        images = read_list(path)
        if not len(images):
            raise InputError(f"the image list {path} is empty; give a list with images or a folder")
        return list(images.paths), images.root
    return find_images(path), path


def write_list(path: str | Path, images: ImageList) -> None:
    """Write an image list, with the root relative to the list file where that is possible.

    Raises:
        InputError: if the root or an image has a line break or bytes that are not UTF-8 in its name.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_list(folder / "cats.txt", ImageList(folder / "cats", (ImageEntry("a.jpg", "0" * 64, 640, 480),)))
        >>> read_list(folder / "cats.txt").entries[0].width
        640
    """
    path = Path(path)
    lines = [f"{entry.sha256}  {entry.width} {entry.height}  {_writable(entry.path)}\n" for entry in images.entries]
    body = "".join(lines)
    root = _writable(_relative_root(images.root, path.parent))
    header = f"# adain_lit image list {FORMAT_VERSION}  count={len(lines)}  sha256={_sha256(body)}  root={root}\n"
    _write_text(path, header + body)


def write_broken(path: str | Path, broken: Iterable[BrokenImage]) -> None:
    r"""Write one line for each broken image: path, tab, reason.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "broken.txt")
        >>> write_broken(path, [BrokenImage("cats/b.jpg", "truncated")])
        >>> path.read_text()
        'cats/b.jpg\ttruncated\n'
    """
    lines = [f"{_printable(image.path)}\t{_printable(image.reason)}\n" for image in broken]
    _write_text(Path(path), "".join(lines))


def check_images(
    root: str | Path, *, jobs: int = 1, progress: bool = True
) -> tuple[ImageList, tuple[BrokenImage, ...]]:
    """Decode every image of a folder tree.

    Args:
        root: the folder.
        jobs: number of images read at a time.
        progress: show a progress bar if stderr is a terminal.

    Returns:
        The readable and the broken images, both in the order of `find_images`.

    Raises:
        InputError: if `root` is not a folder, or holds no image.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> images, broken = check_images(STYLE_FOLDER, jobs=2, progress=False)
        >>> len(images), len(broken), images.entries[0].path
        (68, 0, 'art_nouveau-0.webp')
    """
    root = Path(os.path.abspath(root))
    names = [path.relative_to(root).as_posix() for path in find_images(root)]
    with warnings.catch_warnings():
        # read_image silences warnings temporarily, which is not thread-safe: silence them around all threads.
        warnings.simplefilter("ignore")
        pool = ThreadPoolExecutor(jobs)  # enough: Pillow and hashlib release the interpreter lock
        try:
            results = pool.map(partial(_check, root), names)
            checked = list(tqdm(results, desc=root.name, total=len(names), disable=None if progress else True))
        finally:
            pool.shutdown(cancel_futures=True)
    entries = tuple(result for result in checked if isinstance(result, ImageEntry))
    broken = tuple(result for result in checked if isinstance(result, BrokenImage))
    return ImageList(root, entries), broken


def split_list(images: ImageList, *, val: float, test: float = 0.0) -> tuple[ImageList, ImageList, ImageList]:
    """Split a list into training, validation and test images by a hash of each relative path.

    The side of an image depends only on its path, so it stays the same when images are added.

    Args:
        images: the list to split.
        val: fraction for validation.
        test: fraction for testing.

    Raises:
        InputError: if a fraction is negative, or they leave nothing to train on.

    Example:
        >>> entries = tuple(ImageEntry(f"{i}.jpg", "0" * 64, 640, 480) for i in range(1000))
        >>> [len(part) for part in split_list(ImageList(Path("cats"), entries), val=0.1, test=0.1)]
        [809, 91, 100]
    """
    if not (val >= 0 and test >= 0 and val + test < 1):  # NaN is refused too
        raise InputError(f"val={val} and test={test}: needed are fractions of at least 0 whose sum is below 1")
    parts: tuple[list[ImageEntry], list[ImageEntry], list[ImageEntry]] = ([], [], [])
    for entry in images.entries:
        place = place_in_split(entry.path)
        parts[1 if place < val else 2 if place >= 1 - test else 0].append(entry)
    train, validation, tested = (ImageList(images.root, tuple(part)) for part in parts)
    return train, validation, tested


def _check(root: Path, name: str) -> ImageEntry | BrokenImage:
    try:
        _writable(name)
        width, height = read_image(root / name).size  # the image is let go at once, before another one is decoded
        with (root / name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except ImageReadError as error:
        return BrokenImage(name, error.reason)
    except InputError as error:
        return BrokenImage(name, str(error))
    return ImageEntry(name, sha256, width, height)


def _parse(path: Path, line: str) -> ImageEntry:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InputError(f"{path} has a line that is not 'sha256  width height  path': {line[:80]!r}")
    sha256, width, height, name = match.groups()
    return ImageEntry(name, sha256, int(width), int(height))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _writable(name: str) -> str:
    if name != _printable(name):
        raise InputError(f"{name!r} has a line break or bytes that are not UTF-8 in its name; rename it")
    return name


def _printable(text: str) -> str:
    """The text in one line of valid UTF-8: unchanged if it is that, else with escapes."""
    return text.replace("\n", "\\n").replace("\r", "\\r").encode("utf-8", "backslashreplace").decode()


def _relative_root(root: Path, folder: Path) -> str:
    try:
        relative = os.path.relpath(root, folder)
        if os.path.realpath(folder / relative) != os.path.realpath(root):  # `..` out of a linked folder
            relative = os.path.relpath(os.path.realpath(root), os.path.realpath(folder))
    except ValueError:  # another drive
        return root.as_posix()
    return Path(relative).as_posix()


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))
