"""Stylise with an exported network: NumPy, Pillow and ONNX Runtime, nothing else.

``python stylize_onnx.py network.onnx PHOTOS painting.jpg RESULTS`` stylises every image of a folder.
"""

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

MAX_PIXELS, MAX_FILE_PIXELS = 4_000_000, 100_000_000
"""Largest result, which decides the memory that the network takes, and largest image to read."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Network:
    """An exported network.

    Args:
        path: a file written by ``python -m adain_lit.export NET FILE.onnx``.
        threads: that it uses; 0 is one for each core.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.card = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, content: Image.Image, style: Image.Image, alpha: float = 1.0) -> Image.Image:
        """The content in the style, at the content's size."""
        inputs = {"content": to_array(content), "style": to_array(style), "alpha": np.array(alpha, np.float32)}
        (made,) = self.session.run(["stylized"], inputs)
        return Image.fromarray((made[0].transpose(1, 2, 0) * 255).round().astype(np.uint8))


def to_array(image: Image.Image) -> np.ndarray:
    """An RGB image as (1, 3, height, width) in [0, 1]."""
    return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255)


def read(file: str | Path | BinaryIO, shorter: int) -> Image.Image:
    """An upright RGB image with its shorter side resized to `shorter` pixels.

    Raises:
        ValueError: if it cannot be read, or would be too large.
    """
    try:
        with Image.open(file) as image:
            width, height = image.size
            scale = shorter / min(width, height)
            size = max(shorter, round(width * scale)), max(shorter, round(height * scale))
            if width * height > MAX_FILE_PIXELS or size[0] * size[1] > MAX_PIXELS:
                raise ValueError(f"{width}x{height} pixels are too many at this size")
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("no image that Pillow can read") from error
    if upright.size != (width, height):
        size = size[1], size[0]  # it was stored lying on its side
    return upright.resize(size, Image.Resampling.LANCZOS)


def main() -> int:
    """Stylise a folder; the exit status is 1 if an image could not be read."""
    parser = argparse.ArgumentParser(description="Stylise every image of a folder with an exported network.")
    parser.add_argument("network", type=Path, help="a file written by adain_lit.export")
    parser.add_argument("contents", type=Path, help="a folder of images")
    parser.add_argument("style", type=Path, help="an image")
    parser.add_argument("output", type=Path, help="a folder")
    parser.add_argument("--alpha", type=float, default=1.0, help="0 is the content, 1 the style (default)")
    parser.add_argument("--size", type=int, default=512, help="shorter side of the results in pixels (default 512)")
    parser.add_argument("--style-size", type=int, default=512, help="shorter side of the style (default 512)")
    arguments = parser.parse_args()
    network = Network(arguments.network)
    style = read(arguments.style, arguments.style_size)
    arguments.output.mkdir(parents=True, exist_ok=True)
    status = 0
    for path in sorted(path for path in arguments.contents.iterdir() if path.suffix.lower() in SUFFIXES):
        try:
            made = network(read(path, arguments.size), style, arguments.alpha)
            made.save(arguments.output / f"{path.stem}.png")
        except ValueError as error:
            sys.stderr.write(f"{path}: {error}\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
