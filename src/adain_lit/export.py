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
from adain_lit.nets.style_transfer import Features
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
        styled = [self.net.fusion.fuse(x, y) for x, y in zip(features, self.net.encode(style), strict=True)]
        fused = tuple(torch.lerp(self.net.fusion.fuse(x, x), y, alpha) for x, y in zip(features, styled, strict=True))
        return torch.clamp(self.net.decode(fused, content.shape[2:]), 0, 1)


class EncoderPart(nn.Module):
    """image (1, 3, H, W) to features, and their mean and standard deviation, to be kept for a style."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Features, Features, Features]:
        """Encode."""
        features = self.net.encode(image)
        means, stds = zip(*(channel_stats(x) for x in features), strict=True)
        return features, means, stds


class AdaINPart(nn.Module):
    """content features, a style's means and standard deviations (1, C, 1, 1) and alpha (1,) to fused features."""

    def forward(self, features: Features, mean: Features, std: Features, alpha: Tensor) -> Features:
        """Fuse."""
        fused = []
        for x, style_mean, style_std in zip(features, mean, std, strict=True):
            own_mean, own_std = channel_stats(x)
            fused.append(torch.lerp(x, (x - own_mean) / own_std * style_std + style_mean, alpha))
        return tuple(fused)


class DecoderPart(nn.Module):
    """fused features (1, C, h, w) to a picture (1, 3, 8 h, 8 w), RGB in [0, 1]; cut it to the content's size."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, fused: Features) -> Tensor:
        """Decode."""
        image: Tensor = self.net.decoder(*fused)
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
    if not net.fusion.exportable and not arguments.parts and output.suffix != ".safetensors":
        raise InputError(
            f"fusion {net.fusion_name} cannot be exported as a graph; give a name that ends in .safetensors"
        )
    require_writable(output if arguments.parts else output.parent)
    whole = {"content": "image", "style": "turned image", "alpha": "scalar"}
    if arguments.parts:
        if net.fusion_name != "adain":
            raise InputError(f"parts are for fusion=adain; this network has {net.fusion_name}; leave out --parts")
        for name, (part, inputs, outputs) in _parts(net).items():
            _write_onnx(part, inputs, outputs, output / f"{name}.onnx", net)
    elif output.suffix == ".onnx":
        _write_onnx(WholeGraph(net), whole, ["stylized"], output, net)
    elif output.suffix == ".pt2":
        program = _program(WholeGraph(net), whole, net)

        def difference_of_program(temporary: Path) -> float:
            return compare(WholeGraph(net), torch.export.load(temporary).module(), whole, net)

        _write(output, lambda temporary: torch.export.save(program, temporary), difference_of_program)
    else:

        def difference_of_network(temporary: Path) -> float:
            return compare(WholeGraph(net), WholeGraph(load_network(temporary)), whole, net)

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
    """Each part, the kinds of its inputs, and the names of its outputs."""
    layers = net.fused_layers
    encoded = [f"{layer}{kind}" for kind in ("", "_mean", "_std") for layer in layers]
    statistics = {"features": "features", "mean": "statistics", "std": "statistics", "alpha": "scalar"}
    return {
        "encoder": (EncoderPart(net), {"image": "image"}, encoded),
        "adain": (AdaINPart(), statistics, [f"{layer}_fused" for layer in layers]),
        "decoder": (DecoderPart(net), {"fused": "features"}, ["stylized"]),
    }


def _example(inputs: dict[str, str], size: tuple[int, int], net: StyleTransferNet) -> dict[str, Tensor | Features]:
    """Arguments of a graph for pictures of a size."""
    generator = torch.Generator().manual_seed(size[0])
    height, width = size
    channels = [net.encoder.channels(layer) for layer in net.fused_layers]

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    kinds: dict[str, Callable[[], Tensor | Features]] = {
        "image": lambda: rand(1, 3, height, width),
        "turned image": lambda: rand(1, 3, width, height),  # contents and styles differ in size
        "features": lambda: tuple(
            rand(1, c, -(-height // s), -(-width // s)) for c, s in zip(channels, net.strides, strict=True)
        ),
        "statistics": lambda: tuple(rand(1, c, 1, 1) for c in channels),
        "scalar": lambda: rand(1),
    }
    return {name: kinds[kind]() for name, kind in inputs.items()}


def _flat(arguments: dict[str, Tensor | Features], net: StyleTransferNet) -> dict[str, Tensor]:
    """Arguments with one name for each tensor: the layer's, with that of the argument behind it."""
    flat: dict[str, Tensor] = {}
    for name, value in arguments.items():
        if isinstance(value, Tensor):
            flat[name] = value
        else:
            ending = "" if name == "features" else f"_{name}"
            flat |= {f"{layer}{ending}": x for layer, x in zip(net.fused_layers, value, strict=True)}
    return flat


def _dynamic(inputs: dict[str, str], net: StyleTransferNet) -> dict[str, Any]:
    """Heights and widths that may change; every input has its own."""

    def dims(name: str, least: int) -> dict[int, Any]:
        return {axis: torch.export.Dim(f"{name}_{side}", min=least) for axis, side in ((2, "height"), (3, "width"))}

    kinds: dict[str, Callable[[str], Any]] = {
        "image": lambda name: dims(name, 16),
        "turned image": lambda name: dims(name, 16),
        "features": lambda name: tuple(dims(f"{layer}_{name}", 2) for layer in net.fused_layers),
        "statistics": lambda name: tuple({} for _ in net.fused_layers),
        "scalar": lambda name: {},
    }
    return {name: kinds[kind](name) for name, kind in inputs.items()}


def _program(module: nn.Module, inputs: dict[str, str], net: StyleTransferNet) -> torch.export.ExportedProgram:
    example = _example(inputs, SIZES[0], net)
    with torch.no_grad():
        return torch.export.export(module.eval(), (), example, dynamic_shapes=_dynamic(inputs, net), strict=False)


def _write_onnx(
    module: nn.Module, inputs: dict[str, str], outputs: Sequence[str], path: Path, net: StyleTransferNet
) -> None:
    try:
        import onnxscript  # noqa: F401  # what torch's exporter is written with
    except ImportError as error:
        raise InputError("ONNX needs onnxscript and onnxruntime; install adain_lit[export]") from error
    names = list(_flat(_example(inputs, SIZES[0], net), net))
    program = torch.onnx.export(_program(module, inputs, net), input_names=names, output_names=outputs, verbose=False)
    assert program is not None
    _write(
        path,
        lambda temporary: program.save(temporary),
        lambda temporary: compare_onnx(module, temporary, inputs, net),
    )


def compare_onnx(module: nn.Module, path: Path, inputs: dict[str, str], net: StyleTransferNet) -> float:
    """Largest absolute difference between ONNX Runtime and torch over `SIZES`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(**arguments: Tensor | Features) -> tuple[Tensor, ...]:
        found = session.run(None, {name: np.asarray(x) for name, x in _flat(arguments, net).items()})
        return tuple(torch.from_numpy(x) for x in found)

    return compare(module, run, inputs, net)


@torch.inference_mode()
def compare(
    reference: Callable[..., Any], other: Callable[..., Any], inputs: dict[str, str], net: StyleTransferNet
) -> float:
    """Largest absolute difference of two ways to run a graph over `SIZES`."""
    worst = 0.0
    for size in SIZES:
        arguments = _example(inputs, size, net)
        for a, b in zip(_leaves(reference(**arguments)), _leaves(other(**arguments)), strict=True):
            worst = max(worst, float((a - b).abs().nan_to_num(nan=float("inf")).max()))
    return worst


def _leaves(value: Any) -> list[Tensor]:
    """The tensors in nested tuples."""
    return [value] if isinstance(value, Tensor) else [x for part in value for x in _leaves(part)]


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
