"""Images that need no download: photographs out of scikit-image's wheel, paintings rendered from seeds."""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from adain_lit.data.paintings import MANNERS, render_painting
from adain_lit.errors import InputError
from adain_lit.io.images import write_image

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
TRAIN_SEEDS = range(3)
HELD_OUT_SEEDS = range(1000, 1001)


def demo_content_images(held_out: bool) -> list[Path]:
    """Photographs inside the installed scikit-image (their sources: skimage.data's documentation)."""
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    paths = [folder / name for name in (HELD_OUT_PHOTOGRAPHS if held_out else TRAIN_PHOTOGRAPHS)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(f"scikit-image's wheel holds no {missing[0]}; install scikit-image 0.25 or newer")
    return paths


def demo_style_images(held_out: bool) -> list[Path]:
    """Paintings of every manner, rendered once into the cache folder."""
    folder = cache_folder() / "paintings-1"
    seeds = HELD_OUT_SEEDS if held_out else TRAIN_SEEDS
    wanted = [(manner, seed, folder / f"{manner}-{seed}.png") for seed in seeds for manner in MANNERS]
    _render((manner, seed, path) for manner, seed, path in wanted if not path.is_file())
    return sorted(path for _, _, path in wanted)


def noise_image() -> Path:
    """White noise of 512 x 512 pixels, every value of every channel drawn alike, made once into the cache folder."""
    path = cache_folder() / "noise-1" / "noise.png"
    if not path.is_file():
        values = np.random.Generator(np.random.Philox(0)).integers(256, size=(512, 512, 3), dtype=np.uint8)
        write_image(Image.fromarray(values), path)
    return path


def cache_folder() -> Path:
    """Where rendered paintings are kept: $ADAIN_CACHE, else the user's cache folder."""
    if "ADAIN_CACHE" in os.environ:
        return Path(os.environ["ADAIN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "adain_lit"


def _render(jobs: Iterable[tuple[str, int, Path]]) -> None:
    jobs = list(jobs)
    if not jobs:
        return
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for _ in tqdm(pool.map(_render_one, jobs), total=len(jobs), desc="rendering demo paintings", unit="painting"):
            pass


def _render_one(job: tuple[str, int, Path]) -> None:
    manner, seed, path = job
    write_image(render_painting(manner, seed), path)
