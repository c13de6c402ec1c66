"""Sweeps on a cluster, by commands that behave like SLURM's (`slurm`)."""

import os
import signal
from pathlib import Path

import pytest
import torch

from support import slurm
from support.commands import hindrance, run, start, tiny, wait_until
from support.sweeps import only_sweep, statuses, under_way

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a cluster whose commands are on the PATH."""
    slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "slurm"), os.environ["PATH"]]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "slurm" / "state"


def test_array_waits_for_all_and_a_job_at_its_time_limit_goes_on(
    cluster: Path,
    hinder: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
) -> None:
    """Three jobs: one is killed, one gets the signal that SLURM sends before the time limit."""
    names = [f"enc_adain_dec_seed-{seed}" for seed in (0, 1, 2)]
    (hinder / names[1]).write_text("die")
    (hinder / names[2]).write_text("slow")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), "launcher=slurm", "seed=0,1,2"]
    arguments += ["trainer.max_steps=40", "trainer.val_check_interval=40"]
    process = start("adain_lit.train", arguments, tmp_path)
    wait_until(lambda: names[2] in [log.parent.name for log in under_way(tmp_path)], process)
    os.kill(int((cluster / "100_2.pid").read_text()), signal.SIGUSR2)
    wait_until((cluster / "100_2.requeued").exists, process)
    log = only_sweep(tmp_path) / names[2] / "metrics.csv"
    before = log.read_text().splitlines()
    assert 2 < torch.load(log.parent / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] < 40
    (hinder / names[2]).unlink()
    _, err = process.communicate(timeout=900)
    assert process.returncode == 2, err
    assert "1 of 3 jobs failed" in err
    assert statuses(only_sweep(tmp_path)) == dict(zip(names, ("finished", "failed", "finished"), strict=True))
    whole = log.read_text().splitlines()
    assert [row.split(",")[0] for row in whole[1:]] == [str(step) for step in range(1, 41)]
    assert [row.rstrip(",") for row in whole[1 : len(before)]] == before[1:]  # the validation added columns

    (hinder / names[1]).unlink()
    done = run("adain_lit.train", arguments, tmp_path, timeout=900)  # a job that is no array
    assert done.returncode == 0, done.stderr
    assert set(statuses(only_sweep(tmp_path)).values()) == {"finished"}


def test_interruption_reaches_the_jobs_on_the_cluster(
    cluster: Path,
    hinder: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
) -> None:
    names = [f"enc_adain_dec_seed-{seed}" for seed in (0, 1)]
    for name in names:
        (hinder / name).write_text("slow")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), "launcher=slurm", "seed=0,1"]
    process = start("adain_lit.train", [*arguments, "trainer.max_steps=1000"], tmp_path)
    wait_until(lambda: len(under_way(tmp_path)) == 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    sweep = only_sweep(tmp_path)
    assert statuses(sweep) == dict.fromkeys(names, "interrupted")
    for name in names:
        assert torch.load(sweep / name / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 2
