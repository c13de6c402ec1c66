"""Each test here states a row of docs/reliability.md.

``@pytest.mark.promise(fault=..., cause=..., promise=...)`` says what the test is about, ``record(count, note)`` how
often it tried and what happened. `make reliability` runs all of them, slow ones too, and writes the page.
"""

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from support.reliability import SECTIONS, Row, write_table

ROWS = pytest.StashKey[list[Row]]()
RAN = pytest.StashKey[dict[str, None]]()


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[[int, str], None]:
    """State what happened, and in how many tries; the row is written if the test passes."""
    return lambda count, note: request.node.user_properties.append(("tried", (count, note)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and item.path.name in SECTIONS:
        item.session.stash.setdefault(RAN, {})[item.path.name] = None
        mark = item.get_closest_marker("promise")
        if report.passed and mark:
            tried = [value for name, value in item.user_properties if name == "tried"]
            new = [Row(item.path.name, **mark.kwargs, count=count, note=note) for count, note in tried]
            item.session.stash.setdefault(ROWS, []).extend(new)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if page := os.environ.get("RELIABILITY_PAGE"):
        write_table(Path(page), session.stash.get(ROWS, []), session.stash.get(RAN, {}))
