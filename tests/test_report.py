"""The report command: what it writes, and what it says of runs that it cannot show."""

import base64
from html.parser import HTMLParser
from pathlib import Path

import pytest

from adain_lit import report
from adain_lit.reports.curves import STEPS
from support.commands import run_here
from support.run_folders import losses, plain, write_run

COLOURS = ("red", "green", "blue")


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs with a log, a configuration and a grid; commands run beside it."""
    monkeypatch.chdir(tmp_path)
    for i, norm in enumerate(("none", "<batch>")):
        config = {"name": f"run_{norm}", "model": {"norm": norm, "lr": 1e-3}}
        write_run(tmp_path / "sweep" / f"{i}_job", losses(4), config=config, grids={4: plain(*COLOURS)})
    return tmp_path / "sweep"


def test_steps_of_the_command_are_those_of_the_curves() -> None:
    """The command has its own copy, as the module of the curves imports matplotlib."""
    assert report.STEPS == STEPS


class Page(HTMLParser):
    """Tags with their attributes, texts, and whether all tags are closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_holds_curves_pictures_and_table_and_refers_to_nothing(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here(report.main, ["sweep", "--output", "made/here", "--title", "A <b> B"], monkeypatch) == 0
    folder = sweep.parent / "made" / "here"
    assert sorted(path.name for path in folder.iterdir()) == [
        "report.csv",
        "report.html",
        "report.tex",
        "report_curves.png",
        "report_images.png",
    ]
    page = Page((folder / "report.html").read_text("utf-8"))
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert images == [
        "data:image/png;base64," + base64.b64encode((folder / name).read_bytes()).decode()
        for name in ("report_curves.png", "report_images.png")
    ]
    assert not {"link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if "href" in attributes or "onload" in attributes]
    assert "url(" not in (folder / "report.html").read_text("utf-8")
    for text in ("A <b> B", "run_none", "run_<batch>", "model.norm", "<batch>", "model.lr", "0.375", "7.875"):
        assert text in page.texts, text
    printed = capsys.readouterr().out
    assert "run_<batch>" in printed
    assert "made/here" in printed


def test_a_broken_run_among_others_is_told_at_the_end_and_the_others_are_shown(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(sweep / "2_failed")
    (sweep / "1_job" / "grids" / "step_000004.png").write_bytes(b"no image")
    assert run_here(report.main, ["sweep", "nowhere"], monkeypatch) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for line, text in zip(lines, ("nowhere is not there", "2_failed has no logged", "step_000004.png"), strict=True):
        assert line.startswith("adain_lit.report: left out: ")
        assert text in line
    page = Page((sweep.parent / "outputs" / "report" / "report.html").read_text("utf-8"))
    assert any("2_failed has no logged values" in text for text in page.texts)
    assert {"run_none", "run_<batch>"} <= set(page.texts)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere"], "nowhere is not there"),
        (["sweep", "--labels", "one"], "1 label for 2 runs"),
        (["sweep", "--output", "sweep/0_job/metrics.csv"], "cannot write to the folder"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line_and_writes_nothing(
    arguments: list[str],
    line: str,
    sweep: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = set(sweep.parent.rglob("*"))
    assert run_here(report.main, arguments, monkeypatch) == 2
    (printed,) = capsys.readouterr().err.splitlines()
    assert printed.startswith("adain_lit.report: error: ")
    assert line in printed
    assert set(sweep.parent.rglob("*")) == before


def test_a_run_that_is_named_twice_is_shown_once(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["sweep/0_job", "sweep", str(sweep / "1_job" / "metrics.csv"), "--labels", "one", "two"]
    assert run_here(report.main, arguments, monkeypatch) == 0


def test_runs_without_pictures_or_configuration_are_compared_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a", {1: {"train/loss": 1.0}})
    write_run(tmp_path / "b", losses(2))
    assert run_here(report.main, ["a", "b", "--output", "."], monkeypatch) == 0
    assert not (tmp_path / "report_images.png").exists()
    assert len([tag for tag, _ in Page((tmp_path / "report.html").read_text("utf-8")).tags if tag == "img"]) == 1
