"""A network in ONNX Runtime: stylises with NumPy and Pillow alone, and imports no torch.

The bundled network is there at once: ``compact.onnx`` is its graph, with its weights in ``compact.safetensors``.
Any other network has to be exported (``python -m adain_lit.export RUN network.onnx``).
"""

import argparse
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.inference.failures import Failures
from adain_lit.inference.plan import Output, is_video
from adain_lit.io.images import (
    central_square,
    read_image,
    read_image_and_metadata,
    resize_shorter,
    upright_rgb,
    write_image,
)

# not adain_lit.weights.files, which imports torch
BUNDLED_FOLDER = Path(__file__).parents[1] / "weights" / "models"
BUNDLED = ("compact",)
MAX_PIXELS = 4 * 1024**2
"""Largest image: what `adain_lit.inference.stylizer` processes in one piece too."""


class OnnxStylizer:
    """Stylises images with a network in ONNX Runtime, on the CPU.

    Args:
        source: ``compact``, the bundled network, or a file written by ``python -m adain_lit.export NET FILE.onnx``.

    Raises:
        InputError: if ONNX Runtime is not installed, or the file is no such network.

    Example:
        >>> stylize = OnnxStylizer()
        >>> content, style = Image.new("RGB", (48, 32), "teal"), Image.new("RGB", (32, 32), "orange")
        >>> stylize(content, style, alpha=0.8).size
        (48, 32)
    """

    def __init__(self, source: str | Path = "compact") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise InputError("the ONNX backend needs onnxruntime; pip install 'adain_lit[export]'") from error
        path = BUNDLED_FOLDER / f"{source}.onnx" if str(source) in BUNDLED else Path(source).expanduser()
        if path.suffix != ".onnx" or not path.is_file():
            raise InputError(
                f"the ONNX backend cannot read {source}; give compact or an .onnx file (python -m adain_lit.export "
                f"{source} network.onnx)"
            )
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # a type of its own for each kind of damage, with Exception as their only base
            raise InputError(f"cannot read {path}: {' '.join(str(error).split())[:200]}") from error
        self.metadata: Mapping[str, str] = self.session.get_modelmeta().custom_metadata_map
        shapes = {x.name: x.shape for x in self.session.get_inputs()}
        if shapes.keys() != {"content", "style", "alpha"} or "min_size" not in self.metadata or shapes["alpha"]:
            raise InputError(f"{path} is no whole network of adain_lit; export it again, without --parts")
        if path.parent == BUNDLED_FOLDER:
            _require_weights(path.with_suffix(".safetensors"), self.metadata["weights_sha256"])

    def __call__(
        self,
        content: str | Path | Image.Image,
        style: str | Path | Image.Image,
        *,
        alpha: float = 1.0,
        size: int | None = None,
        style_size: int | None = 512,
    ) -> Image.Image:
        """Stylise an image; arguments as for `adain_lit.Stylizer`, whose image it is up to rounding.

        Raises:
            InputError: if an image cannot be read, or is larger than `MAX_PIXELS`.
        """
        image = _resized(content, size)
        if image.width * image.height > MAX_PIXELS:
            raise InputError(
                f"an image is {image.width}x{image.height}, and the ONNX backend makes no tiles; give a smaller size, "
                "or leave the backend out"
            )
        inputs = {"content": self._array(image), "style": self._array(_resized(style, style_size))}
        (made,) = self.session.run(None, inputs | {"alpha": np.asarray(alpha, np.float32)})
        pixels = (made[0, :, : image.height, : image.width] * 255).round().astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))

    def _array(self, image: Image.Image) -> NDArray[np.float32]:
        """An image as (1, 3, H, W) in [0, 1], its edges repeated up to the smallest size of the network."""
        array = np.asarray(image, np.float32) / 255
        missing = [max(0, int(self.metadata["min_size"]) - side) for side in array.shape[:2]]
        if any(missing):
            array = np.pad(array, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
        return np.ascontiguousarray(array.transpose(2, 0, 1)[None])


class OnnxBatch:
    """Makes the outputs of one ``stylize --backend onnx``.

    Args:
        options: the parsed command line, see `adain_lit.stylize.parser`.
        outputs: what is to be made.

    Attributes:
        failures: what could not be made.

    Raises:
        InputError: for options that the backend does not have.
    """

    def __init__(self, options: argparse.Namespace, outputs: Sequence[Output]) -> None:
        _check(options, outputs)
        self.options = options
        self.failures = Failures()
        self.stylizer = OnnxStylizer(options.checkpoint)

    def make(self, outputs: Sequence[Output]) -> None:
        """Make the images."""
        for output in outputs:
            with self.failures.caught([output]):
                image, metadata = read_image_and_metadata(output.content, keep_alpha=self.options.keep_alpha)
                if self.options.crop:
                    image, metadata = central_square(image, metadata)
                sizes = {"size": self.options.size or None, "style_size": self.options.style_size or None}
                made = self.stylizer(image, output.styles[0], alpha=self.options.alpha, **sizes)
                write_image(made, output.path, metadata)


def _check(options: argparse.Namespace, outputs: Sequence[Output]) -> None:
    used: dict[str, Any] = {
        "--weights": options.weights,
        "--mask": options.mask,
        "--preserve-color": options.preserve_color,
        "--grid": options.grid,
        "--trade-off": options.trade_off,
        "--interpolate": options.interpolate,
        "--encoder": options.encoder,
        "--tile": options.tile,
        "--smooth": options.smooth,
        "--dtype": options.dtype != "float32",
        "--device": options.device not in (None, "cpu"),
        "a video": any(is_video(output.content) for output in outputs),
        "an animation": any(output.moving for output in outputs),
        "a mixture of styles": any(len(output.styles) > 1 for output in outputs),
    }
    if wrong := [name for name, value in used.items() if value]:
        raise InputError(f"--backend onnx cannot do {wrong[0]}; leave out the backend, or that")
    if not 0 <= options.alpha < float("inf"):
        raise InputError(f"alpha is {options.alpha}; it must be from 0 (content) to 1 (style), or slightly more")


def _resized(image: str | Path | Image.Image, size: int | None) -> Image.Image:
    """An image in RGB whose shorter side has `size` pixels, as `adain_lit.io.inputs.as_bytes` resizes it."""
    name = "the image" if isinstance(image, Image.Image) else f"the image {image}"
    return resize_shorter(upright_rgb(image) if isinstance(image, Image.Image) else read_image(image), size, name)


def _require_weights(path: Path, sha256: str) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise InputError(f"{path} is not what {path.stem}.onnx was made for; install adain_lit again")
