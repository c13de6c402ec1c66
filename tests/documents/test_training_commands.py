"""Every command of the README and the guides that trains, measures or compares runs; docs/scaling.md's are composed."""

import re
import shlex
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from adain_lit import benchmark, evaluate, prepare, report, train
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from support.commands import TINY, run_here
from support.configurations import composed
from support.documents import ROOT, code_blocks, commands, guide_commands
from support.images import small

pytestmark = pytest.mark.slow

SCALING = (ROOT / "docs" / "scaling.md").read_text("utf-8")


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.train"), ids=" ".join)
def test_training_commands_run(
    arguments: list[str],
    checkpoint: Path,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command itself, with small images, two steps and random weights in place of what takes hours."""
    monkeypatch.chdir(tmp_path)
    resumed = tmp_path / "outputs" / "enc_adain_dec"
    resumed.mkdir(parents=True)
    (resumed / "2026-01-01_00-00-00").symlink_to(checkpoint.parents[1])
    small("coffee.png").save("painting.jpg")
    swapped = [text for text in arguments if not re.match(r"data=|data\.\w+_dir=|trainer\.max_steps=", text)]
    folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
    encoder = ["model.encoder=random", "model.encoder_widths=compact"] if "scale=paper" in arguments else []
    scale = [] if "--help" in arguments else [*TINY, *folders, *encoder]
    assert run_here(train.main, [*swapped, *scale], monkeypatch) == 0


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.evaluate"), ids=" ".join)
def test_evaluation_commands_run(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(checkpoint.parents[1])
    assert run_here(evaluate.main, [text.replace("RUN", run) for text in arguments], monkeypatch) == 0


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.report"), ids=" ".join)
def test_report_commands_run(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RUN", "OTHER_RUN"):
        copytree(checkpoint.parents[1], name, ignore=ignore_patterns("checkpoints"))
    assert run_here(report.main, arguments, monkeypatch) == 0
    assert (tmp_path / "outputs" / "report" / "report.html").is_file()


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.benchmark"), ids=" ".join)
def test_benchmark_commands_run(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself, at one small size and without the processes that measure memory."""
    monkeypatch.chdir(tmp_path)
    tiny = ["sizes=[32]", "images=1", "warmup=0", "memory=false"]
    assert run_here(benchmark.main, [*arguments, *tiny], monkeypatch) == 0


@pytest.mark.parametrize("arguments", guide_commands("adain_lit.prepare"), ids=" ".join)
def test_prepare_commands_parse(arguments: list[str]) -> None:
    prepare.parser().parse_args(arguments)


@pytest.mark.parametrize("arguments", commands(SCALING, "adain_lit.train"), ids=" ".join)
def test_training_commands_of_scaling_compose(arguments: list[str]) -> None:
    """With the first of the values that a setting takes in turn."""
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        first = [
            f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
            if override.is_sweep_override()
            else str(override.input_line)
            for override in parser.parse_overrides([text for text in arguments if text != "-m"])
        ]
        compose("train", first, return_hydra_config=True)


def scaling_commands() -> list[tuple[str, str]]:
    """Module and arguments of every command of docs/scaling.md but the sweeps, whatever starts it."""
    joined = "\n".join(code_blocks(SCALING, "bash")).replace("\\\n", " ")
    found = re.findall(r"-m adain_lit\.(\w+)([^#\n]*)", joined)
    return [(module, arguments) for module, arguments in found if not arguments.lstrip().startswith("-m ")]


@pytest.mark.parametrize(("module", "arguments"), scaling_commands())
def test_commands_on_several_devices_compose(module: str, arguments: str, tmp_path: Path) -> None:
    cfg = composed(*shlex.split(arguments), command=module, output=str(tmp_path))
    assert module == "evaluate" or cfg.trainer.strategy
