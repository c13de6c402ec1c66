"""Writing files atomically: readers never see half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adain_lit.errors import InputError


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
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # before the rename: after a power cut the name would show an empty file
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
