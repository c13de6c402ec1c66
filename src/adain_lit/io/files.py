"""Writing files atomically: readers never see half of one."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adain_lit.errors import InputError

if sys.platform != "win32":
    import fcntl

PROBE = bytes(1 << 20)
"""Written to a file whose writer failed without an errno, to find out whether the disk was the reason."""
_cleaned: set[Path] = set()
SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "@Recycle", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that operating systems and storage devices put beside a person's files. `find_files` leaves them out."""
_IRREGULAR = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_own_file(name: str) -> bool:
    """Whether a file or folder of this name may be a person's: not hidden, and not an operating system's.

    Example:
        >>> is_own_file("cat.jpg"), is_own_file("._cat.jpg"), is_own_file("__MACOSX")
        (True, False, False)
    """
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def find_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files below `folder` with one of the suffixes, sorted by path; symbolic links are followed once.

    Hidden files and folders are left out, and those of operating systems. What is no regular file is found, so that
    reading it reports it.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("b.JPG", "a.jpg", "._a.jpg", "notes.txt"):
        ...     (folder / name).touch()
        >>> [path.name for path in find_files(folder, {".jpg"})]
        ['a.jpg', 'b.JPG']
    """
    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in visited:  # reached before, by another link or by a cycle
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(filter(is_own_file, folders))
        found += [Path(parent, name) for name in files if is_own_file(name) and Path(name).suffix.lower() in suffixes]
    return sorted(found)


def irregular_kind(path: str | Path) -> str | None:
    """What a path is if opening it could wait for ever or act on a device; None for files, folders and what is missing.

    Example:
        >>> irregular_kind(os.devnull)
        'a device'
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # whoever opens it says what is wrong
        return None
    return next((name for test, name in _IRREGULAR if test(mode)), None)


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then move the finished file into place.

    Readers see the old file or the new one, never half of it, even if the process is killed.

    Args:
        path: the file to write; its folder is created.
        write: writes the file at the path that it is given, which has the suffix of `path`.

    Raises:
        OSError: if the file cannot be written; it names the path, which Pillow leaves out.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "new" / "notes.txt"
        >>> write_atomically(path, lambda temporary: temporary.write_text("done"))
        >>> path.read_text()
        'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent not in _cleaned:  # once: listing a large folder for every file takes long
        _cleaned.add(path.parent)
        remove_partial_files(path.parent)
    lock, temporary = _temporary_file(path)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # before the rename: after a power cut the name would show an empty file
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except Exception as error:
        number = _write_error(error, temporary)
        with suppress(OSError):
            os.truncate(temporary, 0)  # frees the disk now: torch's writer has it open as long as the error lives
        if number is not None:
            raise OSError(number, os.strerror(number), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left in a folder: temporary files of `write_atomically` that no process holds.

    Windows has no such locks; there they stay.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".last.ckpt.partial-0a1b2c3d.ckpt").touch()
        >>> remove_partial_files(folder)
        >>> list(folder.iterdir())
        []
    """
    if sys.platform == "win32":
        return
    for path in folder.glob(".*.partial-*"):
        if re.fullmatch(r"\..+\.partial-[a-z0-9_]{8}(\.[^.]+)?", path.name):
            with suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its writer lives
                path.unlink()


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A temporary folder that is removed at the end; those that killed processes of this user left are removed now.

    Windows has no such locks; there they stay.

    Args:
        prefix: of its name, by which the others are found.

    Example:
        >>> with temporary_folder("adain_example_") as folder:
        ...     (folder / "upload.jpg").touch()
        >>> folder.exists()
        False
    """
    if sys.platform != "win32":
        for path in Path(tempfile.gettempdir()).glob(f"{prefix}*/.lock"):
            with suppress(OSError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while its process lives
                if path.parent.lstat().st_uid == os.getuid() and not path.parent.is_symlink():
                    shutil.rmtree(path.parent, ignore_errors=True)
    # a thread that still writes must not keep the rest from being removed
    with (
        tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name,
        Path(name, ".new").open("wb") as lock,
    ):
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
                os.rename(lock.name, Path(name, ".lock"))  # others see it only once it is held
        yield Path(name).resolve()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in errors of writing to it, which Python leaves out once it is open.

    Example:
        >>> with naming(Path("metrics.csv")):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device: 'metrics.csv'
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def _temporary_file(path: Path) -> tuple[int | None, Path]:
    """A new file beside `path`, and the open descriptor whose lock shows that its writer lives; None on Windows."""
    while True:
        try:
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.partial-", suffix=path.suffix)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error  # not the temporary file's name
        if sys.platform == "win32":
            os.close(descriptor)  # an open file can neither be replaced nor removed there
            return None, Path(name)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # another process removed it before it was locked


def _write_error(error: Exception, temporary: Path) -> int | None:
    """The errno of a failed write; None if the disk is not the reason.

    Pillow raises an OSError without it for TIFF, torch and safetensors raise errors of their own.
    """
    if isinstance(error, InputError):
        return None
    if isinstance(error, OSError) and error.errno:
        return error.errno if error.filename in (None, str(temporary)) else None
    try:
        with temporary.open("ab") as file:
            file.write(PROBE)
            file.flush()
            os.fsync(file.fileno())
    except OSError as reason:
        return reason.errno
    return None


def write_json(value: Any, path: Path) -> None:
    """Write indented JSON atomically.

    Example:
        >>> path = Path(tempfile.mkdtemp()) / "loss.json"
        >>> write_json({"loss": 0.5}, path)
        >>> json.loads(path.read_text())
        {'loss': 0.5}
    """
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n", "utf-8"))


def require_writable(folder: Path) -> None:
    """Check that a folder is writable or can be created, leaving nothing behind.

    Raises:
        InputError: if not.

    Example:
        >>> require_writable(Path(tempfile.gettempdir()) / "new" / "folder")
    """
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(f"cannot write to the folder {folder}: {error.strerror}; give another --output") from error


BROKEN_PIPE = 141
"""Exit status that shells use for a process ended by SIGPIPE (128 plus the signal's number)."""


def discard_stdout() -> None:
    """Let standard output go nowhere, once its reader has gone.

    Python flushes it once more at exit, which would otherwise print an error.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
