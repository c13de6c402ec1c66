"""ONNX programs with a decoder in 8-bit integers, calibrated on images."""

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Feed = Mapping[str, NDArray[np.float32]]
"""Inputs of a whole graph."""
PERCENTILE = 99.99
"""Share of the activations, in per cent, that the 8 bits span. The few above it are sparse channels of up to 30
standard deviations; where those decide the range, SSIM to float32 is 0.5 to 0.9 in place of 0.97."""


def quantize_decoder(source: Path, target: Path, feeds: Sequence[Feed], *, last: str) -> None:
    """Write an ONNX program with the convolutions of its decoder in 8-bit integers (static, one scale per channel).

    The encoder stays in float32, because AdaIN divides by the small standard deviations of some channels; so does the
    convolution that gives RGB.

    Args:
        source: a whole graph in float32.
        target: the file to write.
        feeds: inputs to calibrate on.
        last: name of the decoder's convolution that gives RGB.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self.feeds, None)

    weights = {node.name: node.input[1] for node in onnx.load(str(source)).graph.node if node.op_type == "Conv"}
    kept = [name for name, weight in weights.items() if ".decoder." not in weight or f".{last}." in weight]
    logging.getLogger().addFilter(_no_advice)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how far it is
            quantize_static(
                str(source),
                str(target),
                Reader(),
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=kept,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.Percentile,
                extra_options={"CalibPercentile": PERCENTILE},
            )
    finally:
        logging.getLogger().removeFilter(_no_advice)


def feeds_of(images: Sequence[Image.Image], size: tuple[int, int]) -> Iterator[Feed]:
    """Each image, resized to (width, height), as content with the next as style.

    Example:
        >>> images = [Image.new("RGB", (8, 8), color) for color in ("teal", "orange")]
        >>> [feed["content"].shape for feed in feeds_of(images, (32, 24))]
        [(1, 3, 24, 32), (1, 3, 24, 32)]
    """
    resized = [np.asarray(image.resize(size), np.float32) for image in images]
    arrays = [(array.transpose(2, 0, 1)[None] / 255).astype(np.float32) for array in resized]
    for content, style in zip(arrays, arrays[1:] + arrays[:1], strict=True):
        yield {"content": content, "style": style, "alpha": np.array(1, np.float32)}


def _no_advice(record: logging.LogRecord) -> bool:
    """ONNX Runtime advises a pass that its own optimiser makes too."""
    return "pre-process" not in record.getMessage()
