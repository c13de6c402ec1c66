"""Prepare the paper's training data: photographs of MS-COCO as content images, paintings of WikiArt as style images.

``python -m adain_lit.prepare coco`` downloads, unpacks, verifies and lists the photographs;
``python -m adain_lit.prepare verify data/wikiart`` verifies and lists any folder of images;
``python -m adain_lit.prepare split data/wikiart.txt --val 0.05`` divides a list. See docs/data.md.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from adain_lit.cli import run
from adain_lit.data.download import download, require_space, unpack_flat
from adain_lit.data.lists import ImageList, check_images, read_list, split_list, write_broken, write_list
from adain_lit.errors import InputError, counted
from adain_lit.io.formats import FRAME_SUFFIXES
from adain_lit.io.images import frame_count

COCO_URL = "http://images.cocodataset.org/zips"
"""The official server. It has no certificate of its own name, so plain http."""
COCO_IMAGES = {"train2014": 82_783, "val2014": 40_504, "train2017": 118_287, "val2017": 5_000}
"""Number of images in the official archives."""
COCO_GIGABYTES = {"train2014": 13.6, "val2014": 6.7, "train2017": 19.4, "val2017": 0.9}
"""Their sizes, rounded up."""


@dataclass(frozen=True, slots=True)
class _CocoSplit:
    """One part of COCO, and the paths of its files below the data root."""

    name: str
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "coco" / self.name

    @property
    def archive(self) -> Path:
        return self.folder.with_name(f"{self.name}.zip")

    @property
    def record(self) -> Path:
        """The file in which `download` records the SHA-256 of the archive."""
        return self.folder.with_name(f"{self.name}.zip.sha256")

    @property
    def list(self) -> Path:
        return _default_list(self.folder)

    def is_listed(self) -> bool:
        """Whether the list exists, is unaltered, and none of its images is missing."""
        try:
            return all(path.exists() for path in read_list(self.list).paths)
        except InputError:
            return False

    def is_unpacked(self) -> bool:
        """Whether the folder is complete and has no archive to compare with, as after unpacking by hand."""
        return not self.archive.exists() and _count_jpegs(self.folder) == COCO_IMAGES[self.name]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line entry point; the exit status."""
    return run(parser(), lambda arguments: arguments.run(arguments), argv, resumable=True)


def prepare_coco(arguments: argparse.Namespace) -> None:
    """Download, unpack, verify and list each requested part of COCO, skipping what is done already."""
    if arguments.sha256 and len(arguments.split) != 1:
        raise InputError("--sha256 is the checksum of one archive; select it with --split train or --split val")
    for part in dict.fromkeys(arguments.split):
        _prepare_split(_CocoSplit(f"{part}{arguments.year}", arguments.root), arguments)


def verify(arguments: argparse.Namespace) -> int:
    """Read every image of a folder tree and write the lists of readable and of broken images; 1 if any is broken."""
    path = arguments.list or _default_list(arguments.folder)
    _, broken = _list_folder(arguments.folder, path, arguments.jobs)
    _print(f"train with them: python -m adain_lit.train data=folders data.content_dir={path} data.style_dir=STYLES")
    return 1 if broken else 0


def split(arguments: argparse.Namespace) -> None:
    """Split a list, or a folder that is listed first, into training, validation and test lists."""
    source = arguments.source
    if source.is_dir():
        source = _default_list(source)
        _list_folder(arguments.source, source, arguments.jobs)
    parts = split_list(read_list(source), val=arguments.val, test=arguments.test)
    for name, images in zip(("train", "val", "test"), parts, strict=True):
        path = source.with_name(f"{source.stem}.{name}.txt")
        write_list(path, images)
        _print(f"{counted(len(images), 'image')} listed in {path}")


def _prepare_split(coco: _CocoSplit, arguments: argparse.Namespace) -> None:
    if coco.is_listed():
        _print(f"{coco.folder} is ready: {counted(len(read_list(coco.list)), 'image')} listed in {coco.list}")
    else:
        if not coco.is_unpacked():
            url = f"{arguments.base_url.rstrip('/')}/{coco.archive.name}"
            if not coco.archive.exists():
                coco.archive.parent.mkdir(parents=True, exist_ok=True)
                needed = 2 * COCO_GIGABYTES[coco.name]  # the zip, and its images beside it
                require_space(coco.archive.parent, int(needed * 1e9), f"downloading and unpacking {coco.name}")
            digest = download(url, coco.archive, sha256=arguments.sha256)
            _print(f"{coco.archive} has the SHA-256 {digest}")
            unpack_flat(coco.archive, coco.folder)
        images, _ = _list_folder(coco.folder, coco.list, arguments.jobs)
        if len(images) != COCO_IMAGES[coco.name]:
            _print(f"note: the official {coco.name} has {COCO_IMAGES[coco.name]} images, these are {len(images)}")
    _check_record(coco.record, arguments.sha256)
    if not arguments.keep_archive:
        coco.archive.unlink(missing_ok=True)


def _check_record(record: Path, sha256: str | None) -> None:
    """Compare the requested checksum with that of the archive that the images came from, perhaps long ago."""
    if sha256 is None:
        return
    recorded = record.read_text(encoding="utf-8").split()[0] if record.exists() else "that was not recorded"
    if recorded != sha256.lower():
        raise InputError(
            f"the images came from an archive with the SHA-256 {recorded}, needed is {sha256};"
            " delete the folder and its list, and run the same command to download it again"
        )


def _list_folder(folder: Path, path: Path, jobs: int) -> tuple[ImageList, int]:
    """Verify a folder, write its two lists and print their lengths.

    Returns:
        The readable images, and the number of broken files.
    """
    images, broken = check_images(folder, jobs=jobs)
    broken_path = path.with_name(f"{path.stem}.broken.txt")
    write_broken(broken_path, broken)
    write_list(path, images)
    _print(f"{counted(len(images), 'image')} listed in {path}, {counted(len(broken), 'broken file')} in {broken_path}")
    several = [image for image in images.paths if image.suffix.lower() in FRAME_SUFFIXES and frame_count(image) > 1]
    if several:
        _print(
            f"{counted(len(several), 'image')} with several frames, of which the first is used, such as {several[0]}"
        )
    return images, len(broken)


def _default_list(folder: Path) -> Path:
    """``FOLDER.txt`` beside the folder."""
    folder = Path(os.path.abspath(folder)) if folder.name in ("", "..") else folder
    if not folder.name:
        raise InputError(f"{folder} has no name to name its list after; give a sub-folder, or --list FILE")
    return folder.with_name(f"{folder.name}.txt")


def _count_jpegs(folder: Path) -> int:
    return sum(name.endswith(".jpg") for name in os.listdir(folder)) if folder.is_dir() else 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one line, like every other error of the command."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see python -m {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The command line of this module."""
    whole = _Parser(prog="adain_lit.prepare", description="Make training data ready; see docs/data.md.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    jobs = _Parser(add_help=False)
    jobs.add_argument(
        "--jobs",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="images read at a time (default: %(default)s)",
    )

    coco = commands.add_parser("coco", parents=[jobs], help="download, unpack, check and list MS-COCO photographs")
    coco.add_argument("--year", choices=("2014", "2017"), default="2014", help="default: %(default)s")
    coco.add_argument("--split", nargs="+", choices=("train", "val"), default=["train", "val"], help="default: both")
    coco.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("ADAIN_DATA") or "data"),
        metavar="DIR",
        help="folder that gets coco/ (default: $ADAIN_DATA, else data; now: %(default)s)",
    )
    coco.add_argument("--base-url", default=COCO_URL, metavar="URL", help="where the zips are (default: %(default)s)")
    coco.add_argument("--sha256", type=_sha256, metavar="HEX", help="checksum that the archive must have")
    coco.add_argument("--keep-archive", action="store_true", help="keep the zip after its images are listed")
    coco.set_defaults(run=prepare_coco)

    check = commands.add_parser(
        "verify", parents=[jobs], help="read every image of a folder, list the good ones; status 1 if any is broken"
    )
    check.add_argument("folder", type=Path, metavar="FOLDER")
    check.add_argument("--list", type=Path, metavar="FILE", help="the list to write (default: FOLDER.txt)")
    check.set_defaults(run=verify)

    divide = commands.add_parser("split", parents=[jobs], help="divide a list into training, validation and test")
    divide.add_argument("source", type=Path, metavar="FOLDER-or-LIST")
    divide.add_argument("--val", type=float, required=True, metavar="FRACTION", help="for validation, such as 0.05")
    divide.add_argument("--test", type=float, default=0.0, metavar="FRACTION", help="for the test (default: none)")
    divide.set_defaults(run=split)
    return whole


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _sha256(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError(f"{text} is not 64 hexadecimal digits")
    return text.lower()


if __name__ == "__main__":
    sys.exit(main())
