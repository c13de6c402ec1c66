"""What one training command leaves behind: folder, logs of every kind, W&B run, checkpoints, list of bad files."""

import csv
import hashlib
import json
import math
import os
import signal
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from adain_lit import train
from adain_lit.io.images import read_image, to_tensor
from adain_lit.tasks import StyleTransferModule
from support.commands import run, run_here, tiny
from support.runs import only_run
from support.wandb_files import OfflineRun, offline_runs

LOSSES = ("loss", "content_loss", "style_loss", *(f"style_loss/relu{i}_1" for i in (1, 2, 3, 4)))


class FailIf(Callback):
    """Raises at the end of the first step under one value of lambda, and before the training under 7."""

    def __init__(self, style_weight: float, fatal: float) -> None:
        if style_weight == 7:
            raise RuntimeError("made to fail early")
        self.fails = style_weight == fatal

    def on_train_batch_end(self, *args: Any) -> None:
        if self.fails:
            raise RuntimeError("made to fail")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    """Folder of a run of four steps with every logger, over a content folder with two broken files."""
    folder = tmp_path_factory.mktemp("finished")
    contents = copytree(photographs, folder / "photographs with spaces, =")
    (contents / "empty.jpg").touch()
    (contents / "text.png").write_text("not an image")
    arguments = [
        *tiny(Path("PLACE"), paintings)[:-2],
        f'data.content_dir="{contents}"',
        f"data.style_dir={paintings}",
        "logger=[csv,wandb,tensorboard]",
        "trainer.max_steps=8",
        "model.style_weight=10",
        "model.unit_mean_images=8",  # meets the broken files before training does
        "trainer.val_check_interval=3",
        "callbacks.checkpoints.keep_every_n_steps=4",
        "experiment=ablation_indec",
    ]
    done = run("adain_lit.train", arguments, folder)
    assert done.returncode == 0, done.stderr
    assert "the run is in" in done.stdout + done.stderr
    (found,) = (folder / "outputs" / "ablation_indec").iterdir()
    return found


def rows_of(finished: Path) -> list[dict[str, str]]:
    with (finished / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def logged(finished: Path, name: str) -> dict[int, float]:
    """Step to value, from metrics.csv."""
    return {int(row["step"]): float(row[name]) for row in rows_of(finished) if row[name]}


def test_run_folder_holds_what_a_person_looks_for(finished: Path) -> None:
    for name in ("config.yaml", "environment.json", "metrics.csv", "curves.png", "skipped_files.txt", "train.log"):
        assert (finished / name).stat().st_size > 0, name
    kept = {path.name for path in (finished / "checkpoints").iterdir()}
    assert kept == {"last.ckpt", "best.ckpt", "step_000004.ckpt", "step_000008.ckpt"}
    assert [p.name for p in sorted((finished / "grids").iterdir())] == [f"step_{i:06d}.png" for i in (3, 6, 8)]
    for path in (finished / "curves.png", finished / "grids" / "step_000008.png"):
        with Image.open(path) as image:
            assert np.unique(np.asarray(image.convert("L"))).size > 50  # drawn on, not blank
    assert json.loads((finished / "environment.json").read_text())["packages"]["torch"] == torch.__version__
    assert "norm: instance" in (finished / "config.yaml").read_text()


def test_skipped_files_name_exactly_the_broken_ones_once(finished: Path) -> None:
    lines = (finished / "skipped_files.txt").read_text().splitlines()
    assert sorted(Path(line.split("\t")[0]).name for line in lines) == ["empty.jpg", "text.png"]
    assert all(line.split("\t")[1] for line in lines)


def test_metrics_file_has_a_row_for_every_step_and_validation(finished: Path) -> None:
    for name in LOSSES:
        assert list(logged(finished, f"train/{name}")) == list(range(1, 9))
        assert list(logged(finished, f"val/{name}")) == [3, 6, 8]
    loss, content, style = (logged(finished, f"train/{name}") for name in LOSSES[:3])
    for step in loss:
        assert loss[step] == pytest.approx(content[step] + 10 * style[step], rel=1e-5)
        layers = [logged(finished, f"train/{name}")[step] for name in LOSSES[3:]]
        assert style[step] == pytest.approx(math.fsum(layers), rel=1e-5)
    assert all(value > 0 for value in logged(finished, "train/grad_norm").values())
    assert all(value > 0 for value in logged(finished, "train/pairs_per_second").values())


def test_learning_rate_decays_as_in_the_authors_code(finished: Path) -> None:
    """Oracle: lr / (1 + t * 5e-5) for the step that follows t steps; scale=demo starts at 1e-3."""
    rates = logged(finished, "train/lr")
    assert rates == {step: pytest.approx(1e-3 / (1 + (step - 1) * 5e-5), rel=1e-6) for step in range(1, 9)}


def closed_runs(folder: Path) -> list[OfflineRun]:
    """W&B's runs below a folder once they are closed: its service writes the last rows a moment after the training."""
    until = time.monotonic() + 120
    while None in [run.exit_code for run in offline_runs(folder)] and time.monotonic() < until:
        time.sleep(0.1)
    return offline_runs(folder)


def test_wandb_run_holds_the_same_curves_on_the_axis_of_steps(finished: Path) -> None:
    """Oracle: metrics.csv; read back from the record file that W&B wrote."""
    (record,) = closed_runs(finished)
    assert (record.project, record.name, record.exit_code) == ("adain_lit", "ablation_indec", 0)
    assert record.tags == ("ablation",)
    assert record.metrics["*"] == "trainer/global_step"
    assert record.config["model"]["norm"] == "instance"
    for name in (*(f"train/{n}" for n in LOSSES), *(f"val/{n}" for n in LOSSES), "train/lr", "train/grad_norm"):
        values = {row["trainer/global_step"]: row[name] for row in record.history if name in row}
        assert values == pytest.approx(logged(finished, name)), name
    images = [row for row in record.history if "val/pictures.filenames" in row]
    assert [row["trainer/global_step"] for row in images] == [3, 6, 8]
    for row in images:
        (path,) = finished.glob(f"wandb/offline-run-*/files/{row['val/pictures.filenames'][0]}")
        grid = finished / "grids" / f"step_{row['trainer/global_step']:06d}.png"
        assert read_image(path).tobytes() == read_image(grid).tobytes()


def test_tensorboard_holds_the_same_curves(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    for name in ("train/content_loss", "train/style_loss", "val/content_loss", "val/style_loss", "train/lr"):
        values = {event.step: event.value for event in events.Scalars(name)}
        assert values == pytest.approx(logged(finished, name), rel=1e-5), name
    assert [image.step for image in events.Images("val/pictures")] == [3, 6, 8]
    assert "hp_metric" not in events.Tags()["scalars"]
    (hparams,) = {tag for tag in events.PluginTagToContent("hparams") if "session_start" in tag}
    page = HParamsPluginData.FromString(events.PluginTagToContent("hparams")[hparams])
    assert page.session_start_info.hparams["model/style_weight"].number_value == 10
    assert not [name for name in page.session_start_info.hparams if name.startswith(("callbacks", "logger"))]


def test_best_checkpoint_is_that_of_the_least_validation_loss(finished: Path) -> None:
    losses = logged(finished, "val/loss")
    best = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == min(losses, key=lambda step: losses[step])


def test_checkpoint_stylises_as_the_trained_network_did(finished: Path) -> None:
    """Oracle: the third column of the last grid, written by the run itself."""
    module = StyleTransferModule.load_from_checkpoint(finished / "checkpoints" / "last.ckpt", weights_only=True).eval()
    with Image.open(finished / "grids" / "step_000008.png") as image:
        tiles = [image.crop((4 + 36 * i, 4, 36 + 36 * i, 36)) for i in range(3)]
    content, style, stylized = (to_tensor(tile).unsqueeze(0) / 255 for tile in tiles)
    with torch.no_grad():
        assert (module(content, style) - stylized).abs().max() < 2 / 255


def test_multirun_gives_each_job_a_folder_and_a_closed_wandb_run_in_one_group(
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Two experiments by glob; the runs with lambda 3 fail after their first step, those with 7 before it."""
    monkeypatch.chdir(tmp_path)
    arguments = [
        "-m",
        *tiny(photographs, paintings),
        "logger=wandb",
        "experiment=glob(ablation_?ndec)",
        "model.style_weight=1,3,7",
        "+callbacks.fail._target_=test_train.FailIf",
        "+callbacks.fail.style_weight=${model.style_weight}",
        "+callbacks.fail.fatal=3",
    ]
    assert run_here(train.main, arguments, monkeypatch) == 2
    assert "4 of 6 jobs failed" in capfd.readouterr().err
    (sweep,) = (tmp_path / "outputs" / "multirun").iterdir()
    systems = ("ablation_bndec", "ablation_indec")
    names = [f"{system}_model.style_weight-{weight}" for system in systems for weight in (1, 3, 7)]
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == names
    assert "Traceback" in (sweep / names[1] / "train.log").read_text()
    records = closed_runs(sweep)
    assert [record.name for record in records] == names
    assert [record.exit_code for record in records] == [0, 1, 1] * 2
    assert [record.config["model"]["style_weight"] for record in records] == [1, 3, 7] * 2
    assert {record.group for record in records} == {sweep.name}
    assert len({record.run_id for record in records}) == 6


def test_resumed_run_goes_on_under_the_same_wandb_id(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "logger=wandb"]
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert run_here(train.main, [*arguments, "resume=last", "trainer.max_steps=4"], monkeypatch) == 0
    first, second = closed_runs(tmp_path)
    assert first.run_id == second.run_id
    steps = [[row["trainer/global_step"] for row in r.history if "train/loss" in row] for r in (first, second)]
    assert steps == [[1, 2], [3, 4]]


class KillChildren(Callback):
    """Kills this process's children, W&B's service among them, after the first step."""

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == 1:
            for listed in Path("/proc/self/task").glob("*/children"):
                for child in listed.read_text().split():
                    os.kill(int(child), signal.SIGKILL)


def test_training_goes_on_when_the_wandb_service_dies(tmp_path: Path, photographs: Path, paintings: Path) -> None:
    kill = "+callbacks.kill._target_=test_train.KillChildren"
    done = run(
        "adain_lit.train", [*tiny(photographs, paintings), "logger=wandb", "trainer.max_steps=4", kill], tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("WandbLogger fails") <= 1  # W&B's client may notice only at the end, or not at all
    (found,) = tmp_path.glob("outputs/*/*")
    assert list(logged(found, "train/loss")) == [1, 2, 3, 4]
    assert torch.load(found / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4


def test_multirun_with_processes_of_its_own_is_refused_in_one_line(
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", *tiny(photographs, paintings), "trainer.strategy=ddp", "trainer.devices=2", "seed=0"]
    assert run_here(train.main, arguments, monkeypatch) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "give each run one device (trainer.devices=1)" in line
    assert "launcher=local_gpus" in line
    assert "torchrun" in line


def test_paper_scale_trains_the_decoder_and_nothing_else(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: 3 505 219 parameters, by hand from the mirrored VGG-19; the encoder's are as they were."""
    seen: dict[str, Any] = {}

    class Watch(Callback):
        def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            seen["before"] = {k: v.clone() for k, v in module.state_dict().items()}

        def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            seen["after"] = module.state_dict()
            seen["trained"] = sum(p.numel() for group in trainer.optimizers[0].param_groups for p in group["params"])
            seen["losses"] = [float(v) for v in trainer.callback_metrics.values()]

    monkeypatch.setattr("support.commands.Watch", Watch, raising=False)
    monkeypatch.chdir(tmp_path)
    arguments = [
        *tiny(photographs, paintings),
        "scale=paper",
        "model.encoder=random",
        "+callbacks.w._target_=support.commands.Watch",
    ]
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert seen["trained"] == 3_505_219
    assert all(math.isfinite(value) for value in seen["losses"])
    for key, value in seen["before"].items():
        assert torch.equal(value, seen["after"][key]) == key.startswith("net.encoder."), key


def test_run_says_at_its_start_what_it_trains_and_at_its_end_what_comes_next(
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracles: six photographs and five paintings, of each of which one is held out; the folders' names by hand."""
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, tiny(photographs, paintings), monkeypatch) == 0
    printed = capfd.readouterr().out
    images = "5 content images (1 held out) and 4 style images (1 held out)"
    assert f"training enc_adain_dec to step 2, {images}, W&B off" in printed
    run = only_run(Path())
    assert f"python -m adain_lit.report {run}\n" in printed
    assert f"python -m adain_lit.evaluate ckpt_path={run}\n" in printed
    assert f"--checkpoint {run}\n" in printed
    environment = json.loads((run / "environment.json").read_text("utf-8"))
    assert environment["seed"] == 0
    assert environment["seconds"] > 0
    names = sorted(path.relative_to(paintings).as_posix() for path in paintings.rglob("*.png"))
    held_out = environment["data"]["held-out style"]
    assert held_out["sha256"] in {hashlib.sha256(name.encode()).hexdigest() for name in names}
    assert environment["data"]["train style"]["files"] == 4
