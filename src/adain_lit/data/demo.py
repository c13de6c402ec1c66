"""Images that need no download: photographs of scikit-image's wheel as contents, files of this package as styles."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from adain_lit.errors import InputError

DEMO = "demo"
"""In place of a folder: the images of this module."""
NOISE = "noise"
"""In place of a content: white noise, of which a style makes a texture (Sec. 8)."""

TRAIN_PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
)
HELD_OUT_PHOTOGRAPHS = ("chelsea.png", "rocket.jpg")
STYLE_FOLDER = Path(__file__).parent / "demo_styles"
"""Paintings in seventeen styles, ``STYLE-SEED.webp``, rendered by ``tools/demo_paintings``."""
HELD_OUT_SEED = "1000"


def demo_content_images(held_out: bool) -> list[Path]:
    """Photographs in the installed scikit-image (their sources are in the documentation of ``skimage.data``).

    Args:
        held_out: the 2 images for validation; otherwise the 11 for training.

    Raises:
        InputError: if the installed scikit-image lacks one of them.

    Example:
        >>> [path.name for path in demo_content_images(held_out=True)]
        ['chelsea.png', 'rocket.jpg']
    """
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    paths = [folder / name for name in (HELD_OUT_PHOTOGRAPHS if held_out else TRAIN_PHOTOGRAPHS)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"scikit-image's wheel holds no {missing[0]}; install scikit-image 0.25 or newer")
    return paths


def demo_style_images(held_out: bool) -> list[Path]:
    """Paintings of 480 x 384 pixels in seventeen styles, sorted by name.

    Args:
        held_out: the 17 images for validation; otherwise the 51 for training, 3 of each style.

    Example:
        >>> [path.name for path in demo_style_images(held_out=True)][:2]
        ['art_nouveau-1000.webp', 'charcoal-1000.webp']
        >>> len(demo_style_images(held_out=False))
        51
    """
    paths = sorted(STYLE_FOLDER.glob("*.webp"))
    return [path for path in paths if (path.stem.rpartition("-")[2] == HELD_OUT_SEED) == held_out]


def noise_image() -> Path:
    """White noise, 512 x 512 pixels of independent uniform bytes, in a temporary file that is deleted at exit.

    Example:
        >>> Image.open(noise_image()).size
        (512, 512)
    """
    path = Path(_temporary_folder().name) / "noise.png"
    if not path.is_file():
        values = np.random.Generator(np.random.Philox(0)).integers(256, size=(512, 512, 3), dtype=np.uint8)
        Image.fromarray(values).save(path)
    return path


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="adain_lit-")  # kept by the cache: deleted with its last reference
