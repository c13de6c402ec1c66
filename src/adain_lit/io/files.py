"""Writing files so that readers never see half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adain_lit.errors import InputError

if TYPE_CHECKING:
    pass


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then move the finished file into place.

    Readers see the old file or the new one, never half of it, whatever kills the process.

    Raises:
        OSError: if it cannot be written, with the path, which Pillow leaves out.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None and error.errno:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_json(value: Any, path: Path) -> None:
    """Write JSON that people can read, never half a file."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n", "utf-8"))


def require_writable(folder: Path) -> None:
    """Make sure that files can be written to a folder, or that it can be created. Leaves nothing behind.

    Raises:
        InputError: if not.
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
