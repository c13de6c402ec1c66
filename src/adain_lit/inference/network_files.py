"""A network as files of its own, safetensors, ONNX or an exported program, each compared with it before it is kept."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from adain_lit.data.demo import demo_style_images
from adain_lit.data.folders import find_images
from adain_lit.errors import InputError
from adain_lit.inference.graphs import SIZES, Graph, WholeGraph, part_graphs, whole_graph
from adain_lit.inference.quantization import feeds_of, quantize_decoder
from adain_lit.io.files import write_atomically
from adain_lit.io.images import read_image
from adain_lit.nets import StyleTransferNet
from adain_lit.user_code import is_dotted
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.networks import load_network, save_encoder, save_network

T = TypeVar("T")
Similarity = Callable[[Tensor, Tensor], Tensor]
TOLERANCE, HALF_TOLERANCE = 2e-3, 3e-2
"""Largest difference to torch that counts as rounding, for pixels in [0, 1] (half a step of 8 bits); and for weights in
float16, on noise. For an encoder alone, relative to the largest feature."""
MOST_IMAGES, INT8_SIZE = 14, (256, 192)
"""Number of images that an int8 program is calibrated and judged on, and their width and height."""


@dataclass(frozen=True)
class NetworkFile:
    """A file to write.

    Attributes:
        path: the file.
        save: writes it to a path.
        difference: largest difference between the file at a path and the network.
        tolerance: largest difference that is accepted.
        describe: what to print of a file that is meant to differ from what `difference` compares.
    """

    path: Path
    save: Callable[[Path], object]
    difference: Callable[[Path], float]
    tolerance: float = TOLERANCE
    describe: Callable[[Path], str] | None = None


def encoder_file(source: str, path: Path, card: dict[str, str], *, half: bool) -> NetworkFile:
    """The encoder of a network as safetensors.

    Args:
        source: the network's file or name.
        path: the file to write.
        card: metadata to store.
        half: store float16 in place of float32.
    """
    encoder = load_encoder(source, last=None)

    @torch.inference_mode()
    def difference(written: Path) -> float:
        other = load_encoder(written, last=encoder.last)
        worst = 0.0
        for size in SIZES:
            image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(size[0]))
            expected, features = (net(image)[encoder.last] for net in (encoder, other))
            relative = (features - expected).abs().max() / expected.max()
            worst = max(worst, float(relative.nan_to_num(nan=float("inf"))))  # max() would ignore NaN
        return worst

    tolerance = HALF_TOLERANCE if half else TOLERANCE
    return NetworkFile(path, lambda file: save_encoder(encoder, file, card=card, half=half), difference, tolerance)


def network_file(net: StyleTransferNet, path: Path, card: dict[str, str], *, half: bool) -> NetworkFile:
    """A network as safetensors; arguments as for `encoder_file`."""
    return NetworkFile(
        path,
        lambda file: save_network(net, file, card=card, half=half),
        lambda file: whole_graph(net).difference(WholeGraph(load_network(file))),
        HALF_TOLERANCE if half else TOLERANCE,
    )


def graph_files(net: StyleTransferNet, output: Path, card: Mapping[str, str], *, parts: bool) -> list[NetworkFile]:
    """A network as a graph, ONNX or an exported program by the suffix, or as its three parts in ONNX.

    Args:
        net: the network.
        output: the file to write; with `parts`, the folder.
        card: metadata to store.
        parts: encoder, AdaIN and decoder in files of their own.

    Raises:
        InputError: if its fusion has no such graph, or parts.
    """
    if parts and net.config.fusion != "adain":
        raise InputError(f"parts are for fusion=adain; this network has {net.config.fusion}; leave out --parts")
    if not net.fusion.exportable:
        raise InputError(f"fusion {net.config.fusion} cannot be exported as a graph; give an output in .safetensors")
    if parts:
        return [_onnx(graph, output / f"{name}.onnx", card) for name, graph in part_graphs(net).items()]
    if output.suffix == ".onnx":
        return [_onnx(whole_graph(net), output, card)]
    graph = whole_graph(net)
    return [
        NetworkFile(
            output,
            lambda file: torch.export.save(_exported(graph, graph.program), file),
            lambda file: graph.difference(torch.export.load(file).module()),
        )
    ]


def _onnx(graph: Graph, path: Path, card: Mapping[str, str]) -> NetworkFile:
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise InputError("ONNX needs onnxscript and onnxruntime; install adain_lit[export]") from error
    return NetworkFile(
        path, lambda file: _exported(graph, lambda: graph.onnx(card)).save(file), graph.difference_of_onnx
    )


def int8_file(
    net: StyleTransferNet, path: Path, card: Mapping[str, str], folder: Path | None, similarity: Similarity
) -> NetworkFile:
    """The whole graph with a decoder in 8-bit integers, compared with the graph in float32.

    Args:
        net: the network.
        path: the .onnx file to write.
        card: metadata to store.
        folder: images to calibrate on; None takes the demo's styles.
        similarity: of two batches of images (N, 3, H, W), shape (N,); what is printed of the file.
    """
    found = demo_style_images(held_out=False) if folder is None else find_images(folder)
    images = [read_image(image) for image in found[:: -(-len(found) // MOST_IMAGES)]]
    judged, calibration = images[:2], images[2:] or images  # judged on others, where there are any
    (whole,) = graph_files(net, path, {**card, "precision": "decoder in int8"}, parts=False)

    def in_float32(file: Path) -> Path:
        return file.with_name(f"float32-{file.name}")  # in the temporary folder too

    def save(file: Path) -> None:
        whole.save(in_float32(file))
        quantize_decoder(in_float32(file), file, [*feeds_of(calibration, INT8_SIZE)], last=net.decoder.names[-1])

    def describe(file: Path) -> str:
        import onnxruntime

        made, seconds = [], []
        for source in (in_float32(file), file):
            session = onnxruntime.InferenceSession(str(source), providers=["CPUExecutionProvider"])
            feeds = [*feeds_of(judged, INT8_SIZE)]
            session.run(None, feeds[0])  # the first run allocates
            start = time.perf_counter()
            made.append(torch.from_numpy(np.concatenate([session.run(None, feed)[0] for feed in feeds])))
            seconds.append((time.perf_counter() - start) / len(feeds))
        return (
            f"SSIM to float32 {float(similarity(made[1], made[0]).mean()):.3f}, {seconds[1]:.2f} s in place of "
            f"{seconds[0]:.2f} s an image (of {INT8_SIZE[0]}x{INT8_SIZE[1]})"
        )

    return NetworkFile(path, save, lambda file: whole.difference(in_float32(file)), describe=describe)


def _exported(graph: Graph, make: Callable[[], T]) -> T:
    """The result of `make`, unless the exporter cannot follow a fusion of the user's."""
    try:
        return make()
    except Exception as error:  # what torch raises depends on the code
        fusion = graph.net.config.fusion
        if not is_dotted(fusion):
            raise
        reason = next(filter(None, str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"fusion {fusion} cannot be exported as a graph: {reason[:200]}; give an output in .safetensors"
        ) from error


def write_all(files: Sequence[NetworkFile]) -> list[str]:
    """Write all files of a folder or none.

    Returns:
        One line for each, with its size and how much it differs from the network.

    Raises:
        InputError: if that is more than rounding; existing files are then unchanged.
    """
    folder = files[0].path.parent
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    lines = []
    with tempfile.TemporaryDirectory(dir=existing, prefix=".adain_export.") as name:
        written = {file: Path(name) / file.path.name for file in files}
        for file, temporary in written.items():
            file.save(temporary)
            difference = file.difference(temporary)
            if not difference <= file.tolerance:
                raise InputError(
                    f"{file.path.name} would differ from the network by {difference:.1e}, more than {file.tolerance}; "
                    "it was not written"
                )
            sizes = ", ".join(f"{width}x{height}" for height, width in SIZES)
            megabytes = temporary.stat().st_size / 1e6
            line = f"{file.path}: {megabytes:.2f} MB, largest difference to torch {difference:.1e} (at {sizes})"
            lines.append(line if file.describe is None else f"{line} in float32; {file.describe(temporary)}")
        for file, temporary in written.items():
            write_atomically(file.path, temporary.replace)
    return lines
