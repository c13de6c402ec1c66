"""Tables as plain text, for terminals and logs."""

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, title: str = "", width: int = 160
) -> str:
    """Format a table.

    Args:
        head: of each column.
        rows: a cell for each column; line breaks are kept.
        left: how many of the first columns are aligned to the left; the others are aligned to the right.
        title: printed above, centred.
        width: most characters of a line; cells are folded to fit.

    Returns:
        Lines without trailing spaces.

    Example:
        >>> print(text_table(["run", "loss"], [["adain", "1.2"], ["concat", "10.5"]]))
        <BLANKLINE>
         run      loss
         ─────────────
         adain     1.2
         concat   10.5
        <BLANKLINE>
    """
    table = Table(title=title or None, box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width, markup=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
