"""One line for each output that fails, so that the others can go on. Needs no torch."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from adain_lit.errors import InputError
from adain_lit.inference.plan import Output


class Failures:
    """Collects one line for each output that fails, so that the others can go on.

    Attributes:
        lines: the errors so far, each once.

    Example:
        >>> from pathlib import Path
        >>> failures = Failures()
        >>> with failures.caught([Output(Path("cat.jpg"), (), Path("cat.png"))]):
        ...     raise InputError("cannot be read")
        >>> failures.lines
        ['cat.jpg: cannot be read']
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def caught(self, outputs: Sequence[Output]) -> Iterator[None]:
        """Record what fails for `outputs`, except a full disk and our own defects, which are raised."""
        try:
            yield
        except (InputError, OSError, MemoryError, RuntimeError) as error:
            disk_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
            if disk_full or (isinstance(error, RuntimeError) and not is_out_of_memory(error)):
                raise
            for output in outputs:
                self.add(output, error)

    def add(self, output: Output, error: Exception) -> None:
        """Record why an output was not made, in a line that names one of its files."""
        line = " ".join(str(error).split()) or type(error).__name__
        if is_out_of_memory(error):
            line = f"{output.content} needs more memory than there is; give --tile 512, or a smaller --size"
        elif isinstance(error, OSError):
            line = f"{error.filename or output.path}: {error.strerror or line}"
        elif not any(str(path) in line for path in (output.content, *output.styles, output.path)):
            line = f"{output.content}: {line}"
        if line not in self.lines:
            self.lines.append(line)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is not enough memory.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError())
        (True, False)
    """
    # torch and ONNX Runtime have no exception type for the CPU's memory
    words = ("DefaultCPUAllocator", "Failed to allocate memory")
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or any(word in str(error) for word in words)
