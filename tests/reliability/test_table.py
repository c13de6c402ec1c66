"""The table itself: a row for each promise that was kept in this run."""

import ast
from pathlib import Path

import pytest

from support.reliability import SECTIONS, Row, write_table

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def test_sections_of_files_that_ran_are_renewed_and_those_of_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n<!-- begin Leaving -->\nold\n<!-- end Leaving -->\n<!-- begin Images -->\nold\n<!-- end Images -->\n"
    )
    same = ("a signal", "kill -9", "a | b")
    rows = [Row("test_leaving.py", *same, 2, "both ended"), Row("test_leaving.py", *same, 1, r"one \1 ended")]
    write_table(page, rows, ["test_leaving.py"])
    assert page.read_text() == (
        "# Page\n<!-- begin Leaving -->\n"
        "| fault | how the test causes it | promise | tries | what happened |\n|---|---|---|---|---|\n"
        "| a signal | kill -9 | a \\| b | 3 | both ended; one \\1 ended |\n"
        "<!-- end Leaving -->\n<!-- begin Images -->\nold\n<!-- end Images -->\n"
    )


def promises(file: Path) -> set[tuple[str, str, str]]:
    """Fault, cause and promise of each test in a file."""
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.promise"]
    found = [{word.arg: ast.literal_eval(word.value) for word in mark.keywords} for mark in marks]
    return {(mark["fault"], mark["cause"], mark["promise"]) for mark in found}


@pytest.mark.parametrize("file", SECTIONS)
def test_every_row_of_the_page_is_that_of_a_test(file: str) -> None:
    _, _, rest = PAGE.read_text("utf-8").partition(f"<!-- begin {SECTIONS[file]} -->\n")
    section, end, _ = rest.partition(f"<!-- end {SECTIONS[file]} -->")
    rows = [tuple(line.strip("| ").split(" | ")[:3]) for line in section.splitlines()[2:]]
    assert end
    assert set(rows) <= promises(Path(__file__).with_name(file))
