"""Kills: one run that is killed fifty times, at random places, ends as if it had never been disturbed."""

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from adain_lit.weights.files import read_checkpoint
from support.commands import tiny
from support.forks import Forks, forks
from support.runs import assert_same_runs, log_of, only_run
from support.wandb_files import offline_runs

Record = Callable[[int, str], None]
STEPS, VALIDATION, CHECKPOINT = 160, 5, 2
PLACES = ("write", "write", "write", "validation", "validation", "validation", "time", "time", "time", "step") * 5


def log_is_whole(run: Path) -> bool:
    """Whether the log has each step at most once, in order."""
    if not (run / "metrics.csv").is_file():
        return True
    steps = [int(row["step"]) for row in log_of(run)]
    return steps == sorted(set(steps))


def steps_missing_from_wandb(run: Path) -> int:
    """Number of steps that no record of W&B has; those that it has are the log's, also where several have them."""
    expected = {int(row["step"]): float(row["train/loss"]) for row in log_of(run)}
    found = set()
    for record in offline_runs(run):
        for row in record.history:
            if "train/loss" in row:
                assert row["train/loss"] == expected[row["trainer/global_step"]]
                found.add(row["trainer/global_step"])
    return len(expected.keys() - found)


def train(server: Forks, arguments: list[str], folder: Path, kill: str = "") -> int:
    """Train until the end, or until the place or the time ``time SECONDS`` of `kill`."""
    place, *more = kill.split() or ["nowhere"]
    fork = server.start(arguments, folder / "output.txt", {"KILL": "slow 0" if place == "time" else kill})
    if place == "time":
        time.sleep(float(more[0]))
        fork.kill()
    return fork.wait()


@pytest.mark.slow
@pytest.mark.promise(
    fault="a run is killed over and over",
    cause="50 kills of one run of 160 steps with csv and W&B: 15 amid a checkpoint's bytes, 15 amid a validation, "
    "15 at random times from its first second on, 5 amid a step; each time resume=last",
    promise="each resume works; at the end weights, optimiser and log equal those of an undisturbed run to the bit",
)
def test_fifty_kills_leave_no_trace(tmp_path: Path, photographs: Path, paintings: Path, record: Record) -> None:
    steps = [f"trainer.max_steps={STEPS}", f"trainer.val_check_interval={VALIDATION}"]
    steps += [f"callbacks.checkpoints.every_n_steps={CHECKPOINT}", "callbacks.pictures.pairs=1"]
    arguments = [*tiny(photographs, paintings), *steps, "+callbacks.kill._target_=support.commands.Kill"]
    arguments[arguments.index("logger=csv")] = "logger=[csv,wandb]"
    chance, places, statuses = random.Random(0), list(PLACES), []
    chance.shuffle(places)
    killed = tmp_path / "outputs" / "enc_adain_dec"
    with forks(tmp_path) as server:
        assert train(server, [*arguments, "name=undisturbed"], tmp_path) == 0
    with forks(tmp_path) as server:
        for place in places:
            (run,) = killed.iterdir() if killed.is_dir() else [None]
            newest = run / "checkpoints" / "last.ckpt" if run else tmp_path / "none"
            at = read_checkpoint(newest)["global_step"] if newest.is_file() else 0
            if place == "time":
                kill = f"time {chance.uniform(0, 5):.2f}"
            elif place == "write":
                size = newest.stat().st_size if newest.is_file() else 2_000_000
                kill = f"write {at + chance.randint(1, 4)} {chance.randrange(size // 10, size)}"
            elif place == "validation":
                kill = f"validation {at - at % VALIDATION + VALIDATION}"
            else:
                kill = f"step {at + chance.randint(1, 4)}"
            resume = ["resume=last"] if newest.is_file() else []
            statuses.append(train(server, [*arguments, *resume], tmp_path, kill))
            assert statuses[-1] == -(signal.SIGXFSZ if place == "write" else signal.SIGKILL), (kill, at)
            assert log_is_whole(only_run(tmp_path))
        assert train(server, [*arguments, "resume=last"], tmp_path) == 0
    run = only_run(tmp_path)
    assert_same_runs(only_run(tmp_path, "undisturbed"), run)
    assert [int(row["step"]) for row in log_of(run)] == list(range(1, STEPS + 1))
    assert not list(run.rglob(".*.partial-*"))
    missing = steps_missing_from_wandb(run)
    record(
        len(statuses),
        "resumed each time, equal to the bit; metrics.csv has every step once, W&B none with two values, and lacks "
        f"{missing} that it held in memory when it was killed",
    )
