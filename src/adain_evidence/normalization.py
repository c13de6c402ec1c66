"""Content images of equal contrast or of one style, on which Fig. 1 trains networks for fixed styles (Sec. 4)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adain_lit.data.fixed_styles import read_styles, style_files
from adain_lit.errors import InputError
from adain_lit.functional.color import luminance
from adain_lit.functional.matching import quantiles
from adain_lit.tasks.config import FixedStyleConfig
from adain_lit.weights.networks import load_network


def equalize_contrast(image: Tensor) -> Tensor:
    """Spread the luminance of each image evenly over [0, 1] by histogram equalisation, and keep the chroma.

    Every luminance becomes the fraction of pixels that are darker, pixels of the same luminance counted half.

    Args:
        image: RGB in [0, 1], shape (N, 3, H, W).

    Returns:
        RGB, shape (N, 3, H, W), clipped to [0, 1].

    Example:
        >>> grey = torch.tensor([0.1, 0.2, 0.3, 0.4]).expand(1, 3, 1, 4)
        >>> equalize_contrast(grey)[0, 0]
        tensor([[0.1250, 0.3750, 0.6250, 0.8750]])
    """
    luma = luminance(image)
    below, upto = quantiles(luma)
    return (image + ((below + upto) / 2).to(image.dtype) - luma).clamp(0, 1)


class EqualContrast(nn.Module):
    """Equalises the histogram of the luminance of images (N, 3, H, W), RGB in [0, 1] (Fig. 1b)."""

    def forward(self, images: Tensor) -> Tensor:
        """Equalise."""
        return equalize_contrast(images)


class OneStyle(nn.Module):
    """Stylises images by one style image, with a trained network that is frozen (Fig. 1c).

    Args:
        style: file of the style image, of which the central square is used.
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
        """Stay in evaluation mode when the module that contains this one is set to training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Stylise."""
        style = tuple(self.get_buffer(layer).expand(len(images), -1, -1, -1) for layer in self.net.fused_layers)
        fused = self.net.fuse(self.net.encode(images), [style])
        return self.net.decode(fused, images.shape[2:]).clamp(0, 1)


def contrast(config: FixedStyleConfig, files: Sequence[str]) -> EqualContrast:
    """Build `EqualContrast`, as ``model.normalize`` asks for it."""
    return EqualContrast()


def style(config: FixedStyleConfig, files: Sequence[str]) -> OneStyle:
    """Build `OneStyle` from ``normal_style`` and ``normal_network``, as ``model.normalize`` asks for it.

    Raises:
        InputError: if the style is among the `files` of the styles to train.
    """
    file = str(style_files(config.normal_style)[-1])
    if file in files:
        raise InputError(f"normal_style {file} is among the styles to train; give another")
    return OneStyle(file, config.normal_network)
