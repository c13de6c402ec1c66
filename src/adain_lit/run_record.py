"""What a run leaves in its folder for people: the environment it ran in and its curves."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adain_lit.images import write_atomically
from adain_lit.metrics_file import Row, read_rows

PACKAGES = ("adain_lit", "torch", "torchvision", "lightning", "hydra-core", "omegaconf", "wandb", "numpy", "pillow")
CURVES = {"content_loss": "content loss $L_c$ (Eq. 12)", "style_loss": "style loss $L_s$ (Eq. 13)"}


def environment() -> dict[str, Any]:
    """Versions, hardware, the command and the commit of a checkout."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "command": " ".join(sys.argv),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES} | {"torch": torch.__version__},
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpus": gpus,
    }


def write_json(value: Any, path: Path) -> None:
    """Write JSON that people can read, never half a file."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(value, indent=2) + "\n", "utf-8"))


def plot_curves(metrics: Path, picture: Path, *, title: str = "") -> None:
    """Draw the content and the style loss of a ``metrics.csv`` against the optimiser step.

    Args:
        metrics: the log of a run.
        picture: the PNG to write.
        title: name of the run.
    """
    _, rows = read_rows(metrics)
    figure = Figure(figsize=(10, 4), layout="constrained")
    if title:
        figure.suptitle(title)
    logged = {name for row in rows for name in row}
    curves = CURVES if "train/content_loss" in logged else {"loss": "loss"}
    for axes, (name, label) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
        _draw(axes, rows, name)
        axes.set(xlabel="optimiser step", ylabel=label, yscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    write_atomically(picture, lambda temporary: figure.savefig(temporary, dpi=120))


def _draw(axes: Axes, rows: Sequence[Row], name: str) -> None:
    steps, values = _column(rows, f"train/{name}")
    axes.plot(steps, values, color="#0072B2", alpha=0.35, linewidth=0.8, label="training batches")
    smooth = _smooth(values)
    axes.plot(steps, smooth, color="#0072B2", label="training, running mean")
    steps, values = _column(rows, f"val/{name}")
    axes.plot(steps, values, color="#D55E00", marker="o", markersize=4, label="held-out pairs")


def _column(rows: Sequence[Row], name: str) -> tuple[list[int], list[float]]:
    found = [(int(row["step"]), float(row[name])) for row in rows if name in row]
    return [step for step, _ in found], [value for _, value in found]


def _smooth(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Mean over a window of the last `share` of all values, at least 3."""
    window = max(3, int(len(values) * share))
    return [sum(part) / len(part) for i in range(len(values)) if (part := values[max(0, i + 1 - window) : i + 1])]


def _commit() -> str | None:
    """Commit of the checkout that the package is imported from, with a + if it was changed; None elsewhere."""
    package = Path(__file__).parent
    if package.parent.name != "src":
        return None
    try:
        run = ["git", "-C", str(package), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(run, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
