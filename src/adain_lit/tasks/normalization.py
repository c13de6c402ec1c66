"""What photographs may be brought to before a network for fixed styles is trained on them (Sec. 4, Fig. 1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from adain_lit.data.fixed_styles import read_styles
from adain_lit.functional.color import equalize_contrast
from adain_lit.weights.networks import load_network


class EqualContrast(nn.Module):
    """Photographs (N, 3, H, W), RGB in [0, 1], with the histogram of their luminance equalised (Fig. 1b)."""

    def forward(self, photographs: Tensor) -> Tensor:
        """Equalise."""
        return equalize_contrast(photographs)


class OneStyle(nn.Module):
    """Photographs in the style of one image, by a trained network, which stays as it is (Fig. 1c).

    Args:
        style: file of the style image, whose middle square counts.
        network: as `load_network` takes it.

    Shape:
        - input and output: (N, 3, H, W), RGB in [0, 1]
    """

    def __init__(self, style: str, network: str) -> None:
        super().__init__()
        self.net = load_network(network).requires_grad_(False)
        with torch.no_grad():
            features = self.net.encode(read_styles([style], 256) / 255)
        for layer, x in zip(self.net.fused_layers, features, strict=True):
            self.register_buffer(layer, x, persistent=False)
        self.eval()

    def train(self, mode: bool = True) -> "OneStyle":
        """Stay in evaluation, whatever the network around it does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, photographs: Tensor) -> Tensor:
        """Stylise."""
        style = tuple(self.get_buffer(layer).expand(len(photographs), -1, -1, -1) for layer in self.net.fused_layers)
        fused = self.net.fuse(self.net.encode(photographs), [style])
        return self.net.decode(fused, photographs.shape[2:]).clamp(0, 1)


NORMALIZATIONS: dict[str, Callable[[str, str], nn.Module]] = {
    "none": lambda style, network: nn.Identity(),
    "contrast": lambda style, network: EqualContrast(),
    "style": OneStyle,
}
"""By name: photographs as they are, of one contrast, or of one style; made from a style's file and a network."""
