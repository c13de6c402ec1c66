"""A run that is broken off and resumed ends with the same bits as one that was not."""

import signal
from pathlib import Path
from shutil import copytree

import pytest

from adain_lit import train
from adain_lit.callbacks import checkpoints
from adain_lit.weights import files
from support.commands import run, run_here, signal_at, tiny
from support.runs import assert_same, assert_same_runs, last, log_of, only_run

STEPS = ["trainer.max_steps=6", "trainer.val_check_interval=4", "callbacks.checkpoints.every_n_steps=3"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    """Six steps in one go; the oracle of this module."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = run("adain_lit.train", [*tiny(photographs, paintings), *STEPS], folder)
    assert done.returncode == 0, done.stderr
    return only_run(folder)


@pytest.mark.parametrize(
    ("broken_off", "step", "workers"),
    [
        pytest.param(signal_at(5), 4, 0, id="killed after a validation"),
        pytest.param(signal_at(4), 3, 2, id="killed mid-way, two workers", marks=pytest.mark.slow),
        pytest.param(signal_at(4, moment="validation"), 3, 0, id="killed while validating", marks=pytest.mark.slow),
        pytest.param(
            signal_at(2, signal.SIGTERM, moment="backward"),
            2,
            2,
            id="terminated in a step, two workers",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            signal_at(4, signal.SIGINT, moment="validation"),
            4,
            0,
            id="interrupted while validating",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_broken_off_and_resumed_run_equals_unbroken_run(
    broken_off: list[str], step: int, workers: int, unbroken: Path, tmp_path: Path, photographs: Path, paintings: Path
) -> None:
    arguments = [*tiny(photographs, paintings), *STEPS, f"data.num_workers={workers}"]
    first = run("adain_lit.train", [*arguments, *broken_off], tmp_path)
    assert first.returncode in (-signal.SIGKILL, 128 + signal.SIGTERM, 128 + signal.SIGINT), first.stderr
    assert "Traceback" not in first.stderr
    assert last(only_run(tmp_path))["global_step"] == step

    second = run("adain_lit.train", [*arguments, "resume=last"], tmp_path)
    assert second.returncode == 0, second.stderr
    assert_same_runs(unbroken, only_run(tmp_path))


def test_checkpoint_path_goes_on_in_a_new_folder_with_the_whole_log(
    unbroken: Path, tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), *STEPS]
    assert run_here(train.main, [*arguments, "trainer.max_steps=3", "name=short"], monkeypatch) == 0
    checkpoint = only_run(tmp_path, "short") / "checkpoints" / "last.ckpt"
    assert run_here(train.main, [*arguments, "name=long", f"ckpt_path={checkpoint}"], monkeypatch) == 0
    long = only_run(tmp_path, "long")
    for key in ("state_dict", "optimizer_states"):
        assert_same(last(unbroken)[key], last(long)[key])
    training = [[row["train/loss"] for row in log_of(folder)] for folder in (unbroken, long)]
    assert training[0] == training[1]


def test_resuming_under_other_settings_is_refused(
    unbroken: Path,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), f"ckpt_path={unbroken}/checkpoints/last.ckpt"]
    for change in ("model.norm=batch", "model.style_weight=3", "data.batch_size=1", "seed=1"):
        assert run_here(train.main, [*arguments, change], monkeypatch) == 2
        key = change.split("=")[0].replace("seed", "data.seed")
        assert f"was trained with {key}=" in capfd.readouterr().err


def test_checkpoint_holds_no_encoder_and_loads_without_executing_anything(unbroken: Path) -> None:
    checkpoint = last(unbroken)  # weights_only=True
    assert checkpoint["state_dict"]
    assert all(key.startswith("net.decoder.") for key in checkpoint["state_dict"])
    assert checkpoint["hyper_parameters"]["encoder"] == "distilled"
    assert len(checkpoint["encoder"]["sha256"]) == 64


def test_checkpoint_is_read_and_checked_once(
    unbroken: Path, tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a large network take seconds each time."""
    folder = Path(copytree(unbroken, tmp_path / "run"))
    checked: list[Path] = []
    whole = files.require_whole
    for module in (files, checkpoints):
        monkeypatch.setattr(module, "require_whole", lambda path: (checked.append(Path(path)), whole(path)))
    arguments = [*tiny(photographs, paintings), *STEPS, "trainer.max_steps=7", f"resume={folder}"]
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert [path.name for path in checked if path.suffix == ".ckpt"] == ["last.ckpt"]
    assert last(folder)["global_step"] == 7
