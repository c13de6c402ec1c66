"""VGG-19: the encoder f of the paper, and the names of its layers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.functional.adain import is_exporting
from adain_lit.nets.reflect_conv import ReflectConv2d, reflect_pad
from adain_lit.nets.rewrites import activated, rewritten

CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
"""VGG-19 (Simonyan & Zisserman 2015, Table 1, column E)."""

WIDTHS: dict[str, tuple[int, ...]] = {
    "vgg19": (64, 128, 256, 512, 512),
    "compact": (16, 32, 64, 128, 128),
}
"""Channels of each block: VGG-19, and a quarter of them (1/16 of the parameters)."""


def conv_names(last: str) -> list[str]:
    """Names of the convolutions up to layer `last`, ``relu{block}_{index}``.

    Raises:
        InputError: for a layer that VGG-19 does not have.

    Example:
        >>> conv_names("relu2_1")
        ['conv1_1', 'conv1_2', 'conv2_1']
    """
    names = [f"conv{block}_{i}" for block, count in enumerate(CONVS_PER_BLOCK, 1) for i in range(1, count + 1)]
    name = last.replace("relu", "conv")
    if not last.startswith("relu") or name not in names:
        known = ", ".join(n.replace("conv", "relu") for n in names)
        raise InputError(f"unknown layer {last!r}; the layers of VGG-19 are {known}")
    return names[: names.index(name) + 1]


def block_of(name: str) -> int:
    """Block of a layer, 1 to 5.

    Example:
        >>> block_of("relu4_1")
        4
    """
    return int(name.removeprefix("conv").removeprefix("relu").split("_")[0])


def stride_of(name: str) -> int:
    """Stride of a layer in pixels.

    Example:
        >>> stride_of("relu4_1")
        8
    """
    return int(2 ** (block_of(name) - 1))


def deepest(layers: Iterable[str]) -> str:
    """The deepest of some layers.

    Example:
        >>> deepest(["relu3_1", "relu2_2"])
        'relu3_1'
    """
    return max(layers, key=lambda name: len(conv_names(name)))


class VGGEncoder(nn.Module):
    """VGG-19's convolutions with reflection padding, each followed by a ReLU (Sec. 6.1).

    Images are RGB in [0, 1]: the preprocessing that the weights expect is folded into ``conv1_1``. Pooling rounds sizes
    up, so that feature maps cover every pixel of an image of any size.

    Args:
        widths: channels of each block, one of `WIDTHS` or a sequence.
        last: the deepest layer, ``relu1_1`` to ``relu5_4``; later ones are not built.

    Shape:
        - input: (N, 3, H, W)
        - output: a dict from layer name to features, (N, C, ceil(H / 2^(block - 1)), ceil(W / 2^(block - 1)))

    Example:
        >>> VGGEncoder("compact")(torch.rand(1, 3, 20, 20))["relu4_1"].shape
        torch.Size([1, 128, 3, 3])
    """

    def __init__(self, widths: str | Sequence[int] = "vgg19", last: str = "relu4_1") -> None:
        super().__init__()
        self.widths = named_widths(widths)
        self.last = last
        self.conv_names = conv_names(last)
        channels = 3
        for name in self.conv_names:
            width = self.widths[block_of(name) - 1]
            self.add_module(name, ReflectConv2d(channels, width))
            channels = width

    @property
    def min_size(self) -> int:
        """Minimum height and width in pixels: reflection padding needs two positions at the deepest layer."""
        return stride_of(self.last) + 1

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, ``relu1_1`` to the deepest."""
        return tuple(name.replace("conv", "relu") for name in self.conv_names)

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        return self.widths[block_of(layer) - 1]

    def convs(self) -> Iterator[tuple[str, nn.Conv2d]]:
        """Names and convolutions in network order."""
        for name in self.conv_names:
            conv = getattr(self, name)
            assert isinstance(conv, nn.Conv2d)
            yield name, conv

    def forward(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features of `layers` (default: the deepest alone).

        Raises:
            InputError: if the images are too small, or a layer is deeper than the encoder.
        """
        layers = (self.last,) if layers is None else layers
        missing = [name for name in layers if name not in self.layers]
        if missing:
            raise InputError(f"layer {missing[0]} is not in this encoder, which ends at {self.last}")
        height, width = images.shape[2:]
        if min(height, width) < self.min_size:
            raise InputError(
                f"an image is {width}x{height}; {self.last} with reflection padding needs at least "
                f"{self.min_size}x{self.min_size}; give a larger image"
            )
        if rewritten(images):
            return self._rewritten_forward(images, layers)
        features: dict[str, Tensor] = {}
        x, block = images, 1
        for name, conv in self.convs():
            if block_of(name) > block:
                block = block_of(name)
                x = _halve(x)
            x = F.relu(conv(x), inplace=True)
            layer = name.replace("conv", "relu")
            if layer in layers:
                features[layer] = x
            if len(features) == len(set(layers)):
                break
        return features

    def _rewritten_forward(self, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """`forward` by the rewrites; `x` is padded for the next convolution, and what is returned are its interiors."""
        features: dict[str, Tensor] = {}
        needed, x = set(layers), reflect_pad(images)
        for (name, conv), following in zip(self.convs(), (*self.conv_names[1:], None), strict=True):
            layer = name.replace("conv", "relu")
            y = F.conv2d(x, conv.weight, conv.bias)
            last = len(features) + (layer in needed) == len(needed)
            pooled = following is None or block_of(following) > block_of(name)
            if layer in needed and (pooled or last):
                features[layer] = y = F.relu(y, inplace=True)
            if last or following is None:
                break
            x, interior = activated(_halve(y) if pooled else y)
            if layer in needed and not pooled:
                features[layer] = interior
        return features


def _halve(x: Tensor) -> Tensor:
    """2x2 max pooling that rounds sizes up."""
    if is_exporting():  # the exporter cannot round sizes up; replicating the last position is the same
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
    return F.max_pool2d(x, 2, ceil_mode=not is_exporting())


def named_widths(widths: str | Sequence[int]) -> tuple[int, ...]:
    """Channels of the blocks, by name or as given.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> named_widths("compact")
        (16, 32, 64, 128, 128)
    """
    if not isinstance(widths, str):
        return tuple(widths)
    if widths not in WIDTHS:
        raise InputError(f"unknown encoder widths {widths!r}; known are {', '.join(WIDTHS)}")
    return WIDTHS[widths]


@torch.no_grad()
def initialise_randomly(encoder: VGGEncoder, seed: int = 0) -> None:
    """He initialisation (normal, zero bias) with its own generator, so that the global random state does not matter.

    Args:
        encoder: changed in place.
        seed: seed of the generator.

    Example:
        >>> encoder = VGGEncoder("compact", "relu1_1")
        >>> initialise_randomly(encoder)
        >>> round(encoder.conv1_1.weight.std().item(), 2), round((2 / 27) ** 0.5, 2)
        (0.27, 0.27)
    """
    generator = torch.Generator().manual_seed(seed)
    for _, conv in encoder.convs():
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)


@torch.no_grad()
def mean_activations(encoder: VGGEncoder, images: Iterable[Tensor], *, least: float = 0.01) -> dict[str, Tensor]:
    """Activation scales: the mean of each channel after each ReLU, over all spatial positions of all images.

    Args:
        encoder: the network.
        images: batches, each (N, 3, H, W) in [0, 1]; sizes may differ between batches.
        least: lower bound as a fraction of the layer's mean; a channel that is hardly ever active would dominate where
            it is, if it were scaled to mean 1.

    Returns:
        From convolution name to scales (C,) in float32.

    Example:
        >>> batches = torch.rand(2, 3, 16, 16), torch.rand(1, 3, 20, 24)
        >>> scales = mean_activations(VGGEncoder("compact", "relu1_2"), batches)
        >>> {name: tuple(scale.shape) for name, scale in scales.items()}
        {'conv1_1': (16,), 'conv1_2': (16,)}
    """
    sums = {name: torch.zeros(conv.out_channels, dtype=torch.float64) for name, conv in encoder.convs()}
    positions = dict.fromkeys(sums, 0)
    for batch in images:
        for layer, x in encoder(batch, encoder.layers).items():
            name = layer.replace("relu", "conv")
            sums[name] += x.float().sum(dim=(0, 2, 3)).double().cpu()
            positions[name] += x.numel() // x.shape[1]
    means = {name: (total / max(positions[name], 1)).float() for name, total in sums.items()}
    # "or 1.0": a layer that is never active keeps its weights, instead of a division by 0
    floors = {name: least * float(mean.mean()) or 1.0 for name, mean in means.items()}
    return {name: mean.clamp(min=floors[name]) for name, mean in means.items()}


@torch.no_grad()
def normalize_activations(encoder: VGGEncoder, scales: Mapping[str, Tensor]) -> None:
    """Divide every channel's activation by its scale, folded into the weights.

    Exact, because ReLU, pooling and reflection commute with a positive factor per channel: a layer's factor is divided
    out of its own filters and multiplied into the next layer's. This is the "normalised" VGG-19 of Gatys et al.
    (2016) that the authors' code uses.

    Args:
        encoder: changed in place.
        scales: as returned by `mean_activations`, positive.

    Example:
        >>> encoder, images = VGGEncoder("compact", "relu1_1"), torch.rand(1, 3, 16, 16)
        >>> features = encoder(images)["relu1_1"]
        >>> normalize_activations(encoder, {"conv1_1": torch.full((16,), 2.0)})
        >>> torch.allclose(encoder(images)["relu1_1"], features / 2)
        True
    """
    previous: Tensor | None = None
    for name, conv in encoder.convs():
        scale = scales[name].to(conv.weight)
        if previous is not None:
            conv.weight.mul_(previous.view(1, -1, 1, 1))
        conv.weight.div_(scale.view(-1, 1, 1, 1))
        assert conv.bias is not None
        conv.bias.div_(scale)
        previous = scale


@torch.no_grad()
def fold_preprocessing(conv: nn.Conv2d, matrix: Tensor, shift: Tensor) -> None:
    """Fold the preceding 1x1 convolution ``matrix @ rgb + shift`` into `conv`.

    Exact, because reflection padding commutes with a 1x1 convolution.

    Args:
        conv: the first convolution, changed in place.
        matrix: shape (3, 3).
        shift: shape (3,).

    Example:
        >>> conv, rgb = ReflectConv2d(3, 8), torch.rand(1, 3, 16, 16)
        >>> expected = conv(2 * rgb - 1)
        >>> fold_preprocessing(conv, 2 * torch.eye(3), -torch.ones(3))
        >>> torch.allclose(conv(rgb), expected, atol=1e-5)
        True
    """
    weight = conv.weight.double()  # the bias below needs the filters from before the matrix
    assert conv.bias is not None
    conv.bias.add_(torch.einsum("oihw,i->o", weight, shift.double()).to(conv.bias))
    conv.weight.copy_(torch.einsum("oihw,ij->ojhw", weight, matrix.double()))
