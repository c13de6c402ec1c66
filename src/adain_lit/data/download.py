"""Large archives from the network: downloads that resume, are retried and checked, and safe unpacking."""

import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from adain_lit.errors import InputError

logger = logging.getLogger(__name__)

_CHUNK = 1 << 16
_TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be different a moment later."""


class _BrokenOffError(Exception):
    """The connection gave less than the whole file; another try may give the rest."""


@dataclass(frozen=True, slots=True)
class _Version:
    """Which state of the file at `url` a ``.part`` file is the beginning of; kept as JSON beside it."""

    url: str
    total: int | None
    etag: str | None
    modified: str | None

    def same_file(self, other: "_Version") -> bool:
        """Whether nothing that both sides state tells the two apart."""
        stated = ((self.etag, other.etag), (self.modified, other.modified))
        return self.total == other.total and all(a == b for a, b in stated if a and b)


def download(
    url: str,
    target: str | Path,
    *,
    sha256: str | None = None,
    retries: int = 5,
    wait: float = 1.0,
    room: int = 1,
    progress: bool = True,
) -> str:
    """Download `url` to `target`; a download that was broken off is continued.

    Until it is whole, the file is called ``target.part``. Its SHA-256 is recorded in ``target.sha256``, in the format
    of ``sha256sum``. If `target` exists, nothing is downloaded, but the checksum is still computed, checked and
    recorded.

    Args:
        url: an http or https address.
        target: the file to write; its folder is made.
        sha256: the checksum that the file must have, in hexadecimal; None takes what comes.
        retries: how often in a row to try again when no new byte came.
        wait: seconds before the first retry; doubled each time.
        room: how many times the file's size must fit on the disk: 2 if it will be unpacked beside itself.
        progress: show a progress bar if stderr is a terminal.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        InputError: if the server refuses or stays away, the space is too small or the checksum is another one.
        OSError: if the file cannot be written.
    """
    target = Path(target)
    part = _beside(target, ".part")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _complete(url, part, retries=retries, wait=wait, room=room, progress=progress)
    whole = target if target.exists() else part
    with whole.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise InputError(
            f"{whole} has the SHA-256 {digest}, needed is {sha256}; correct the checksum, or delete the file"
            " and run the same command to download it again"
        )
    _beside(target, ".sha256").write_text(f"{digest}  {target.name}\n", encoding="utf-8")
    os.replace(whole, target)
    _beside(part, ".json").unlink(missing_ok=True)
    return digest


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Raise an `InputError` unless `needed` bytes are free in `folder`."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"{folder} has {free / 1e9:.1f} GB free, {purpose} needs {needed / 1e9:.1f} GB;"
            " make room or choose another folder"
        )


def unpack_flat(archive: str | Path, folder: str | Path, *, progress: bool = True) -> int:
    """Unpack a zip whose files all lie directly in one folder called like `folder`, checking every CRC.

    A file appears under its name only when it is whole. Files that are already there with the right size and CRC are
    left alone, so that a second call does the rest.

    Args:
        archive: the zip file.
        folder: where to put the files, such as ``data/coco/train2017`` for members ``train2017/*.jpg``.
        progress: show a progress bar if stderr is a terminal.

    Returns:
        How many files the archive holds.

    Raises:
        InputError: if the archive is damaged, has a file that belongs elsewhere, or needs more space than is free.
    """
    archive, folder = Path(archive), Path(folder)
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = [(member, _flat_target(member, folder)) for member in zipped.infolist() if not member.is_dir()]
            folder.mkdir(parents=True, exist_ok=True)
            missing = sum(member.file_size for member, target in members if not target.exists())
            require_space(folder, missing, f"unpacking {archive.name}")
            for member, target in tqdm(members, desc=f"unpack {archive.name}", disable=_hide(progress)):
                if not _is_unpacked(member, target):
                    _unpack(zipped, member, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise InputError(
            f"{archive} is damaged or not a plain zip ({error}); delete it and run the same command again"
        ) from error
    return len(members)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _hide(progress: bool) -> bool | None:
    """What tqdm calls `disable`, where None means: unless stderr is a terminal."""
    return None if progress else True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _complete(url: str, part: Path, *, retries: int, wait: float, room: int, progress: bool) -> None:
    """Call `_continue` until `part` is whole."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _continue(url, part, room=room, progress=progress)
        except _BrokenOffError as error:
            failures = 1 if _size(part) > furthest else failures + 1
            furthest = max(furthest, _size(part))
            if failures > retries:
                raise InputError(
                    f"{url}: {error}; gave up after {retries} retries: check address and network,"
                    f" then run the same command to continue from byte {_size(part)}"
                ) from error
            pause = min(wait * 2 ** (failures - 1), 60.0)
            logger.warning("%s: %s; retry %d of %d in %g s", url, error, failures, retries, pause)
            time.sleep(pause)


def _continue(url: str, part: Path, *, room: int, progress: bool) -> None:
    """Ask the server once for what `part` lacks; start over where the beginning on disk cannot be continued."""
    held = _read_note(url, part)
    offset = _size(part) if held else 0
    if held and offset == held.total:
        return
    with _open(url, part, offset, held) as response:
        if response.status == 206:
            start, found = _partial_version(url, response)
            if held is None or start != offset or not held.same_file(found):
                _discard(part)
                raise _BrokenOffError("the file changed on the server, so the download starts over")
        else:
            offset, found = 0, _version(url, response, response.headers["Content-Length"])
            _discard(part)
            if found.total is not None:  # without a size, nobody could tell whether a continuation fits
                _beside(part, ".json").write_text(json.dumps(asdict(found)), encoding="utf-8")
        if found.total is not None:
            require_space(part.parent, found.total * room - offset, part.stem)
        _append(response, part, found.total, progress=progress)
    if found.total is not None and _size(part) != found.total:
        raise _BrokenOffError(f"the connection broke off after {_size(part)} of {found.total} bytes")


def _read_note(url: str, part: Path) -> _Version | None:
    """What is known of the beginning in `part`; None if it is unknown or of another file."""
    try:
        held = _Version(**json.loads(_beside(part, ".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return held if held.url == url else None


def _discard(part: Path) -> None:
    _beside(part, ".json").unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _open(url: str, part: Path, offset: int, held: _Version | None) -> http.client.HTTPResponse:
    """Send the request: for the rest of the version `held` if there is an `offset`, else for everything."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url} is not an http:// or https:// address")
    headers = {"User-Agent": "adain_lit"}
    if held and offset:
        headers["Range"] = f"bytes={offset}-"
        strong = held.etag if held.etag and not held.etag.startswith("W/") else held.modified
        headers |= {"If-Range": strong} if strong else {}
    try:
        request = urllib.request.Request(url, headers=headers)
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
        return response
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            _discard(part)
            raise _BrokenOffError("the file on the server has become shorter, so the download starts over") from error
        if error.code in _BUSY:
            raise _BrokenOffError(f"the server answered {error.code} {error.reason}") from error
        raise InputError(f"{url}: the server answered {error.code} {error.reason}; check the address") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"cannot reach the server ({getattr(error, 'reason', None) or repr(error)})") from error
    except ValueError as error:
        raise InputError(f"{url} is not an address that can be asked: {error}") from error


def _version(url: str, response: http.client.HTTPResponse, total: str | None) -> _Version:
    length = int(total) if total is not None and total.isdecimal() else None
    return _Version(url, length, response.headers["ETag"], response.headers["Last-Modified"])


def _partial_version(url: str, response: http.client.HTTPResponse) -> tuple[int, _Version]:
    """Where the sent part starts (-1 if the server does not say), and which version it belongs to."""
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
    start, total = match.groups() if match else ("-1", None)
    return int(start), _version(url, response, total)


def _append(response: http.client.HTTPResponse, part: Path, total: int | None, *, progress: bool) -> None:
    """Write the body of the response at the end of `part`."""
    with (
        part.open("ab") as file,
        tqdm(
            desc=part.stem, total=total, initial=_size(part), unit="B", unit_scale=True, disable=_hide(progress)
        ) as bar,
    ):
        while chunk := _read_chunk(response):
            file.write(chunk)
            bar.update(len(chunk))


def _read_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOffError(f"the connection broke ({error or type(error).__name__})") from error


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
            shutil.copyfileobj(source, file)  # zipfile compares the CRC at the end
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
