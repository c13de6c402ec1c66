"""Networks as graphs for export, with inputs of any size, and the comparison of an exported graph with its network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import adain_lit
from adain_lit.functional.adain import channel_stats
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Features

SIZES = ((64, 96), (120, 88), (97, 131))
"""Heights and widths at which exported graphs are compared with torch; the exporter traces the first."""

Arguments = dict[str, Tensor | Features]


class WholeGraph(nn.Module):
    """The whole network: encode, AdaIN (or another fusion) and decode.

    Shape:
        - content (1, 3, H, W), style (1, 3, h, w), alpha (); RGB in [0, 1]
        - output: (1, 3, H, W), RGB in [0, 1]
    """

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, content: Tensor, style: Tensor, alpha: Tensor) -> Tensor:
        """Stylise."""
        features = self.net.encode(content)
        styled = [self.net.fusion.fuse(x, y) for x, y in zip(features, self.net.encode(style), strict=True)]
        # Eq. 14 at each layer; the content is fused with itself because concatenation changes its shape
        fused = tuple(torch.lerp(self.net.fusion.fuse(x, x), y, alpha) for x, y in zip(features, styled, strict=True))
        return torch.clamp(self.net.decode(fused, content.shape[2:]), 0, 1)


class EncoderPart(nn.Module):
    """Image (1, 3, H, W) to features, and their mean and standard deviation, which are all that a style needs.

    Example:
        >>> import adain_lit
        >>> features, means, stds = EncoderPart(adain_lit.load("compact", device="cpu").net)(torch.rand(1, 3, 32, 48))
        >>> features[0].shape, means[0].shape
        (torch.Size([1, 128, 4, 6]), torch.Size([1, 128, 1, 1]))
    """

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Features, Features, Features]:
        """Encode."""
        features = self.net.encode(image)
        means, stds = zip(*(channel_stats(x) for x in features), strict=True)
        return features, means, stds


class AdaINPart(nn.Module):
    """Content features, a style's means and standard deviations (1, C, 1, 1) and alpha () to fused features.

    Example:
        >>> features, mean, std = (torch.rand(1, 8, 4, 6),), (torch.rand(1, 8, 1, 1),), (torch.rand(1, 8, 1, 1),)
        >>> [fused] = AdaINPart()(features, mean, std, alpha=torch.tensor(1.0))
        >>> torch.testing.assert_close(channel_stats(fused)[0], mean[0])
    """

    def forward(self, features: Features, mean: Features, std: Features, alpha: Tensor) -> Features:
        """Fuse."""
        fused = []
        for x, style_mean, style_std in zip(features, mean, std, strict=True):
            own_mean, own_std = channel_stats(x)
            fused.append(torch.lerp(x, (x - own_mean) / own_std * style_std + style_mean, alpha))
        return tuple(fused)


class DecoderPart(nn.Module):
    """Fused features (1, C, h, w) to an image (1, 3, 8 h, 8 w), RGB in [0, 1], to be cropped to the content's size."""

    def __init__(self, net: StyleTransferNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, fused: Features) -> Tensor:
        """Decode."""
        image: Tensor = self.net.decoder(*fused)
        return image.clamp(0, 1)


@dataclass(frozen=True)
class Graph:
    """A module to export, with its inputs and outputs.

    Attributes:
        module: the module.
        inputs: the kind of each input: ``image``, ``transposed image``, ``features``, ``statistics`` or ``scalar``.
        outputs: names of the outputs.
        net: the network that it is part of.
    """

    module: nn.Module
    inputs: Mapping[str, str]
    outputs: Sequence[str]
    net: StyleTransferNet

    def program(self) -> torch.export.ExportedProgram:
        """The exported torch program, whose images may have any size."""
        with torch.no_grad():
            return torch.export.export(
                self.module.eval(), (), self.example(SIZES[0]), dynamic_shapes=self._dynamic(_dim), strict=False
            )

    def onnx(self, metadata: Mapping[str, str] | None = None) -> torch.onnx.ONNXProgram:
        """The program in ONNX.

        Args:
            metadata: texts to store in the model. Its opset, the version of this package and the smallest size of
                an image are added.
        """
        program = torch.onnx.export(
            self.program(),
            input_names=list(self._flat(self.example(SIZES[0]))),
            output_names=self.outputs,
            dynamic_shapes=self._dynamic(lambda name, least: name),
            verbose=False,
        )
        assert program is not None
        model = program.model
        for node in model.graph.all_nodes():
            node.metadata_props.clear()  # the exporter's stack traces: paths on this machine
        model.producer_name, model.producer_version = "adain_lit", adain_lit.__version__
        model.doc_string = (
            "AdaIN style transfer (Huang & Belongie 2017). Images are RGB in [0, 1], (1, 3, height, width)."
        )
        form = {"opset": str(model.opset_imports[""]), "adain_lit": adain_lit.__version__}
        model.metadata_props.update({**(metadata or {}), **form, "min_size": str(self.net.encoder.min_size)})
        return program

    def difference_of_onnx(self, path: Path) -> float:
        """`difference` of an ONNX file in ONNX Runtime."""
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def run(**arguments: Tensor | Features) -> tuple[Tensor, ...]:
            found = session.run(None, {name: np.asarray(x) for name, x in self._flat(arguments).items()})
            return tuple(torch.from_numpy(x) for x in found)

        return self.difference(run)

    @torch.inference_mode()
    def difference(self, other: Callable[..., Any]) -> float:
        """Largest absolute difference between the outputs of the module and of `other`, over `SIZES`."""
        worst = 0.0
        for size in SIZES:
            arguments = self.example(size)
            for a, b in zip(_leaves(self.module(**arguments)), _leaves(other(**arguments)), strict=True):
                worst = max(worst, float((a - b).abs().nan_to_num(nan=float("inf")).max()))
        return worst

    def example(self, size: tuple[int, int]) -> Arguments:
        """Random arguments for images of a height and width."""
        generator = torch.Generator().manual_seed(size[0])
        height, width = size
        channels = [self.net.encoder.channels(layer) for layer in self.net.fused_layers]

        def rand(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        kinds: dict[str, Callable[[], Tensor | Features]] = {
            "image": lambda: rand(1, 3, height, width),
            "transposed image": lambda: rand(1, 3, width, height),  # so that content and style differ in size
            "features": lambda: tuple(
                rand(1, c, -(-height // s), -(-width // s)) for c, s in zip(channels, self.net.strides, strict=True)
            ),
            "statistics": lambda: tuple(rand(1, c, 1, 1) for c in channels),
            "scalar": lambda: rand(),
        }
        return {name: kinds[kind]() for name, kind in self.inputs.items()}

    def _flat(self, arguments: Arguments) -> dict[str, Tensor]:
        """Arguments with a name for each tensor: its layer and, except for features, the argument."""
        flat: dict[str, Tensor] = {}
        for name, value in arguments.items():
            if isinstance(value, Tensor):
                flat[name] = value
            else:
                ending = "" if name == "features" else f"_{name}"
                flat |= {f"{layer}{ending}": x for layer, x in zip(self.net.fused_layers, value, strict=True)}
        return flat

    def _dynamic(self, dim: Callable[[str, int], Any]) -> dict[str, Any]:
        """Dynamic heights and widths of each input, made by `dim` from a name and the smallest size.

        The first image has ``height`` and ``width``, any other input its name before them.
        """

        def dims(prefix: str, least: int) -> dict[int, Any]:
            return {axis: dim(f"{prefix}{side}", least) for axis, side in ((2, "height"), (3, "width"))}

        def shape(name: str, kind: str) -> Any:
            if kind in ("image", "transposed image"):
                return dims("" if kind == "image" else f"{name}_", 16)
            if kind == "features":
                return tuple(dims(f"{layer}_", 2) for layer in self.net.fused_layers)
            return tuple({} for _ in self.net.fused_layers) if kind == "statistics" else {}

        return {name: shape(name, kind) for name, kind in self.inputs.items()}


def _dim(name: str, least: int) -> torch.export.Dim:
    return torch.export.Dim(name, min=least)


def whole_graph(net: StyleTransferNet) -> Graph:
    """The network as one graph.

    Args:
        net: the network; its fusion must be `exportable`.

    Example:
        >>> import adain_lit
        >>> graph = whole_graph(adain_lit.load("compact", device="cpu").net)
        >>> {name: tuple(x.shape) for name, x in graph.example((64, 96)).items()}
        {'content': (1, 3, 64, 96), 'style': (1, 3, 96, 64), 'alpha': ()}
    """
    inputs = {"content": "image", "style": "transposed image", "alpha": "scalar"}
    return Graph(WholeGraph(net), inputs, ["stylized"], net)


def part_graphs(net: StyleTransferNet) -> dict[str, Graph]:
    """The network in three graphs, encoder, AdaIN and decoder, so that the statistics of styles can be stored.

    Args:
        net: the network; its fusion must be AdaIN.

    Example:
        >>> import adain_lit
        >>> list(part_graphs(adain_lit.load("compact", device="cpu").net))
        ['encoder', 'adain', 'decoder']
    """
    layers = net.fused_layers
    encoded = [f"{layer}{kind}" for kind in ("", "_mean", "_std") for layer in layers]
    statistics = {"features": "features", "mean": "statistics", "std": "statistics", "alpha": "scalar"}
    return {
        "encoder": Graph(EncoderPart(net), {"image": "image"}, encoded, net),
        "adain": Graph(AdaINPart(), statistics, [f"{layer}_fused" for layer in layers], net),
        "decoder": Graph(DecoderPart(net), {"fused": "features"}, ["stylized"], net),
    }


def _leaves(value: Any) -> list[Tensor]:
    """The tensors in nested tuples."""
    return [value] if isinstance(value, Tensor) else [x for part in value for x in _leaves(part)]
