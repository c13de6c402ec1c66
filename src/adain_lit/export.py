"""``python -m adain_lit.export``: write a trained network as safetensors, ONNX or an exported torch program."""

import adain_lit.cli  # noqa: F401  # before torch

# isort: split
import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from adain_lit.cli import run
from adain_lit.data.demo import demo_style_images
from adain_lit.data.folders import find_images
from adain_lit.errors import InputError
from adain_lit.inference.graphs import SIZES, Graph, WholeGraph, part_graphs, whole_graph
from adain_lit.inference.quantization import feeds_of, quantize_decoder
from adain_lit.io.files import require_writable, write_atomically
from adain_lit.io.images import read_image
from adain_lit.nets import StyleTransferNet, VGGEncoder
from adain_lit.user_code import is_dotted
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.networks import load_network, read_card, save_encoder, save_network

T = TypeVar("T")
SUFFIXES = (".safetensors", ".onnx", ".pt2")
TOLERANCE, HALF_TOLERANCE = 2e-3, 3e-2
"""Largest difference to torch that counts as rounding, for pixels in [0, 1] (half a step of 8 bits); and for weights in
float16, on noise. For an encoder alone, relative to the largest feature."""
MOST_IMAGES, INT8_SIZE = 14, (256, 192)
"""Number of images that an int8 program is calibrated and judged on, and their width and height."""


def main() -> int:
    """Command line entry point; the exit status."""
    return run(parser(), export)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.export",
        description="Write a trained network as a .safetensors file, as ONNX, or as an exported torch program.",
    )
    add = command.add_argument
    add("network", help="compact, the folder of a run, .ckpt, .safetensors or decoder.pth")
    add("output", type=Path, help="FILE.safetensors, FILE.onnx or FILE.pt2; with --parts, a folder")
    add("--encoder", metavar="FILE", help="encoder weights, if the network's file has none")
    what = command.add_mutually_exclusive_group().add_argument
    what(
        "--parts",
        action="store_true",
        help="ONNX in three files, encoder, adain and decoder, to store the statistics of styles",
    )
    what("--encoder-only", action="store_true", help="only the encoder, as a .safetensors file for model.encoder")
    add("--int8", action="store_true", help="ONNX with the decoder in 8-bit integers: smaller, not the same image")
    add(
        "--calibrate", type=Path, metavar="FOLDER", help="images for --int8 to calibrate on; default: the demo's styles"
    )
    add("--full-precision", action="store_true", help="safetensors in float32 instead of float16")
    add("--card", nargs="+", default=[], metavar="KEY=VALUE", help="metadata to store in a .safetensors or ONNX file")
    return command


def export(arguments: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    output: Path = arguments.output
    suffixes = SUFFIXES[:1] if arguments.encoder_only else SUFFIXES
    if not arguments.parts and output.suffix not in suffixes:
        raise InputError(f"cannot write {output}; its suffix must be one of {', '.join(suffixes)}")
    if arguments.int8 and (arguments.parts or output.suffix != ".onnx"):
        raise InputError("--int8 is for one graph; give an output in .onnx, without --parts")
    if arguments.calibrate and not arguments.int8:
        raise InputError("--calibrate is for --int8; add it, or leave both out")
    card = _card(arguments.card)
    half = not arguments.full_precision
    if arguments.encoder_only:
        files = [_encoder(load_encoder(arguments.network, last=None), output, card, half)]
    else:
        net = load_network(arguments.network, encoder=arguments.encoder)
        if arguments.int8:
            files = [_int8(net, output, read_card(arguments.network) | card, arguments.calibrate)]
        elif arguments.parts or output.suffix != ".safetensors":
            files = _graphs(net, output, read_card(arguments.network) | card, parts=arguments.parts)
        else:
            files = [_network(net, output, card, half)]
    require_writable(files[0].path.parent)
    _write(files)


@dataclass(frozen=True)
class _File:
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


def _card(texts: Sequence[str]) -> dict[str, str]:
    card = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError(f"--card got {text!r}; give KEY=VALUE")
        card[key] = value
    return card


def _encoder(encoder: VGGEncoder, path: Path, card: dict[str, str], half: bool) -> _File:
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
    return _File(path, lambda file: save_encoder(encoder, file, card=card, half=half), difference, tolerance)


def _network(net: StyleTransferNet, path: Path, card: dict[str, str], half: bool) -> _File:
    return _File(
        path,
        lambda file: save_network(net, file, card=card, half=half),
        lambda file: whole_graph(net).difference(WholeGraph(load_network(file))),
        HALF_TOLERANCE if half else TOLERANCE,
    )


def _graphs(net: StyleTransferNet, output: Path, card: Mapping[str, str], *, parts: bool) -> list[_File]:
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
        _File(
            output,
            lambda file: torch.export.save(_exported(graph, graph.program), file),
            lambda file: graph.difference(torch.export.load(file).module()),
        )
    ]


def _onnx(graph: Graph, path: Path, card: Mapping[str, str]) -> _File:
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it
    except ImportError as error:
        raise InputError("ONNX needs onnxscript and onnxruntime; install adain_lit[export]") from error
    return _File(path, lambda file: _exported(graph, lambda: graph.onnx(card)).save(file), graph.difference_of_onnx)


def _int8(net: StyleTransferNet, path: Path, card: Mapping[str, str], folder: Path | None) -> _File:
    """The whole graph with a decoder in 8-bit integers, compared with the graph in float32."""
    found = demo_style_images(held_out=False) if folder is None else find_images(folder)
    images = [read_image(image) for image in found[:: -(-len(found) // MOST_IMAGES)]]
    judged, calibration = images[:2], images[2:] or images  # judged on others, where there are any
    (whole,) = _graphs(net, path, {**card, "precision": "decoder in int8"}, parts=False)

    def in_float32(file: Path) -> Path:
        return file.with_name(f"float32-{file.name}")  # in the temporary folder too

    def save(file: Path) -> None:
        whole.save(in_float32(file))
        quantize_decoder(in_float32(file), file, [*feeds_of(calibration, INT8_SIZE)], last=net.decoder.names[-1])

    def describe(file: Path) -> str:
        import onnxruntime

        from adain_lit.evaluation.metrics import similarity  # of the extra train

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

    return _File(path, save, lambda file: whole.difference(in_float32(file)), describe=describe)


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


def _write(files: Sequence[_File]) -> None:
    """Write all files of a folder or none, and print how much each differs from the network.

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
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
