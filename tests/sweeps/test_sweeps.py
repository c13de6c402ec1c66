"""Sweeps: what is missing is done and nothing else, in slots, whatever becomes of single jobs, until a signal comes."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from adain_lit import train
from hydra_plugins.adain_lit_sweeps.grid import GridSweeper
from hydra_plugins.adain_lit_sweeps.launcher import Interruption
from support.commands import hindrance, run, run_here, start, tiny, wait_until
from support.sweeps import only_sweep, statuses, under_way
from support.wandb_files import offline_runs

SLOTS = ["launcher=local_gpus", "hydra.launcher.slots=2"]


def written(sweep: Path) -> dict[str, int]:
    """When the configuration of each run was written: at the beginning of each attempt."""
    return {path.parent.name: path.stat().st_mtime_ns for path in sweep.glob("*/config.yaml")}


def test_the_four_systems_of_the_paper_have_one_name(
    tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enc-AdaIN-Dec, Enc-Concat-Dec, Enc-AdaIN-BNDec and Enc-AdaIN-INDec (Figs. 5 and 6), with each seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(GridSweeper, "launch", lambda *arguments, **options: None)
    arguments = ["-m", *tiny(photographs, paintings), "sweeper=paper_ablations", "seed=0,1"]
    run_here(train.main, arguments, monkeypatch)
    sweep = only_sweep(tmp_path)
    assert sweep.name.startswith("paper_ablations-seed_")
    systems = ("enc_adain_dec", "ablation_concat", "ablation_bndec", "ablation_indec")
    assert list(statuses(sweep)) == [f"{name}_seed-{seed}" for name in systems for seed in (0, 1)]


@pytest.mark.slow
def test_jobs_run_in_slots_and_the_same_command_does_only_what_failed(
    hinder: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Four jobs on two GPUs, as far as the jobs know; one fails, one is killed, one before it has begun."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (hinder / "ablation_bndec_seed-1").write_text("die")
    (hinder / "ablation_indec_seed-0").write_text("fail")
    (hinder / "ablation_indec_seed-1").write_text("vanish")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), "launcher=local_gpus"]
    arguments += ["experiment=glob(ablation_?ndec)", "seed=0,1"]
    assert run_here(train.main, arguments, monkeypatch) == 2
    sweep = only_sweep(tmp_path)
    names = [f"ablation_{norm}_seed-{seed}" for norm in ("bndec", "indec") for seed in (0, 1)]
    assert statuses(sweep) == dict.fromkeys(names, "failed") | {names[0]: "finished"}
    printed = capfd.readouterr()
    assert "3 of 4 jobs failed" in printed.err
    assert f"{names[2]} failed: RuntimeError: made to fail" in printed.out
    for number in (1, 3):
        log = sweep / ".submitit" / f"{number}.log"
        why = f"its process was killed by SIGKILL; what it printed last is in {log.relative_to(tmp_path)}"
        assert f"{names[number]} failed: {why}" in printed.out
    notes = [(hinder / f"{name}.note").read_text().split() for name in names[:3]]
    assert len({process for process, _ in notes} | {str(os.getpid())}) == 4
    assert [gpu for _, gpu in notes[:2]] == ["3", "5"]
    assert {gpu for _, gpu in notes} == {"3", "5"}
    for name in ("pareto.png", "contact_sheet.png"):
        assert (sweep / name).stat().st_size > 0

    before = written(sweep)
    for name in names:
        (hinder / name).unlink(missing_ok=True)
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert statuses(sweep) == dict.fromkeys(names, "finished")
    assert {name for name, when in written(sweep).items() if when != before.get(name)} == set(names[1:])


def test_signals_that_come_together_count_as_one_and_do_not_end_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    now = 100.0
    monkeypatch.setattr("hydra_plugins.adain_lit_sweeps.launcher.time.monotonic", lambda: now)
    with Interruption() as interruption:
        assert (interruption.number, interruption.times) == (None, 0)
        for later, number, times in (
            (0.0, signal.SIGTERM, 1),
            (0.5, signal.SIGINT, 1),
            (3.0, signal.SIGINT, 2),
            (0, signal.SIGHUP, 2),
        ):
            now += later
            signal.raise_signal(number)
            assert (interruption.number, interruption.times) == (signal.SIGTERM, times)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_half_done_job_goes_on_from_its_last_checkpoint(
    hinder: Path, tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: its log, in whose rows the pairs per second would differ if steps had been made again."""
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), "model.style_weight=1,3", "sweep=lambda"]
    arguments += ["trainer.max_steps=6", "trainer.val_check_interval=2"]
    sweep = tmp_path / "outputs" / "multirun" / "lambda"
    first, second = (f"enc_adain_dec_model.style_weight-{weight}" for weight in (1, 3))
    (hinder / first).write_text("interrupt")
    assert run_here(train.main, arguments, monkeypatch) == 130
    assert statuses(sweep) == {first: "interrupted", second: "not begun"}
    assert torch.load(sweep / first / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 4
    rows = (sweep / first / "metrics.csv").read_text().splitlines()

    (hinder / first).unlink()
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert statuses(sweep) == {first: "finished", second: "finished"}
    whole = (sweep / first / "metrics.csv").read_text().splitlines()
    assert whole[:5] == rows
    assert [row.split(",")[0] for row in whole] == ["step", *"123456"]


def test_changed_settings_under_the_same_name_are_refused(
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["-m", *tiny(photographs, paintings), "sweep=mine", "seed=0"]
    assert run_here(train.main, arguments, monkeypatch) == 0
    assert run_here(train.main, [*arguments, "data.crop=24"], monkeypatch) == 2
    assert "(data.crop=32, now 24)" in capfd.readouterr().err


@pytest.mark.slow
def test_sweep_of_sixteen_jobs_one_of_which_fails(
    hinder: Path, tmp_path: Path, photographs: Path, paintings: Path
) -> None:
    """Four experiments, two values of lambda and two seeds in two slots, with W&B."""
    failing = "ablation_gram_model.style_weight-3_seed-1"
    (hinder / failing).write_text("fail")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), *SLOTS, "logger=wandb"]
    arguments += ["experiment=glob(ablation_*)", "model.style_weight=1,3", "seed=0,1"]
    first = run("adain_lit.train", arguments, tmp_path, timeout=3600)
    assert first.returncode == 2, first.stderr
    assert "1 of 16 jobs failed: RuntimeError: made to fail" in first.stderr
    sweep = only_sweep(tmp_path)
    ended = statuses(sweep)
    assert len(ended) == len([path for path in sweep.iterdir() if (path / "job.json").is_file()]) == 16
    assert {name for name, status in ended.items() if status != "finished"} == {failing}
    records = {path.parents[2].name: offline_runs(path.parent) for path in sweep.rglob("*.wandb")}
    assert records.keys() == ended.keys()
    exits = {name: [record.exit_code for record in found] for name, found in records.items()}
    assert exits == {name: [1 if name == failing else 0] for name in ended}
    assert {record.group for found in records.values() for record in found} == {sweep.name}
    assert len({record.run_id for found in records.values() for record in found}) == 16

    before = written(sweep)
    (hinder / failing).unlink()
    second = run("adain_lit.train", arguments, tmp_path, timeout=3600)
    assert second.returncode == 0, second.stderr
    assert {name for name, when in written(sweep).items() if when != before[name]} == {failing}
    assert set(statuses(sweep).values()) == {"finished"}
    assert {record.exit_code for record in offline_runs(sweep / failing)} == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("group", [False, True], ids=["the process", "its group, as a terminal does"])
def test_interrupted_sweep_ends_all_its_jobs_with_checkpoints_and_goes_on(
    group: bool, hinder: Path, tmp_path: Path, photographs: Path, paintings: Path
) -> None:
    names = [f"enc_adain_dec_seed-{seed}" for seed in (0, 1, 2)]
    for name in names:
        (hinder / name).write_text("slow")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), *SLOTS, "seed=0,1,2", "logger=wandb"]
    arguments += ["trainer.max_steps=100", "trainer.val_check_interval=100"]
    process = start("adain_lit.train", arguments, tmp_path)
    wait_until(lambda: len(under_way(tmp_path)) == 2, process)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=250)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted; the same command resumes with what is missing" in out
    sweep = only_sweep(tmp_path)
    assert statuses(sweep) == dict(zip(names, ("interrupted", "interrupted", "not begun"), strict=True))
    steps = {}
    for name in names[:2]:
        steps[name] = torch.load(sweep / name / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        assert 2 < steps[name] < 100
        (record,) = offline_runs(sweep / name)
        assert record.exit_code == 1
        (note,) = [(hinder / f"{name}.note").read_text().split()[0]]
        assert not Path(f"/proc/{note}").exists()
        assert (sweep / ".submitit" / f"{names.index(name)}.log").read_text().count("SIGINT: leaving") == 1
    rows = {name: (sweep / name / "metrics.csv").read_text().splitlines() for name in steps}

    for name in names:
        (hinder / name).unlink()
    done = run("adain_lit.train", arguments, tmp_path, timeout=3600)
    assert done.returncode == 0, done.stderr
    assert set(statuses(sweep).values()) == {"finished"}
    for name, step in steps.items():
        whole = (sweep / name / "metrics.csv").read_text().splitlines()
        assert [row.rstrip(",") for row in whole[1 : step + 1]] == rows[name][1:]  # the validation added columns
        first, second = offline_runs(sweep / name)
        assert first.run_id == second.run_id


@pytest.mark.slow
def test_killed_job_has_a_wandb_run_that_is_closed_as_failed(
    hinder: Path, tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hinder / "enc_adain_dec_seed-0").write_text("die")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), *SLOTS, "seed=choice(0)", "logger=wandb"]
    assert run_here(train.main, arguments, monkeypatch) == 2
    records = offline_runs(only_sweep(tmp_path))
    assert len({record.run_id for record in records}) == 1
    assert records[-1].exit_code == 1
    assert records[-1].group == only_sweep(tmp_path).name


@pytest.mark.slow
def test_jobs_save_and_end_when_the_command_that_started_them_is_killed(
    hinder: Path, tmp_path: Path, photographs: Path, paintings: Path
) -> None:
    names = [f"enc_adain_dec_seed-{seed}" for seed in (0, 1)]
    for name in names:
        (hinder / name).write_text("slow")
    arguments = ["-m", *tiny(photographs, paintings), *hindrance(hinder), *SLOTS, "seed=0,1"]
    arguments += ["trainer.max_steps=100", "trainer.val_check_interval=100"]
    process = start("adain_lit.train", arguments, tmp_path)
    wait_until(lambda: len(under_way(tmp_path)) == 2, process)
    process.kill()
    process.communicate()
    sweep = only_sweep(tmp_path)
    deadline = time.monotonic() + 120
    while any(json.loads((sweep / name / "job.json").read_text())["status"] == "running" for name in names):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    for name in names:
        assert json.loads((sweep / name / "job.json").read_text())["status"] == "interrupted"
        step = torch.load(sweep / name / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
        assert 2 < step < 100
