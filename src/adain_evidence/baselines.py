"""Trainings of the methods that the paper compares with, and the images that all are compared on."""

import functools
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from adain_evidence.jobs import Job
from adain_evidence.session import found_images
from adain_evidence.setting import Setting
from adain_lit.config.overrides import quoted
from adain_lit.config.paths import last_checkpoint
from adain_lit.errors import InputError
from adain_lit.io.images import read_image, resized_crop, to_tensor


def single_styles(setting: Setting, styles: Sequence[str], seed: int, *more: str) -> Job:
    """Ulyanov et al.: a sweep of trainings, a network for the style of each image.

    Args:
        setting: of the claim.
        styles: files of the style images, two at least.
        seed: of the trainings.
        more: further settings of the trainings, such as ``trainer.max_steps=300``.
    """
    listed = ",".join(quoted(style) for style in styles)
    settings = ("experiment=baseline_ulyanov", f"model.styles={listed}", *setting.training(seed, *more))
    return Job("train", f"ulyanov-{seed}", settings, setting.folder, multirun=True)


def network_for(sweep: Job, style: str) -> Path:
    """The checkpoint of a sweep's network for one style."""
    return last_checkpoint(sweep.run_of("baseline_ulyanov", model__styles=quoted(style)))


@functools.lru_cache(maxsize=1)
def held_out(setting: Setting) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files of the held-out content and style images, in the order in which an evaluation takes them.

    Without images, a run ends with an error before its first job, but its jobs can still be composed: placeholders
    are returned then.
    """
    try:
        data = found_images(setting)
    except InputError:
        return tuple(f"content_{i}.jpg" for i in range(100)), tuple(f"style_{i}.jpg" for i in range(100))
    return tuple(map(str, data.held_out_contents)), tuple(map(str, data.held_out_styles))


def squares(files: Sequence[str], size: int) -> list[Tensor]:
    """Central squares of images, scaled to `size` pixels: each (1, 3, size, size), RGB in [0, 1]."""
    return [to_tensor(resized_crop(read_image(file), size, size, (0.5, 0.5)))[None].float() / 255 for file in files]
