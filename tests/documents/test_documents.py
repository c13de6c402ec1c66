"""What the documents name exists, and nothing that they list is missing."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from adain_lit.config.paths import conf_dir
from support.documents import DOCS, GUIDES, README, ROOT, code_blocks

PAPER_MAP = (DOCS / "paper_map.md").read_text("utf-8")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files(document: str) -> None:
    """Those in docs/ are checked when the site is built."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / document).read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_diagram_of_the_site_is_that_of_readme() -> None:
    """Oracle: the labels of the nodes and arrows of README's Mermaid diagram."""
    (mermaid,) = code_blocks(README, "mermaid")
    labels = {
        text.strip()
        for node, arrow, quoted in re.findall(r'\[([^"\]]+)\]|-[-.] ([^">]+?) [-.]-|"([^"]+)"', mermaid)
        for text in (node, arrow, quoted)
        if text
    }
    assert len(labels) > 10
    drawn = re.findall(r"<p>([^<]+)</p>", (DOCS / "images" / "training_step.svg").read_text("utf-8"))
    assert labels == set(drawn)


def test_experiments_of_the_guide_are_those_that_exist() -> None:
    guide = GUIDES["docs/guides/study_the_paper.md"]
    for path in (conf_dir() / "experiment").glob("*.yaml"):
        assert f"`{path.stem}`" in guide, path.stem


def test_index_of_decisions_lists_every_record_with_its_parts() -> None:
    index = (DOCS / "decisions" / "index.md").read_text("utf-8")
    records = sorted((DOCS / "decisions").glob("0*.md"))
    assert re.findall(r"\((0[^)]+)\)", index) == [record.name for record in records]
    for record in records:
        headings = set(re.findall(r"^## (.+)", record.read_text("utf-8"), re.MULTILINE))
        assert {"Context", "Decision", "Cost", "How to undo"} <= headings, record.name


def test_api_has_every_module() -> None:
    """A page names a package and with it all its modules; where one names modules, because the package hands on names
    of theirs, it names all."""
    pages = "\n".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
    for path in (ROOT / "src" / "adain_lit").iterdir():
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file():
            assert re.search(rf"^::: adain_lit\.{path.stem}$", pages, re.MULTILINE), path.stem
    for package, listed in re.findall(
        r"^::: adain_lit\.(\w+)\n    options:\n      members:\n((?: +- \w+\n)+)", pages, re.M
    ):
        found = {path.stem for path in (ROOT / "src" / "adain_lit" / package).glob("[a-z]*.py")}
        assert set(re.findall(r"- (\w+)", listed)) >= found, package


@pytest.mark.slow
def test_site_builds_strictly_and_loads_nothing_from_elsewhere() -> None:
    """As `make docs` builds it, into the folder that git ignores."""
    build = [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((ROOT / "site").rglob("*.html"))
    assert len(pages) > 70
    for page in pages:
        loaded = r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//[^"]+|<link[^>]+href="(?:https?:)?//[^"]+'
        assert re.findall(loaded, page.read_text("utf-8")) == [], page


def test_paper_map_names_what_exists() -> None:
    names = re.findall(r"`((?:adain_lit|torch)\.[\w.]+)`", PAPER_MAP)
    assert len(names) > 20
    for name in names:
        resolve(name)
    files = re.findall(r"`(conf/[\w./]+)`", PAPER_MAP)
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file


def resolve(name: str) -> Any:
    """The object that a dotted name stands for."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise AssertionError(f"{name} does not exist")
