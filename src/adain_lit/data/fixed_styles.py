"""The style images of the methods for fixed styles."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from adain_lit.data.demo import DEMO, demo_style_images
from adain_lit.data.lists import find_source_images
from adain_lit.errors import InputError
from adain_lit.io.images import IMAGE_SUFFIXES, read_image, resized_crop, to_tensor


def style_files(source: str | Sequence[str], count: int | None = None) -> list[Path]:
    """Files of style images, in a fixed order.

    Args:
        source: an image, several, a folder, an image list, or ``demo``: its paintings, the held-out ones first.
        count: how many of a folder, a list or the demo, the first ones; None: all. Files that are named are all taken.

    Raises:
        InputError: if there are fewer, or none.
    """
    if source == DEMO:
        files = demo_style_images(held_out=True) + demo_style_images(held_out=False)
    elif isinstance(source, str) and Path(source).suffix.lower() not in IMAGE_SUFFIXES:
        files = find_source_images(source)[0]
    else:
        files = [Path(name).expanduser() for name in ([source] if isinstance(source, str) else source)]
        count = None
    if not files or (count is not None and not 1 <= count <= len(files)):
        raise InputError(f"{count} styles are asked for and {source} holds {len(files)}; give at least 1, and no more")
    return [path.absolute() for path in files[:count]]


def read_styles(files: Sequence[str | Path], size: int) -> Tensor:
    """The middle squares of style images, scaled to `size` pixels to each side: (S, 3, size, size) in ``uint8``.

    Raises:
        ImageReadError: if one cannot be read.
    """
    return torch.stack([to_tensor(resized_crop(read_image(path), size, size, (0.5, 0.5))) for path in files])
