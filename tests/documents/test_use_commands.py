"""Every command of the README and the guides that uses a trained network, and their Python."""

from pathlib import Path
from typing import Any

import pytest

from adain_lit import app, export, stylize
from support.commands import run_here
from support.documents import GUIDES, code_blocks, guide_commands

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.stylize"), ids=" ".join)
def test_stylize_commands_run(arguments: list[str], images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(images.rglob("*"))
    assert run_here(stylize.main, arguments, monkeypatch) == 0
    assert set(images.rglob("*")) > before


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.export"), ids=" ".join)
def test_export_commands_run(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(checkpoint.parents[1])
    assert run_here(export.main, [text.replace("RUN", run) for text in arguments], monkeypatch) == 0
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.app"), ids=" ".join)
def test_app_commands_parse(arguments: list[str]) -> None:
    app.parser().parse_args(arguments)


@pytest.mark.parametrize("code", [code for text in GUIDES.values() for code in code_blocks(text, "python")])
def test_python_runs(code: str, images: Path) -> None:
    variables: dict[str, Any] = {}
    exec(code, variables)
    assert {variables[name].size for name in ("image", "mixed") if name in variables} == {(96, 72)}
