"""``python experiments/gpu/train_compact.py``: the bundled network's training on one GPU, as long as there is time.

Every seed gets the same number of steps: as many as fit into ``--seconds`` at the measured speed, or ``--steps``.
Networks (``seed_*.ckpt``), their logs (``seed_*.csv``) and ``training.json`` go into ``--output``. ``--measure`` only
measures the speed. Further arguments are passed to `adain_lit.train`.
"""

import argparse
import datetime
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from adain_lit.runs.rows import curve, read_rows, values_by_step

WORK = Path("outputs/compact")
SETTINGS = ("experiment=compact_adain", "model.compile=true", "logger=csv", "callbacks.checkpoints.every_n_steps=5000")
MEASURED = ("trainer.max_steps=160", "trainer.val_check_interval=1000", "model.skips_from=0")
STARTUP = 85.0
"""Seconds of a run outside training: imports, compiling (64 on an H100 with 16 cores), validation."""


def train(folder: Path, settings: list[str]) -> dict[int, dict[str, float]]:
    """Run a training and return the rows of its log by step. If it fails, so does the script; the run prints why."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "adain_lit.train", *settings, f"hydra.run.dir={folder}"]
    if status := subprocess.run(command, check=False).returncode:
        sys.exit(status)
    return values_by_step(read_rows(folder / "metrics.csv")[1])


def speed(rows: dict[int, dict[str, float]]) -> float:
    """Pairs a second: the median over the log without the first half, in which workers read and things warm up."""
    _, speeds = curve(rows, "train/pairs_per_second")
    return statistics.median(speeds[len(speeds) // 2 :])


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=270.0, help="for each seed (default: 270)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs-per-second", type=float, help="as measured before (default: measure)")
    parser.add_argument("--steps", type=int, help="optimiser steps of each seed")
    parser.add_argument("--output", type=Path, default=WORK)
    parser.add_argument("--measure", action="store_true")
    arguments, others = parser.parse_known_args()
    settings = [*SETTINGS, f"data.batch_size={arguments.batch}", *others]
    rate, steps = arguments.pairs_per_second, arguments.steps
    if arguments.measure or (rate is None and steps is None):
        rate = speed(train(WORK / "measured", [*settings, *MEASURED]))
        sys.stdout.write(f"{rate:.0f} pairs a second\n")
        if arguments.measure:
            return
    if steps is None:
        assert rate is not None
        steps = int((arguments.seconds - STARTUP) * rate / arguments.batch)
    arguments.output.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "runs": []}
    for seed in arguments.seeds:
        begun, folder = time.monotonic(), WORK / f"seed_{seed}"
        own = [*settings, f"seed={seed}", f"trainer.max_steps={steps}"]
        rows = train(folder, own)
        shutil.copyfile(folder / "checkpoints" / "last.ckpt", arguments.output / f"seed_{seed}.ckpt")
        shutil.copyfile(folder / "metrics.csv", arguments.output / f"seed_{seed}.csv")
        step = curve(rows, "val/loss")[0][-1]
        run = {
            "settings": own,
            "step": step,
            "seconds": round(time.monotonic() - begun, 1),
            "pairs per second": speed(rows),
        }
        record["runs"].append(run | rows[step])
        record["environment"] = json.loads((folder / "environment.json").read_text("utf-8"))
        (arguments.output / "training.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
