"""A resumed run has the settings that it was started with, but for those that are given anew."""

import os
from pathlib import Path

import pytest
import torch

from adain_lit import train
from adain_lit.training.arguments import resumed
from support.commands import run_here, tiny
from support.runs import assert_same_runs, last, only_run


def write_run(folder: Path, overrides: list[str], *, age: int = 0) -> Path:
    """A run folder with what resuming reads."""
    for name in ("checkpoints", ".hydra"):
        (folder / name).mkdir(parents=True)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    torch.save({}, checkpoint)
    os.utime(checkpoint, (1_000_000 - age, 1_000_000 - age))
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {text}\n" for text in overrides))
    source = "hydra:\n  runtime:\n    config_sources:\n    - {path: mine, schema: file, provider: command-line}\n"
    (folder / ".hydra" / "hydra.yaml").write_text(source)
    return folder


def test_what_is_not_given_anew_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = ["experiment=finetune", "model.lr=1", "+trainer.x=1", "resume=last", "ckpt_path=a.ckpt", "seed=2"]
    run = write_run(Path("outputs/finetune/one"), own)
    arguments = resumed([f"resume={run}", "model.lr=2", "trainer.x=3", "hydra.verbose=true"])
    repeated = ["experiment=finetune", "+trainer.x=1", "seed=2", "--config-dir=mine"]
    assert arguments == [*repeated, f"resume='{run}'", "model.lr=2", "trainer.x=3", "hydra.verbose=true"]
    assert resumed(arguments) == arguments


def test_last_is_the_last_run_of_the_given_name_or_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, age in (("finetune/old", 3), ("finetune/new", 2), ("enc_adain_dec/newest", 0), ("mine/one", 1)):
        write_run(Path("outputs", name), [f"name={name.split('/')[0]}"], age=age)

    def taken(*arguments: str) -> str:
        (found,) = (text for text in resumed(["resume=last", *arguments]) if text.startswith("resume="))
        return found

    assert taken() == "resume='outputs/enc_adain_dec/newest'"
    assert taken("experiment=finetune") == "resume='outputs/finetune/new'"
    assert taken("experiment=finetune", "name=mine") == "resume='outputs/mine/one'"
    assert taken("experiment=ablation_gram") == "resume=last"  # there is none, and train says so


@pytest.mark.parametrize("arguments", [["seed=1"], ["-m", "resume=last"], ["resume=nowhere"], ["--help"]])
def test_other_command_lines_are_left_alone(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("outputs/finetune/new"), ["model.lr=1"])
    assert resumed(arguments) == arguments


def test_resumed_run_takes_its_own_settings_and_equals_one_that_was_not_interrupted(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracle: three steps in one go. Only the number of steps is given again, twice."""
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "experiment=ablation_bndec", "model.lr=0.002", "seed=4"]
    arguments.append("trainer.val_check_interval=1")
    assert run_here(train.main, [*arguments, "trainer.max_steps=3", "name=whole"], monkeypatch) == 0
    assert run_here(train.main, [*arguments, "trainer.max_steps=1"], monkeypatch) == 0
    capfd.readouterr()
    for steps in (2, 3):
        assert (
            run_here(
                train.main, ["resume=last", f"trainer.max_steps={steps}", "experiment=ablation_bndec"], monkeypatch
            )
            == 0
        )
        run = only_run(Path(), "ablation_bndec")
        assert last(run)["global_step"] == steps
        assert f"resuming {run} at step {steps - 1}" in capfd.readouterr().out
    assert_same_runs(only_run(Path(), "whole"), run)


def test_all_settings_that_conflict_are_named_at_once(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, tiny(photographs, paintings), monkeypatch) == 0
    changes = ["model.lr=0.5", "model.norm=batch", "data.crop=40"]
    assert run_here(train.main, ["resume=last", *changes], monkeypatch) == 2
    line = capfd.readouterr().err.strip().splitlines()[-1]
    assert "was trained with model.norm=none model.lr=0.001 data.crop=32; this run asks for" in line
    assert "model.norm=batch model.lr=0.5 data.crop=40" in line
    assert run_here(train.main, ["resume=last"], monkeypatch) == 0, "what was refused is not repeated"
