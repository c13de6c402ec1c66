"""The error of a person's input, one line that a command prints without a traceback, and how it counts."""


class InputError(ValueError):
    """What was given cannot be used.

    The message is one line that says what was got, what is needed and what to do. Commands print it and exit
    with status 2; library callers may catch it as a ``ValueError``.
    """


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "mask"), counted(0, "mask")
        ('1 mask', '0 masks')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
