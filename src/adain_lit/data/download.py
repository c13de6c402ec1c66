"""Large archives from the network: download, checksum and safe unpacking."""

import hashlib
import os
import shutil
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from adain_lit.errors import InputError

_TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""


def download(url: str, target: str | Path, *, sha256: str | None = None) -> str:
    """Download `url` to `target` and record its SHA-256 in ``target.sha256``, in the format of ``sha256sum``.

    `target` appears only when it is complete. If it exists, nothing is downloaded, but its checksum is still verified
    and recorded. A broken download starts over; ``curl -C -`` continues one.

    Args:
        url: an http or https address.
        target: the file to write; its folder is created.
        sha256: checksum that the file must have, in hexadecimal; None accepts any file.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        InputError: if the file cannot be downloaded, or has another checksum.
        OSError: if it cannot be written.
    """
    target = Path(target)
    if not target.exists():
        _fetch(url, target)
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise InputError(
            f"{target} has the SHA-256 {digest}, needed is {sha256}; correct the checksum, or delete the file"
            " and run the same command to download it again"
        )
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    return digest


def _fetch(url: str, target: Path) -> None:
    import pooch  # here: with requests it takes a moment, which other commands need not wait for
    import requests

    pooch.get_logger().setLevel("WARNING")  # it would report the address and the checksum, as `prepare` does
    progress = sys.stderr.isatty()
    downloader = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 16, timeout=_TIMEOUT)
    try:
        # The checksum is verified by the caller: pooch would delete a file that has another one.
        pooch.retrieve(url, known_hash=None, fname=target.name, path=target.parent, downloader=downloader)
    except requests.HTTPError as error:
        raise InputError(f"the server answered {error}; check the address") from error
    except requests.RequestException as error:
        raise InputError(
            f"{url}: the download failed ({type(error).__name__}); run the same command to start over, or let"
            f" `curl -C - -o {target} {url}` finish it, which continues after a break, and then run the same command"
        ) from error


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise an `InputError` unless `needed` bytes are free on the disk of `folder`, which exists.

    Example:
        >>> require_space(Path("."), 1, purpose="this example")
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 1e9:.1f} GB free, {purpose} needs {needed / 1e9:.1f} GB;"
            " make room or choose another folder"
        )


def unpack_flat(archive: str | Path, folder: str | Path, *, progress: bool = True) -> int:
    """Unpack a zip whose files are all directly in one folder with the name of `folder`, and verify every CRC.

    A file appears under its name only when it is complete. Existing files with the right size and CRC are kept, so a
    second call continues an interrupted one.

    Args:
        archive: the zip file.
        folder: where the files go, such as ``data/coco/train2017`` for members ``train2017/*.jpg``.
        progress: show a progress bar if stderr is a terminal.

    Returns:
        The number of files in the archive.

    Raises:
        InputError: if the archive is damaged, has a file outside that folder, or does not fit on the disk.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with zipfile.ZipFile(folder / "val.zip", "w") as archive:
        ...     archive.writestr("val/a.jpg", b"image")
        >>> unpack_flat(folder / "val.zip", folder / "val", progress=False), (folder / "val" / "a.jpg").read_bytes()
        (1, b'image')
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [(member, _flat_target(member, folder)) for member in zipped.infolist() if not member.is_dir()]
            folder.mkdir(parents=True, exist_ok=True)
            missing = sum(member.file_size for member, target in members if not target.exists())
            require_space(folder, missing, f"unpacking {archive.name}")
            for member, target in tqdm(members, desc=f"unpack {archive.name}", disable=None if progress else True):
                if not _is_unpacked(member, target):
                    _unpack(zipped, member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"{archive} is damaged, incomplete or not a plain zip ({error}); complete it with `curl -C -`"
            " (docs/data.md), or delete it, and run the same command again"
        ) from error
    return len(members)


def _flat_target(member: zipfile.ZipInfo, folder: Path) -> Path:
    name = PurePosixPath(member.filename).name
    direct = PurePosixPath(member.filename).parts == (folder.name, name)
    if not direct or name == ".." or any(character in name for character in "\\:\n\r"):
        raise InputError(
            f"the archive contains {member.filename!r}, which is not a file directly in {folder.name}/;"
            " nothing was unpacked: get the archive from a place you trust"
        )
    return folder / name


def _is_unpacked(member: zipfile.ZipInfo, target: Path) -> bool:
    same_size = target.is_file() and target.stat().st_size == member.file_size
    return same_size and zlib.crc32(target.read_bytes()) == member.CRC


def _unpack(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    temporary = target.with_name(".unpacking")
    try:
        with zipped.open(member) as source, temporary.open("wb") as file:
            shutil.copyfileobj(source, file)  # zipfile verifies the CRC at the end
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
