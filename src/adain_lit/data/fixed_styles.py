"""Style images of the methods that are trained for fixed styles."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from adain_lit.data.demo import DEMO, demo_style_images
from adain_lit.data.lists import find_source_images
from adain_lit.errors import InputError
from adain_lit.io.formats import IMAGE_SUFFIXES
from adain_lit.io.images import read_image, resized_crop, to_tensor


def style_files(source: str | Sequence[str], count: int | None = None) -> list[Path]:
    """Files of style images, in a fixed order.

    Args:
        source: image files, a folder, an image list, or ``demo``: its paintings, the held-out ones first.
        count: take the first `count` files of a folder, a list or the demo; None takes all. Named files are all taken.

    Raises:
        InputError: if there are fewer than `count`, or none.

    Example:
        >>> [path.name for path in style_files("demo", count=2)]
        ['art_nouveau-1000.webp', 'charcoal-1000.webp']
    """
    if source == DEMO:
        files = demo_style_images(held_out=True) + demo_style_images(held_out=False)
    elif isinstance(source, str) and Path(source).suffix.lower() not in IMAGE_SUFFIXES:
        files = find_source_images(source)[0]
    else:
        files = [Path(name).expanduser() for name in ([source] if isinstance(source, str) else source)]
        count = None
    if not files or (count is not None and not 1 <= count <= len(files)):
        raise InputError(f"{count} styles are requested and {source} holds {len(files)}; give at least 1, and no more")
    return [path.absolute() for path in files[:count]]


def read_styles(files: Sequence[str | Path], size: int) -> Tensor:
    """Read the central squares of style images, resized to `size` pixels: (S, 3, size, size) in ``uint8``.

    Raises:
        ImageReadError: if a file cannot be read.

    Example:
        >>> read_styles(style_files("demo", count=2), size=64).shape
        torch.Size([2, 3, 64, 64])
    """
    return torch.stack([to_tensor(resized_crop(read_image(path), size, size, (0.5, 0.5))) for path in files])
