"""Surroundings: disks, homes and clocks as machines have them, images as folders have them, and long runs."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from PIL import Image

from adain_lit import train
from support.commands import may_mount, run, run_here, tiny
from support.runs import assert_same_runs, last, log_of, only_run
from support.sweeps import only_sweep, statuses

Record = Callable[[int, str], None]
needs_mounts = pytest.mark.skipif(not may_mount(), reason="needs unshare -m and the right to mount")
SHALLOW = ("model.content_layer=relu2_1", "model.style_layers=[relu1_1,relu2_1]")
"""A network whose steps take a hundredth of a second."""


@pytest.mark.slow
@needs_mounts
@pytest.mark.promise(
    fault="the disk is full in one job of a sweep",
    cause="`train -m seed=0,1`, the first job's folder on a file system of 1 MB; then the same command with room",
    promise="that job fails with the file and the reason, the other finishes; the same command makes what is missing",
)
def test_disk_full_in_one_job_of_a_sweep(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", *tiny(photographs, paintings), "seed=0,1", "sweep=full"]
    job = tmp_path / "outputs" / "multirun" / "full" / "enc_adain_dec_seed-0"
    job.mkdir(parents=True)
    mount = f'exec unshare -m sh -c \'mount -t tmpfs -o size=1m tmpfs {job}; exec "$@"\' sh "$@"'
    done = run("adain_lit.train", arguments, tmp_path, shell=mount, timeout=600)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert "1 of 2 jobs failed: No space left on device: " in line
    assert "enc_adain_dec_seed-0/checkpoints" in line
    assert statuses(only_sweep(tmp_path))["enc_adain_dec_seed-1"] == "finished"
    finished = (job.with_name("enc_adain_dec_seed-1") / "metrics.csv").stat().st_mtime_ns
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert set(statuses(only_sweep(tmp_path)).values()) == {"finished"}
    assert (job.with_name("enc_adain_dec_seed-1") / "metrics.csv").stat().st_mtime_ns == finished
    record(1, "one line, the other finished; the same command made the first alone")


@pytest.mark.promise(
    fault="the clock goes back by a day while a run trains, and a checkpoint is dated in the future",
    cause="time.time a day less from its third reading on; the checkpoints of a run a day later, and then resume=last",
    promise="the run ends as if undisturbed; resume=last names the run and step that it takes, and warns",
)
def test_clock_that_goes_back(
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    record: Record,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "trainer.val_check_interval=2", "trainer.max_steps=6"]
    assert run_here(train.main, [*arguments, "name=undisturbed"], monkeypatch) == 0
    readings, now = count(), time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() - (86_400 if next(readings) > 2 else 0))
        assert run_here(train.main, [*arguments, "trainer.max_steps=4"], monkeypatch) == 0
    assert next(readings) > 6
    folder = only_run(tmp_path)
    for path in (folder / "checkpoints").iterdir():
        os.utime(path, (now() + 86_400, now() + (86_400 if path.name == "best.ckpt" else 80_000)))
    capfd.readouterr()
    assert run_here(train.main, [*arguments, "resume=last"], monkeypatch) == 0
    printed = capfd.readouterr().out
    assert f"resuming {folder.relative_to(tmp_path)} at step 4" in printed
    assert "checkpoints/last.ckpt is dated in the future: the clock went back" in printed
    assert_same_runs(only_run(tmp_path, "undisturbed"), folder)
    record(1, "equal to the bit; the run and its step were named, with a warning")


@pytest.mark.slow
@pytest.mark.promise(
    fault="the system starts processes anew instead of forking (Windows, macOS)",
    cause="train with two loader workers and multiprocessing's start method spawn",
    promise="the run equals one without workers to the bit",
)
def test_workers_that_are_spawned(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    arguments = tiny(photographs, paintings)
    spawn = ["+callbacks.start._target_=support.commands.StartMethod", "+callbacks.start.method=spawn"]
    done = run("adain_lit.train", [*arguments, *spawn, "data.num_workers=2"], tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.chdir(tmp_path)
    assert run_here(train.main, [*arguments, "name=alone"], monkeypatch) == 0
    assert_same_runs(only_run(tmp_path, "alone"), only_run(tmp_path))
    record(1, "equal to the bit")


READ_ONLY = "mount --bind {home} {home} && mount -o remount,bind,ro {home}"
HOMES = {
    "read-only": f"{READ_ONLY}; mkdir home && mount -t tmpfs -o ro tmpfs home; export HOME=$PWD/home",
    "none": f"{READ_ONLY}; unset HOME",
}
"""Shell commands; the user's own folder is read-only in both, since without HOME programs look there."""
COMMANDS = """
import sys
from importlib import import_module

for line in sys.argv[1:]:
    command, *arguments = line.split(" ")
    sys.argv = [command, *arguments]
    status = import_module(f"adain_lit.{command}").main()
    print(command, "ended with", status or 0, flush=True)
"""


@pytest.mark.slow
@needs_mounts
@pytest.mark.promise(
    fault="the home folder cannot be written, or there is none",
    cause="HOME on a file system that is read-only and empty, and no HOME: train with W&B, stylize, report",
    promise="everything works; nothing is written outside the run's folder and the output",
)
@pytest.mark.parametrize("home", HOMES)
def test_home_that_cannot_be_written(
    home: str, tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    arguments = tiny(photographs, paintings)
    arguments[arguments.index("logger=csv")] = "logger=[csv,wandb]"
    lines = [
        " ".join(["train", *arguments, "hydra.run.dir=run"]),
        "stylize demo/0.png --style demo/0.png --size 32 --device cpu --checkpoint run --output out.png",
        "report run --output report",
    ]
    (tmp_path / "demo").mkdir()
    Image.effect_noise((40, 40), 50).convert("RGB").save(tmp_path / "demo" / "0.png")
    setup = HOMES[home].format(home=pwd.getpwuid(os.getuid()).pw_dir)
    command = [sys.executable, "-c", COMMANDS, *lines]
    kept = {k: v for k, v in os.environ.items() if k not in ("MPLCONFIGDIR", "WANDB_DIR") and not k.startswith("XDG_")}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{setup}; exec "$@"', "sh", *command],
        cwd=tmp_path,
        env=kept | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    ended = [line for line in done.stdout.splitlines() if "ended with" in line]
    assert ended == [f"{name} ended with 0" for name in ("train", "stylize", "report")], done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "fails" not in done.stdout, "W&B"
    assert {path.name for path in tmp_path.iterdir()} - {"home"} == {"demo", "run", "out.png", "report"}
    assert list((tmp_path / "run" / "wandb").rglob("*.wandb"))
    record(3, f"{home}: all three commands worked")


@pytest.mark.promise(
    fault="images without any contrast",
    cause="training for three steps on images that are all black, all white, or of one colour; each against each, "
    "in float32, bf16-mixed and 16-mixed, on a CPU",
    promise="losses and weights stay finite",
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_images_of_one_colour(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record) -> None:
    monkeypatch.chdir(tmp_path)
    for name, colours in {"content": ["black", "white", "red"], "style": ["white", "black", "teal"]}.items():
        (tmp_path / name).mkdir()
        for k, colour in enumerate([*colours, colours[0]]):
            Image.new("RGB", (64, 64), colour).save(tmp_path / name / f"{k}_{colour}.png")
    arguments = [*tiny(tmp_path / "content", tmp_path / "style"), f"trainer.precision={precision}", "data.batch_size=3"]
    steps = ["trainer.max_steps=3", "trainer.val_check_interval=3"]
    assert run_here(train.main, [*arguments, *steps], monkeypatch) == 0
    folder = only_run(tmp_path)
    assert all(bool(value.isfinite().all()) for value in last(folder)["state_dict"].values())
    assert not (folder / "non_finite.txt").exists()
    losses = [float(row[name]) for row in log_of(folder) for name in row if "loss" in name and row[name]]
    assert torch.tensor(losses).isfinite().all()
    instead = ", with bf16-mixed in its place, as Lightning says" if precision == "16-mixed" else ""
    record(1, f"{precision}: finite{instead}")


@pytest.mark.slow
@pytest.mark.promise(
    fault="a long run",
    cause="20 000 steps of a small network with a validation every 500; its memory every 500 steps",
    promise="the memory does not grow, and the log has every step",
)
def test_memory_does_not_grow_over_twenty_thousand_steps(
    tmp_path: Path, photographs: Path, paintings: Path, record: Record
) -> None:
    steps = ["trainer.max_steps=20000", "trainer.val_check_interval=500", "trainer.log_every_n_steps=10"]
    size = ["data.resize=20", "data.crop=16", "data.batch_size=1", "data.cache=10", *SHALLOW]
    note = {"_target_": "support.commands.Memory", "path": tmp_path / "memory.txt", "every": 500}
    arguments = [*tiny(photographs, paintings), *steps, *size]
    arguments += [f"+callbacks.memory.{name}={value}" for name, value in note.items()]
    done = run("adain_lit.train", arguments, tmp_path, timeout=3600)
    assert done.returncode == 0, done.stderr
    memory = [float(line) for line in (tmp_path / "memory.txt").read_text().split()]
    assert len(memory) == 40
    assert max(memory) - memory[1] < 20  # the rows of the log are kept: 2 kB each
    assert [int(row["step"]) for row in log_of(only_run(tmp_path))] == list(range(10, 20_001, 10))
    record(20_000, f"{memory[1]:.0f} MB after 1000 steps, {memory[-1]:.0f} MB after 20 000")
