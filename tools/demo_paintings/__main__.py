"""``python -m demo_paintings``: write the demo's style images into the package."""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from PIL import Image

from demo_paintings import STYLES, render_painting

SEEDS = (0, 1, 2, 1000)
"""Three seeds to train on, and one that is held out."""
SIZE = (480, 384)
"""Width and height of the files in pixels; paintings are rendered at 640 x 512 and reduced."""
QUALITY = 80
"""WebP quality: 3.5 MB for all 68 files."""
PACKAGE = Path(__file__).parents[2] / "src" / "adain_lit" / "data" / "demo_styles"


def write(style: str, seed: int, folder: Path) -> None:
    """Render one painting and write it as ``STYLE-SEED.webp``."""
    image = render_painting(style, seed).resize(SIZE, Image.Resampling.LANCZOS)
    image.save(folder / f"{style}-{seed}.webp", quality=QUALITY, method=6)


def main() -> None:
    """Render every style with every seed, on all cores."""
    command = argparse.ArgumentParser(prog="python -m demo_paintings", description="Render the demo's style images.")
    command.add_argument("--output", type=Path, default=PACKAGE, metavar="FOLDER", help="default: %(default)s")
    folder = command.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for result in [pool.submit(write, style, seed, folder) for seed in SEEDS for style in STYLES]:
            result.result()


if __name__ == "__main__":
    main()
