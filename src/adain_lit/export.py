"""``python -m adain_lit.export``: a trained network as safetensors, ONNX or an exported torch program."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adain_lit.errors import InputError
from adain_lit.functional import channel_stats
from adain_lit.images import write_atomically
from adain_lit.nets import StyleTransferNet
from adain_lit.network_files import load_network, save_network
from adain_lit.plan import require_writable

SUFFIXES = (".safetensors", ".onnx", ".pt2")
SIZES = ((64, 96), (120, 88), (97, 131))
"""Heights and widths at which what was exported is compared with torch."""
TOLERANCE, HALF_TOLERANCE = 2e-3, 3e-2
"""Largest difference to torch of a pixel in [0, 1], half a step of 8 bits; and for weights in float16, on noise."""


class WholeGraph(nn.Module):
    """content (1, 3, H, W), style (1, 3, h, w) and alpha (1,) to the stylised picture (1, 3, H, W), RGB in [0, 1]."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, content: Tensor, style: Tensor, alpha: Tensor) -> Tensor:
        """Stylise."""
        features = self.net.encode(content)
        fused = self.net.fusion.fuse(features, self.net.encode(style))
        fused = torch.lerp(self.net.fusion.fuse(features, features), fused, alpha)
        image = self.net.decoder(fused)
        # not by a slice: the exporter cannot know that the decoder's picture is at least as large as the content
        for axis in (2, 3):
            image = image.index_select(axis, torch.arange(content.shape[axis], device=image.device))
        return torch.clamp(image, 0, 1)


class EncoderPart(nn.Module):
    """image (1, 3, H, W) to features, and their mean and standard deviation, to be kept for a style."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode."""
        features = self.net.encode(image)
        mean, std = channel_stats(features)
        return features, mean, std


class AdaINPart(nn.Module):
    """content features, a style's mean and standard deviation (1, C, 1, 1) and alpha (1,) to fused features."""

    def forward(self, features: Tensor, mean: Tensor, std: Tensor, alpha: Tensor) -> Tensor:
        """Fuse."""
        own_mean, own_std = channel_stats(features)
        return torch.lerp(features, (features - own_mean) / own_std * std + mean, alpha)


class DecoderPart(nn.Module):
    """fused features (1, C, h, w) to a picture (1, 3, 8 h, 8 w), RGB in [0, 1]; cut it to the content's size."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, fused: Tensor) -> Tensor:
        """Decode."""
        image: Tensor = self.net.decoder(fused)
        return image.clamp(0, 1)


def main() -> None:
    """Command line entry point."""
    arguments = parser().parse_args()
    try:
        export(arguments)
    except (InputError, OSError) as error:
        sys.stderr.write(f"adain_lit.export: error: {' '.join(str(error).split())}\n")
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="adain_lit.export",
        description="Write a trained network as one .safetensors file, as ONNX, or as an exported torch program.",
    )
    add = command.add_argument
    add("network", help="compact, .ckpt, .safetensors or decoder.pth")
    add("output", type=Path, help="FILE.safetensors, FILE.onnx, FILE.pt2, or with --parts a folder")
    add("--encoder", metavar="FILE", help="encoder weights, where the network's file has none")
    add("--parts", action="store_true", help="ONNX as encoder.onnx, adain.onnx and decoder.onnx, for styles kept ready")
    add("--full-precision", action="store_true", help="safetensors in float32 instead of float16")
    add("--card", nargs="+", default=[], metavar="KEY=VALUE", help="what readers of the .safetensors file should know")
    return command


def export(arguments: argparse.Namespace) -> None:
    """Do what the command line says."""
    output: Path = arguments.output
    if not arguments.parts and output.suffix not in SUFFIXES:
        raise InputError(f"cannot write {output}; give a name that ends in {', '.join(SUFFIXES)}")
    card = _card(arguments.card)
    net = load_network(arguments.network, encoder=arguments.encoder)
    channels = net.encoder.channels(net.content_layer)
    require_writable(output if arguments.parts else output.parent)
    whole = {"content": "image", "style": "turned image", "alpha": "scalar"}
    if arguments.parts:
        if net.fusion_name != "adain":
            raise InputError(f"parts are for fusion=adain; this network has {net.fusion_name}; leave out --parts")
        for name, (part, inputs, outputs) in _parts(net).items():
            _write_onnx(part, inputs, outputs, output / f"{name}.onnx", channels)
    elif output.suffix == ".onnx":
        _write_onnx(WholeGraph(net), whole, ["stylized"], output, channels)
    elif output.suffix == ".pt2":
        program = _program(WholeGraph(net), whole, channels)

        def difference_of_program(temporary: Path) -> float:
            return compare(WholeGraph(net), torch.export.load(temporary).module(), whole, channels)

        _write(output, lambda temporary: torch.export.save(program, temporary), difference_of_program)
    else:

        def difference_of_network(temporary: Path) -> float:
            return compare(WholeGraph(net), WholeGraph(load_network(temporary)), whole, channels)

        _write(
            output,
            lambda temporary: save_network(net, temporary, card=card, half=not arguments.full_precision),
            difference_of_network,
            TOLERANCE if arguments.full_precision else HALF_TOLERANCE,
        )


def _card(texts: Sequence[str]) -> dict[str, str]:
    card = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError(f"--card got {text!r}; give KEY=VALUE")
        card[key] = value
    return card


def _parts(net: StyleTransferNet) -> dict[str, tuple[nn.Module, dict[str, str], list[str]]]:
    return {
        "encoder": (EncoderPart(net), {"image": "image"}, ["features", "mean", "std"]),
        "adain": (
            AdaINPart(),
            {"features": "features", "mean": "statistic", "std": "statistic", "alpha": "scalar"},
            ["fused"],
        ),
        "decoder": (DecoderPart(net), {"fused": "features"}, ["stylized"]),
    }


def _example(inputs: dict[str, str], size: tuple[int, int], channels: int) -> dict[str, Tensor]:
    """Arguments of a graph for pictures of a size."""
    generator = torch.Generator().manual_seed(size[0])
    height, width = size
    shapes = {
        "image": (1, 3, height, width),
        "turned image": (1, 3, width, height),  # contents and styles differ in size
        "features": (1, channels, -(-height // 8), -(-width // 8)),
        "statistic": (1, channels, 1, 1),
        "scalar": (1,),
    }
    return {name: torch.rand(shapes[kind], generator=generator) for name, kind in inputs.items()}


def _dynamic(inputs: dict[str, str]) -> dict[str, dict[int, Any]]:
    """Heights and widths that may change; every input has its own."""
    dims = {"image": 16, "turned image": 16, "features": 2}
    return {
        name: {axis: torch.export.Dim(f"{name}_{side}", min=dims[kind]) for axis, side in ((2, "height"), (3, "width"))}
        if kind in dims
        else {}
        for name, kind in inputs.items()
    }


def _program(module: nn.Module, inputs: dict[str, str], channels: int) -> torch.export.ExportedProgram:
    example = _example(inputs, SIZES[0], channels)
    with torch.no_grad():
        return torch.export.export(module.eval(), (), example, dynamic_shapes=_dynamic(inputs), strict=False)


def _write_onnx(module: nn.Module, inputs: dict[str, str], outputs: Sequence[str], path: Path, channels: int) -> None:
    try:
        import onnxscript  # noqa: F401  # what torch's exporter is written with
    except ImportError as error:
        raise InputError("ONNX needs onnxscript and onnxruntime; install adain_lit[export]") from error
    program = torch.onnx.export(
        _program(module, inputs, channels), input_names=list(inputs), output_names=list(outputs), verbose=False
    )
    assert program is not None
    _write(
        path,
        lambda temporary: program.save(temporary),
        lambda temporary: compare_onnx(module, temporary, inputs, channels),
    )


def compare_onnx(module: nn.Module, path: Path, inputs: dict[str, str], channels: int) -> float:
    """Largest absolute difference between ONNX Runtime and torch over `SIZES`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(**arguments: Tensor) -> tuple[Tensor, ...]:
        found = session.run(None, {name: np.asarray(x) for name, x in arguments.items()})
        return tuple(torch.from_numpy(x) for x in found)

    return compare(module, run, inputs, channels)


@torch.inference_mode()
def compare(reference: Callable[..., Any], other: Callable[..., Any], inputs: dict[str, str], channels: int) -> float:
    """Largest absolute difference of two ways to run a graph over `SIZES`."""
    worst = 0.0
    for size in SIZES:
        arguments = _example(inputs, size, channels)
        for a, b in zip(_tuple(reference(**arguments)), _tuple(other(**arguments)), strict=True):
            worst = max(worst, float((a - b).abs().nan_to_num(nan=float("inf")).max()))
    return worst


def _tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def _write(
    path: Path, save: Callable[[Path], object], difference_of: Callable[[Path], float], tolerance: float = TOLERANCE
) -> None:
    """Write a file, and say how far it is from the network.

    Raises:
        InputError: if that is more than rounding; what was at `path` before is still there.
    """
    difference = float("inf")

    def write(temporary: Path) -> None:
        nonlocal difference
        save(temporary)
        difference = difference_of(temporary)
        if not difference <= tolerance:
            raise InputError(
                f"{path.name} would differ from the network by {difference:.1e}, more than {tolerance}; not kept"
            )

    write_atomically(path, write)
    sizes = ", ".join(f"{width}x{height}" for height, width in SIZES)
    megabytes = path.stat().st_size / 1e6
    sys.stdout.write(f"{path}: {megabytes:.2f} MB, largest difference to torch {difference:.1e} (at {sizes})\n")


if __name__ == "__main__":
    main()
