"""The lock of a run folder: one process trains in it at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from adain_lit.errors import InputError


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder, ``.lock`` in it. The system frees it when the process ends, however it ends.

    Raises:
        InputError: if another process holds it.

    Example:
        >>> import tempfile
        >>> with only_process(Path(tempfile.mkdtemp())):
        ...     print("alone")
        alone
    """
    lock = FileLock(folder / ".lock", timeout=0, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise InputError(f"another process trains in {folder}; wait for it, or end it") from error
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        lock.release()
