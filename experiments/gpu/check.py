"""``python experiments/gpu/check.py``: builds, checks, times and trains on one GPU, within eight minutes.

Measurements are written to ``results.json`` beside it (or ``--results FILE``), with date, hardware and versions. A step
that fails or is not reached does not stop the others; the exit status is 0 only if all succeed. It needs only Python
and a driver; with ``--wheels FOLDER`` nothing is downloaded. ``--rehearse`` runs the same steps at the smallest size on
a CPU and writes to ``outputs/gpu/rehearsal.json``: it only shows that the script works.
"""

import argparse
import csv
import datetime
import json
import os
import re
import shutil
import site
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "outputs" / "gpu"
RESULTS = Path(__file__).with_name("results.json")
TAIL = 1500
"""Number of characters kept of the output of a failed step."""

TESTS = ("tests/distributed/test_data_parallel.py", "tests/reliability/test_checkpoints.py", "tests/test_devices.py")
"""Where the tests marked ``gpu`` are; the other files need packages that are not installed here."""
FULL_WIDTH = (
    "data=demo",
    "model.encoder=random",  # of VGG-19's width; its weights change no time
    "model.encoder_widths=vgg19",
    "model.unit_mean_images=16",
    "data.resize=512",
    "data.crop=256",
    "data.batch_size=8",
    "data.num_workers=6",
    "logger=csv",
    "trainer.val_check_interval=1000",
)
"""The paper's network, images and batch, on the demo's images."""
MODES = {
    "float32": (),
    "bf16-mixed": ("trainer.precision=bf16-mixed",),
    "bf16-mixed, compiled": ("trainer.precision=bf16-mixed", "model.compile=true"),
}
TINY = (
    "model.encoder=distilled",
    "model.encoder_widths=compact",
    "model.unit_mean_images=0",
    "data.resize=72",
    "data.crop=64",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.val_pairs=2",
    "trainer.max_steps=4",
    "trainer.log_every_n_steps=2",
)
"""Settings of the rehearsal, which override the others."""


@dataclass(frozen=True)
class Step:
    """One command, and what is recorded of it.

    Attributes:
        name: name in the record.
        command: after the name of the Python program.
        seconds: time limit.
        measured: reads what it measured, once it has ended.
    """

    name: str
    command: tuple[str, ...]
    seconds: float
    measured: Callable[[], Any] = dict


def steps(*, rehearsal: bool) -> list[Step]:
    """The steps after the installation, the most important first."""
    tiny = TINY if rehearsal else ()
    accelerator = "cpu" if rehearsal else "gpu"
    device = ("device=cpu", "images=2", "sizes=[64]", "max_seconds=5") if rehearsal else ("device=cuda", "images=50")
    tests = ("tests/test_devices.py",) if rehearsal else ("-m", "gpu", *TESTS)
    junit = WORK / "tests.xml"
    planned = [
        Step("versions", ("-c", VERSIONS), 60, lambda: json.loads((WORK / "versions.json").read_text("utf-8"))),
        Step("tests marked gpu", ("-m", "pytest", *tests, f"--junitxml={junit}"), 240, lambda: outcomes(junit)),
        _training("trainer=ddp on one device", ("trainer=ddp", *tiny), accelerator, steps=20),
    ]
    for mode, settings in MODES.items():
        if not (rehearsal and "compiled" in mode):  # on a CPU that takes minutes
            planned.append(_training(f"speed, {mode}", (*settings, *tiny), accelerator, steps=60))
    full = ("trainer.precision=bf16-mixed", *tiny)
    planned.append(_training("training at full width", full, accelerator, steps=400, seconds=150))
    for kind, settings in (("float32", ()), ("bfloat16", ("dtype=bfloat16",))):
        output = WORK / f"benchmark_{kind}.json"
        command = ("-m", "adain_lit.benchmark", *device, *settings, f"output={output}")
        planned.append(Step(f"benchmark, {kind}", command, 120, lambda output=output: benchmarked(output)))
    return planned


VERSIONS = f"""
import json, torch
from adain_lit.runs.record import environment
found = environment()
found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
found["nccl"] = ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else None
found["bf16"] = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
open({str(WORK / "versions.json")!r}, "w").write(json.dumps(found))
"""


def _training(name: str, settings: Sequence[str], accelerator: str, *, steps: int, seconds: float = 90) -> Step:
    folder = WORK / re.sub(r"\W+", "_", name)
    common = (f"trainer.max_steps={steps}", "trainer.log_every_n_steps=10", f"trainer.accelerator={accelerator}")
    command = ("-m", "adain_lit.train", *FULL_WIDTH, *common, *settings, f"hydra.run.dir={folder}")
    return Step(name, command, seconds, lambda: trained(folder / "metrics.csv"))


def trained(metrics: Path) -> dict[str, Any]:
    """Speed and losses of a training: the median over its log without the first entry, which includes the warm-up."""
    with metrics.open(newline="", encoding="utf-8") as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    speeds = [row["train/pairs_per_second"] for row in rows if "train/pairs_per_second" in row]
    losses = {
        f"{name} of step {row['step']:.0f}": row[name]
        for row in (rows[0], rows[-1])
        for name in ("train/content_loss", "train/style_loss", "val/content_loss", "val/style_loss")
        if name in row
    }
    return {"pairs per second": statistics.median(speeds[1:] or speeds), "steps": rows[-1]["step"], **losses}


def benchmarked(output: Path) -> list[dict[str, Any]]:
    """Method, size, median seconds and memory of each case."""
    kept = ("method", "size", "style_encoding", "median", "quartiles", "memory")
    return [{key: case[key] for key in kept} for case in json.loads(output.read_text("utf-8"))["cases"]]


def outcomes(junit: Path) -> dict[str, str]:
    """Outcome of each test."""
    found = {}
    for case in ET.parse(junit).iter("testcase"):
        ends = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}.{case.get('name')}"] = ends[0] if ends else "passed"
    return found


def environment(folder: Path) -> str:
    """Create a virtual environment that sees this Python's packages, torch and pip among them; path of its Python.

    ``--system-site-packages`` is not enough: where this Python belongs to a virtual environment, it skips that one.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "beneath.pth").write_text("\n".join(site.getsitepackages()) + "\n", "utf-8")
    return str(folder / "bin" / "python")


def install(wheels: Path | None) -> tuple[str, ...]:
    """The command that installs the project and pytest, with those of their dependencies that are missing."""
    if wheels is None:
        return ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}[train]", "pytest")
    return ("-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels), "adain_lit[train]", "pytest")


def gpu() -> str | None:
    """Name, memory and driver of the first GPU, None if there is none."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader", "--id=0"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 and done.stdout.strip() else None


def carry_out(step: Step, python: str, deadline: float) -> dict[str, Any]:
    """Run a step within its time limit and the remaining time; return its record."""
    record: dict[str, Any] = {"name": step.name, "command": "python " + " ".join(step.command).replace(f"{ROOT}/", "")}
    if step.command[0] == "-c":
        record["command"] = "python -c ..."
    left = deadline - time.monotonic()
    if left < 10:
        return record | {"status": "not reached, time was up"}
    begun = time.monotonic()
    paths = [str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "WANDB_MODE": "offline"}
    try:
        done = subprocess.run(
            [python, *step.command],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=min(step.seconds, left),
            check=False,
        )
        status = "done" if done.returncode == 0 else f"failed with exit status {done.returncode}"
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        status = "failed: not over in time"
        output = (error.stdout or b"").decode(errors="replace")  # bytes, whatever was asked for
    record |= {"status": status, "seconds": round(time.monotonic() - begun, 1)}
    if status != "done":
        record["output"] = output[-TAIL:]
    try:
        record["measured"] = step.measured()
    except (OSError, KeyError, IndexError, ValueError, ET.ParseError) as error:
        record["measured"] = None
        if status == "done":
            record |= {"status": "failed: it left nothing to read", "output": f"{type(error).__name__}: {error}"}
    return record


def main() -> None:
    """Command line entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder with wheels of the project and of what it needs")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it (default: 8)")
    parser.add_argument("--here", action="store_true", help="with this Python, in which the project is installed")
    parser.add_argument("--only", nargs="+", default=[""], metavar="STEP", help="steps whose names begin so")
    parser.add_argument("--results", type=Path, help="the record (default: results.json beside this script)")
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with this Python, tiny")
    arguments = parser.parse_args()
    hardware = gpu()
    if hardware is None and not arguments.rehearse:
        sys.exit("check.py: error: no NVIDIA GPU answers to nvidia-smi; --rehearse tries the script on a CPU")
    deadline = time.monotonic() + 60 * arguments.minutes
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    result: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "hardware": "rehearsal on a CPU" if arguments.rehearse else hardware,
        "steps": [],
    }
    output = arguments.results or (WORK / "rehearsal.json" if arguments.rehearse else RESULTS)
    python, planned = sys.executable, steps(rehearsal=arguments.rehearse)
    planned = [step for step in planned if step.name == "versions" or step.name.startswith(tuple(arguments.only))]
    if not (arguments.rehearse or arguments.here):
        python = environment(WORK / "venv")
        planned.insert(0, Step("install", install(arguments.wheels), 240))
    for step in planned:
        record = carry_out(step, python, deadline)
        result["steps"].append(record)
        sys.stdout.write(f"{record['name']}: {record['status']}\n")
        sys.stdout.flush()
        output.write_text(json.dumps(result, indent=2) + "\n", "utf-8")  # after each, lest a time limit takes all
    sys.stdout.write(f"written to {output}\n")
    sys.exit(any(record["status"] != "done" for record in result["steps"]))


if __name__ == "__main__":
    main()
