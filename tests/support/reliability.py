"""The table of docs/reliability.md: what each test of tests/reliability causes, promises and found."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SECTIONS = {
    "test_leaving.py": "Leaving",
    "test_kills.py": "Kills",
    "test_surroundings.py": "Surroundings",
    "test_checkpoints.py": "Checkpoints",
    "test_images.py": "Images",
    "test_models.py": "Models",
    "test_command_line.py": "Command line",
    "test_web.py": "Web page",
}


class Row(NamedTuple):
    """A passed test: the file that it is in, its marks `promise`, how often it tried, and what happened."""

    file: str
    fault: str
    cause: str
    promise: str
    count: int
    note: str


def table(rows: Iterable[Row]) -> str:
    """The rows of one section; tests with the same promise share a row and add up."""
    merged: dict[tuple[str, str, str], tuple[int, list[str]]] = {}
    for row in rows:
        count, notes = merged.get(row[1:4], (0, []))
        merged[row[1:4]] = (count + row.count, notes if row.note in notes else [*notes, row.note])
    lines = ["| fault | how the test causes it | promise | tries | what happened |", "|---|---|---|---|---|"]
    for texts, (count, notes) in merged.items():
        cells = [text.replace("|", r"\|") for text in (*texts, str(count), "; ".join(notes))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_table(page: Path, rows: Iterable[Row], ran: Iterable[str]) -> None:
    """Replace the sections of the test files that ran; those of the others stay as they are."""
    rows, text = list(rows), page.read_text("utf-8")
    for file in ran:
        begin, end = (f"<!-- {edge} {SECTIONS[file]} -->\n" for edge in ("begin", "end"))
        inner = table(row for row in rows if row.file == file) + "\n"
        text = re.sub(f"(?s){begin}.*{end}", lambda _, new=begin + inner + end: new, text)
    page.write_text(text, "utf-8")
