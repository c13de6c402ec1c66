"""The loss network phi, where it is not the encoder f itself."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.nets.vgg import VGGEncoder


class HeadedEncoder(nn.Module):
    """An encoder with heads, 1x1 convolutions and ReLUs, that map its features to the widths of another encoder.

    So a small encoder is trained to follow a large one, and replaces it afterwards.

    Args:
        encoder: the small encoder.
        widths: output channels of each layer that has a head.

    Shape:
        - input: (N, 3, H, W), RGB in [0, 1]
        - output: a dict from layer name to (N, width, H', W')

    Raises:
        InputError: if a layer is deeper than the encoder.

    Example:
        >>> HeadedEncoder(VGGEncoder("compact"), {"relu4_1": 512})(torch.rand(1, 3, 16, 16))["relu4_1"].shape
        torch.Size([1, 512, 2, 2])
    """

    def __init__(self, encoder: VGGEncoder, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.encoder = encoder
        missing = [layer for layer in widths if layer not in encoder.layers]
        if missing:
            raise InputError(f"no head is possible at {missing[0]}: the encoder ends at {encoder.last}")
        heads = {layer: nn.Conv2d(encoder.channels(layer), width, 1) for layer, width in widths.items()}
        self.heads = nn.ModuleDict(heads)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers with a head."""
        return tuple(self.heads)

    def channels(self, layer: str) -> int:
        """Channels of a layer."""
        head = self.heads[layer]
        assert isinstance(head, nn.Conv2d)
        return head.out_channels

    def forward(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features of `layers` (default: all that have a head) in the other encoder's widths."""
        layers = self.layers if layers is None else layers
        return {layer: F.relu(self.heads[layer](x)) for layer, x in self.encoder(images, layers).items()}


class LossNetwork(nn.Module):
    """Features of each layer from the first of several encoders that has it, frozen and scaled per channel.

    Args:
        encoders: in order of precedence.
        layers: the layers that the losses need.
        scaled: for each encoder, whether its weights have unit mean activations already; None: none of them.

    Attributes:
        scaled_layers: the layers of encoders that are scaled already.

    Raises:
        InputError: if no encoder has one of the layers.

    Example:
        >>> LossNetwork([VGGEncoder("compact")], ["relu1_1", "relu4_1"]).widths
        {'relu1_1': 16, 'relu4_1': 128}
    """

    def __init__(
        self,
        encoders: Sequence[VGGEncoder | HeadedEncoder],
        layers: Sequence[str],
        *,
        scaled: Sequence[bool] | None = None,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders).requires_grad_(False)
        self.sources = {
            layer: next((i for i, encoder in enumerate(encoders) if layer in encoder.layers), -1) for layer in layers
        }
        missing = [layer for layer, source in self.sources.items() if source < 0]
        if missing:
            raise InputError(f"no encoder of the loss network has {missing[0]}; give weights that reach it")
        done = scaled or [False] * len(encoders)
        self.scaled_layers = frozenset(layer for layer, source in self.sources.items() if done[source])
        self.scales = {}

    @property
    def scales(self) -> dict[str, Tensor]:
        """Activation scales: the divisor of each channel of a layer, (C,); empty if nothing was scaled."""
        return {layer: self.get_buffer(name) for layer, name in self._scale_buffers()}

    @scales.setter
    def scales(self, scales: Mapping[str, Tensor]) -> None:
        for _, name in self._scale_buffers():
            delattr(self, name)
        like = next(self.parameters())
        for layer, scale in scales.items():
            self.register_buffer(f"scale_{layer}", scale.to(like.device), persistent=False)  # moves with the weights

    def _scale_buffers(self) -> list[tuple[str, str]]:
        return [(layer, f"scale_{layer}") for layer in self.sources if f"scale_{layer}" in self._buffers]

    @property
    def widths(self) -> dict[str, int]:
        """Channels of each layer."""
        return {layer: self.encoders[i].channels(layer) for layer, i in self.sources.items()}  # type: ignore[operator]

    def forward(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features of `layers` (default: all), from layer name to (N, C, H', W')."""
        layers = tuple(self.sources) if layers is None else layers
        features: dict[str, Tensor] = {}
        for i, encoder in enumerate(self.encoders):
            own = tuple(layer for layer in layers if self.sources[layer] == i)
            if own:
                features |= encoder(images, own)
        for layer, scale in self.scales.items():
            if layer in features:
                features[layer] = features[layer] / scale.view(1, -1, 1, 1)
        return features

    @torch.no_grad()
    def normalize(self, images: Iterable[Tensor], *, least: float = 0.01) -> None:
        """Divide every channel by its mean activation over `images`, see `adain_lit.nets.vgg.mean_activations`.

        `scaled_layers` stay as they are; if there are no others, no image is read.

        Args:
            images: batches, each (N, 3, H, W) in [0, 1]; sizes may differ between batches.
            least: lower bound of a scale as a fraction of the layer's mean.
        """
        self.scales = {}
        unscaled = [layer for layer in self.sources if layer not in self.scaled_layers]
        if not unscaled:
            return
        sums: dict[str, Tensor] = {}
        positions = dict.fromkeys(unscaled, 0)
        for batch in images:
            for layer, x in self(batch, unscaled).items():
                sums[layer] = sums.get(layer, 0) + x.float().sum(dim=(0, 2, 3)).double().cpu()
                positions[layer] += x.numel() // x.shape[1]
        means = {layer: (total / positions[layer]).float() for layer, total in sums.items()}
        self.scales = {layer: mean.clamp(min=least * float(mean.mean()) or 1.0) for layer, mean in means.items()}
