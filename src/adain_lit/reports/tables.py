"""Tables as plain text for terminals and logs, as CSV, and as LaTeX."""

import csv
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


def csv_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Format a table as CSV.

    Example:
        >>> csv_table(["run", "loss"], [["adain, seed 1", "1.2"]])
        'run,loss\n"adain, seed 1",1.2\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    return text.getvalue()


LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "\n": ", ",
}
"""What stands in LaTeX for the letters that it reads as commands."""


def latex_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    r"""Format a table as LaTeX's ``tabular`` with the rules of the package booktabs.

    Args:
        head: of each column.
        rows: a cell for each column, in plain text.
        left: how many of the first columns are aligned to the left; the others are aligned to the right.

    Example:
        >>> print(latex_table(["run", "loss"], [["my_run", "1.2"]]))
        % needs \usepackage{booktabs}
        \begin{tabular}{lr}
        \toprule
        run & loss \\
        \midrule
        my\_run & 1.2 \\
        \bottomrule
        \end{tabular}
        <BLANKLINE>
    """

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(letter, letter) for letter in cell) for cell in cells) + r" \\"

    columns = "l" * left + "r" * (len(head) - left)
    body = [line(head), r"\midrule", *map(line, rows)]
    start = [r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    return "\n".join([*start, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"
