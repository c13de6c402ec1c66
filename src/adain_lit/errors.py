"""The error of a person's input: one line that a command prints without a traceback."""


class InputError(ValueError):
    """What was given cannot be used.

    The message is one line that says what was got, what is needed and what to do. Commands print it and exit
    with status 2; library callers may catch it as a ``ValueError``.
    """
