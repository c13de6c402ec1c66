"""The table itself: a row for each promise that was kept in this run."""

from pathlib import Path

from support.reliability import Row, write_table


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
