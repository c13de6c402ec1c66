"""``python experiments/gpu/paper_systems.py content=PHOTOS style=PAINTINGS encoder=VGG19``: Figs. 5 and 6 on one GPU.

Measures the speed of a training at the paper's size (VGG-19's width, 8 pairs of 256 pixels), gives each of the four
systems as many steps as then fit into ``--minutes``, and runs the claim fig5_6_ablations with them at scale=paper:
trainings, evaluation, verdict, figures. What is to be kept goes into ``--output``: the logs, results.json, figures,
and the decoders in half precision. Further arguments are handed to the claim's script. ``--rehearse`` does the same on
a CPU, as small as it can be.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from adain_evidence import Setting
from adain_evidence.composition import composed
from adain_evidence.systems import ABLATIONS
from adain_lit.runs.rows import curve, read_rows, values_by_step

ROOT = Path(__file__).resolve().parents[2]
WORK = Path("outputs", "gpu", "paper_systems")
CLAIM = "fig5_6_ablations"
FAST = ("trainer.precision=bf16-mixed", "model.compile=true", "data.num_workers=12", "data.cache=4000")
SCHEDULE = ("model.lr=5e-4", "model.lr_schedule=cosine", "model.lr_warmup=100", "model.style_weight=2.0",
            "trainer.gradient_clip_val=10.0")  # fmt: skip
"""That of scale=medium: the authors' rate is for 160 000 steps."""
TINY = (
    "model.encoder_widths=compact",
    "model.unit_mean_images=0",
    "data.resize=72",
    "data.crop=64",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.val_pairs=2",
    "trainer.accelerator=cpu",
)
"""Settings of the rehearsal, which overrule the others."""
MEASURED = 120
"""Steps of the training that measures the speed."""
SPARE = 150.0
"""Seconds for the evaluation and the figures, and for compiling what the measurement has not compiled."""
START = 30.0
"""Seconds of each training before its first step: imports, images, compiled code read from torch's cache."""


def measured_rate(setting: Setting, steps: int) -> float:
    """Optimiser steps per second, median over the second half of a short training; what it compiles is cached."""
    folder = WORK / "rate"
    shutil.rmtree(folder, ignore_errors=True)
    settings = setting.training(0, f"trainer.max_steps={steps}", "trainer.log_every_n_steps=10")
    command = [sys.executable, "-m", "adain_lit.train", *settings, f"hydra.run.dir={folder}"]
    subprocess.run(command, check=True)
    _, speeds = curve(values_by_step(read_rows(folder / "metrics.csv")[1]), "train/pairs_per_second")
    return statistics.median(speeds[len(speeds) // 2 :]) / int(composed("train", settings).data.batch_size)


def keep(setting: Setting, output: Path) -> None:
    """Copy the logs, the decoders in half precision, and what the claim has written."""
    output.mkdir(parents=True, exist_ok=True)
    for system in ABLATIONS.names:
        run = ABLATIONS.run_of(setting, system, 0)
        if not (run / "metrics.csv").is_file():
            continue
        shutil.copyfile(run / "metrics.csv", output / f"{system}.csv")
        path = run / "checkpoints" / "last.ckpt"
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
            decoder = {k.removeprefix("net."): v.half().contiguous() for k, v in state.items() if ".decoder." in k}
            save_file(decoder, output / f"{system}_decoder.safetensors")
    for path in (ROOT / "experiments" / CLAIM).iterdir():
        if path.name == "results.json" or "-paper." in path.name:
            shutil.copyfile(path, output / path.name)


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0, help="for everything (default: 12)")
    parser.add_argument("--output", type=Path, default=WORK / "kept")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, tiny")
    arguments, given = parser.parse_known_args()
    begun = time.monotonic()
    if not (arguments.rehearse or torch.cuda.is_available()):
        sys.exit("paper_systems.py: error: there is no CUDA GPU; --rehearse tries the script on a CPU")

    own = (*(TINY if arguments.rehearse else FAST), *SCHEDULE)
    claim = ["scale=paper", "seeds=0", f"out={WORK / 'claim'}", *given, *own]
    rate = measured_rate(Setting.parse(CLAIM, [*claim, "model.lr_steps=1000"]), 20 if arguments.rehearse else MEASURED)
    left = 60 * arguments.minutes - (time.monotonic() - begun) - SPARE
    steps = 8 if arguments.rehearse else int(rate * (left / len(ABLATIONS.names) - START))
    if steps < 1:
        sys.exit(f"paper_systems.py: error: at {rate:.3g} steps/s nothing fits into the time; give more --minutes")
    print(f"{rate:.3g} steps/s: {steps} steps for each of the {len(ABLATIONS.names)} systems", flush=True)  # noqa: T201
    claim += [
        f"trainer.max_steps={steps}",
        f"model.lr_steps={steps}",
        f"trainer.val_check_interval={max(1, steps // 10)}",
    ]
    script = ROOT / "experiments" / CLAIM / "run.py"
    try:
        status = subprocess.run([sys.executable, script, *claim], check=False).returncode
    finally:
        keep(Setting.parse(CLAIM, claim), arguments.output)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes; kept in {arguments.output}")  # noqa: T201
    sys.exit(status)


if __name__ == "__main__":
    main()
