"""AdaIN style transfer as common PyTorch code computes it: the reference of the benchmark."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from adain_lit.nets.vgg import named_widths


class PlainAdaIN(nn.Module):
    """Encoder, AdaIN and decoder of the paper with random weights, computed without optimisation.

    That is: a 1x1 convolution for preprocessing, separate layers for reflection padding, contiguous (NCHW) memory,
    statistics over flattened positions with the sample variance, and blending by alpha even if alpha is 1. With the
    same weights it gives the same images as `adain_lit.nets.StyleTransferNet`.

    Args:
        widths: channels of each block, one of `adain_lit.nets.WIDTHS` or a sequence.
        seed: of the weights (He initialisation), which do not affect times.

    Example:
        >>> method = PlainAdaIN(widths="compact")
        >>> method(torch.rand(1, 3, 64, 48), torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 64, 48])
    """

    def __init__(self, *, widths: str | Sequence[int] = "vgg19", seed: int = 0) -> None:
        super().__init__()
        a, b, c, d = named_widths(widths)[:4]
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 3, 1),
            *_convs((3, a, a)),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convs((a, b, b)),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convs((b, c, c, c, c)),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convs((c, d)),
        )
        self.decoder = nn.Sequential(
            *_convs((d, c)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_convs((c, c, c, c, b)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_convs((b, b, a)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_convs((a, a, 3))[:-1],
        )
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)

    def encode(self, images: Tensor) -> Tensor:
        """Encode images (N, 3, H, W) to features (N, C, H', W')."""
        features: Tensor = self.encoder(images)
        return features

    def fuse(self, content: Tensor, styles: Sequence[Tensor], *, alpha: float = 1.0) -> Tensor:
        """Apply AdaIN to content features with those of one style (Eqs. 8 and 14)."""
        (style,) = styles
        content_mean, content_std = _mean_std(content)
        style_mean, style_std = _mean_std(style)
        size = content.size()
        normalised = (content - content_mean.expand(size)) / content_std.expand(size)
        fused = normalised * style_std.expand(size) + style_mean.expand(size)
        return fused * alpha + content * (1 - alpha)

    def decode(self, fused: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
        """Decode to RGB images of height and width `size`, not clipped."""
        image: Tensor = self.decoder(fused)
        return image[..., : size[0], : size[1]]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise: content (N, 3, H, W) and style (N, 3, H', W') to (N, 3, H, W), RGB in [0, 1]."""
        fused = self.fuse(self.encode(content), [self.encode(style)])
        return self.decode(fused, content.shape[2:]).clamp(0, 1)


def _convs(widths: Iterable[int]) -> list[nn.Module]:
    """Padding, convolution and ReLU from each width to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(inputs, outputs, 3), nn.ReLU()]
    return layers


def _mean_std(features: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (N, C, 1, 1) each."""
    count, channels = features.shape[:2]
    variance = features.view(count, channels, -1).var(dim=2) + eps
    std = variance.sqrt().view(count, channels, 1, 1)
    mean = features.view(count, channels, -1).mean(dim=2).view(count, channels, 1, 1)
    return mean, std
