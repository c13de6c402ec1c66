"""Folders as runs of training leave them, without training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.utils import make_grid

from adain_lit.io.images import to_image, to_tensor, write_image
from adain_lit.loggers.csv import MetricsFile

Rows = dict[int, dict[str, float]]

SIDE = 32


def write_run(
    folder: Path,
    rows: Mapping[int, Mapping[str, float]] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    grids: Mapping[int, list[Image.Image]] | None = None,
) -> Path:
    """A run folder with the files that are given; grids are images by step, in rows of three."""
    folder.mkdir(parents=True)
    (folder / "train.log").touch()
    if rows is not None:
        log = MetricsFile(folder / "metrics.csv")
        for step, values in rows.items():
            log.log_metrics(dict(values), step)
        log.save()
    if config is not None:
        OmegaConf.save(OmegaConf.create(dict(config)), folder / "config.yaml")
    for step, images in (grids or {}).items():
        tensors = torch.stack([to_tensor(image) for image in images])
        grid = make_grid(tensors / 255, nrow=3, padding=4, pad_value=1.0)
        write_image(to_image(grid), folder / "grids" / f"step_{step:06d}.png")
    return folder


def losses(
    steps: int, *, content: float = 1.0, style: float = 2.0, weight: float = 10.0
) -> dict[int, dict[str, float]]:
    """Rows whose losses fall as 1 / step, with a validation every second step of 1.5 times them."""
    rows: dict[int, dict[str, float]] = {}
    for step in range(1, steps + 1):
        values = {"content_loss": content / step, "style_loss": style / step}
        values["loss"] = values["content_loss"] + 10 * values["style_loss"]
        rows[step] = {f"train/{name}": value for name, value in values.items()}
        if step % 2 == 0:
            rows[step] |= {f"val/{name}": 1.5 * value for name, value in values.items()}
    return rows


def plain(*colours: str) -> list[Image.Image]:
    """An image of each colour."""
    return [Image.new("RGB", (SIDE, SIDE), colour) for colour in colours]
