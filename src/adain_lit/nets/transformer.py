"""The feed-forward network for fixed styles: one (Johnson et al., Ulyanov et al.) or many (Dumoulin et al.)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.functional.adain import conditional_instance_norm
from adain_lit.nets.reflect_conv import ReflectConv2d

NORMS = ("batch", "instance", "conditional")

THUMBNAIL = 8
"""Side in pixels of the thumbnails by which a style is recognised."""
ALIKE = 0.035
"""Largest mean absolute difference of two thumbnails of one image: scaling 128 paintings to 32 to 512 pixels changed
theirs by 0.03 at most, and no two paintings were closer than 0.057."""


class ConditionalInstanceNorm(nn.Module):
    """Instance normalisation with a scale and a shift for each of S styles (Eq. 7).

    Args:
        channels: C.
        styles: S.

    Shape:
        - input: (N, C, H, W) and (N, S), the weight of each style in each sample, by which scales and shifts are mixed
        - output: (N, C, H, W)

    Example:
        >>> norm = ConditionalInstanceNorm(16, styles=2)
        >>> norm(torch.rand(1, 16, 8, 8), torch.tensor([[0.3, 0.7]])).shape
        torch.Size([1, 16, 8, 8])
    """

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(styles, channels))
        self.shift = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Normalise."""
        return conditional_instance_norm(x, weights @ self.scale, weights @ self.shift)


class NormalizedConv(nn.Module):
    """Optional up-sampling, a convolution with reflection padding, and a normalisation.

    Args:
        channels: input channels.
        width: output channels.
        size: kernel size.
        norm: ``batch``, ``instance`` or ``conditional``.
        styles: S.
        stride: 2 halves height and width, rounding up.
        enlarge: factor of nearest up-sampling.

    Example:
        >>> conv = NormalizedConv(3, 8, 3, norm="instance", styles=1, stride=2)
        >>> conv(torch.rand(1, 3, 9, 16), torch.ones(1, 1)).shape
        torch.Size([1, 8, 5, 8])
    """

    def __init__(
        self, channels: int, width: int, size: int, *, norm: str, styles: int, stride: int = 1, enlarge: int = 1
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.conv = ReflectConv2d(channels, width, size, stride)
        self.norm: nn.Module
        if norm == "conditional":
            self.norm = ConditionalInstanceNorm(width, styles)
        else:
            self.norm = nn.BatchNorm2d(width) if norm == "batch" else nn.InstanceNorm2d(width, affine=True)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Up-sample, convolve and normalise."""
        if self.enlarge > 1:
            x = F.interpolate(x, scale_factor=self.enlarge, mode="nearest")
        x = self.conv(x)
        normalized: Tensor = self.norm(x, weights) if isinstance(self.norm, ConditionalInstanceNorm) else self.norm(x)
        return normalized


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, first: NormalizedConv, second: NormalizedConv) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Add."""
        change: Tensor = self.second(F.relu(self.first(x, weights)), weights)
        return x + change


class TransformerNet(nn.Module):
    """Stylises images in the styles that it was trained on, without an encoder.

    Three convolutions down to a quarter of the size, residual blocks, two convolutions up again and one to RGB
    (Johnson et al. 2016, with the up-sampling and the padding of Dumoulin et al. 2017).

    Args:
        norm: after every convolution but the last: ``batch`` (Johnson; Ulyanov 2016), ``instance`` (Ulyanov 2017) or
            ``conditional`` (Dumoulin).
        styles: S, number of styles; more than one needs ``conditional``.
        width: channels at full size, twice and four times as many below; 32 in the papers.
        blocks: number of residual blocks; 5 in the papers.

    Shape:
        - input: (N, 3, H, W), RGB in [0, 1], and the weights of the styles (N, S), optional for one style
        - output: (N, 3, H, W), RGB in [0, 1]

    Differs from Dumoulin et al.: their last convolution is normalised too.

    Raises:
        InputError: for an unknown norm, several styles without ``conditional``, or a width below 1.

    Example:
        >>> TransformerNet(width=4, blocks=1)(torch.rand(1, 3, 30, 21)).shape
        torch.Size([1, 3, 30, 21])
    """

    def __init__(self, *, norm: str = "instance", styles: int = 1, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        if norm not in NORMS:
            raise InputError(f"unknown norm {norm!r} of the transformer network; known are {', '.join(NORMS)}")
        if styles < 1 or (styles > 1 and norm != "conditional"):
            raise InputError(f"norm {norm} is for one style and {styles} were given; several need norm=conditional")
        if width < 1 or blocks < 0:
            raise InputError(f"width is {width} and blocks {blocks}; needed are at least 1 and 0")
        self.norm, self.styles, self.width, self.blocks = norm, styles, width, blocks

        def conv(channels: int, out: int, size: int = 3, *, stride: int = 1, enlarge: int = 1) -> NormalizedConv:
            return NormalizedConv(channels, out, size, norm=norm, styles=styles, stride=stride, enlarge=enlarge)

        half, quarter = 2 * width, 4 * width
        self.down = nn.ModuleList([conv(3, width, 9), conv(width, half, stride=2), conv(half, quarter, stride=2)])
        self.residual = nn.ModuleList(Residual(conv(quarter, quarter), conv(quarter, quarter)) for _ in range(blocks))
        self.up = nn.ModuleList([conv(quarter, half, enlarge=2), conv(half, width, enlarge=2)])
        self.last = ReflectConv2d(width, 3, 9)

    min_size = 5
    """Minimum height and width in pixels: reflection padding of 9x9 kernels."""

    def forward(self, images: Tensor, weights: Tensor | None = None) -> Tensor:
        """Stylise a batch.

        Raises:
            InputError: if the images are too small, or there are several styles and no weights.
        """
        count, _, height, width = images.shape
        if min(height, width) < self.min_size:
            raise InputError(f"an image is {width}x{height}; needed are at least {self.min_size} pixels to each side")
        if weights is None:
            if self.styles > 1:
                raise InputError(f"the network has {self.styles} styles; say which, or how they are mixed")
            weights = images.new_ones(count, 1)
        x = images
        for conv in self.down:
            x = F.relu(conv(x, weights))
        for block in self.residual:
            x = block(x, weights)
        for conv in self.up:
            x = F.relu(conv(x, weights))
        return torch.sigmoid(self.last(x))[..., :height, :width]

    def conditional_norms(self) -> list[ConditionalInstanceNorm]:
        """The modules whose parameters differ between styles."""
        return [module for module in self.modules() if isinstance(module, ConditionalInstanceNorm)]

    @torch.no_grad()
    def add_styles(self, count: int) -> None:
        """Add `count` trainable styles, initialised with the mean of the existing ones.

        Raises:
            InputError: if the norm is not ``conditional``.
        """
        if self.norm != "conditional":
            raise InputError(f"a network with norm {self.norm} has one style; only norm=conditional takes more")
        for norm in self.conditional_norms():
            for name, rows in (("scale", norm.scale), ("shift", norm.shift)):
                more = torch.cat((rows, rows.mean(0, keepdim=True).expand(count, -1)))
                setattr(norm, name, nn.Parameter(more))
        self.styles += count


class FixedStyleNet(nn.Module):
    """A transformer network with thumbnails of its style images, by which it recognises them.

    Args:
        transformer: the network.
        thumbnails: of its S style images, (S, 3, 8, 8), as returned by `thumbnails`.

    Shape:
        - input: contents (N, 3, H, W) and styles (N, 3, H', W'), RGB in [0, 1]
        - output: (N, 3, H, W), RGB in [0, 1]

    Example:
        >>> styles = torch.stack((torch.zeros(3, 32, 32), torch.ones(3, 32, 32)))
        >>> transformer = TransformerNet(norm="conditional", styles=2, width=4, blocks=1)
        >>> net = FixedStyleNet(transformer, thumbnails(styles))
        >>> net.recognise(styles), net(torch.rand(2, 3, 24, 24), styles).shape
        (tensor([0, 1]), torch.Size([2, 3, 24, 24]))
    """

    def __init__(self, transformer: TransformerNet, thumbnails: Tensor) -> None:
        super().__init__()
        self.transformer = transformer
        self.register_buffer("thumbnails", thumbnails)
        self.thumbnails: Tensor

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise each content image in its style.

        Raises:
            InputError: if the network was not trained on a style.
        """
        return self.mixed(content, F.one_hot(self.recognise(style), len(self.thumbnails)))

    def mixed(self, content: Tensor, weights: Tensor | Sequence[float]) -> Tensor:
        """Stylise content images (N, 3, H, W) in a mixture of styles: S weights, or (N, S), divided by their sum.

        Raises:
            InputError: if the weights are too few or many, negative, or all 0.
        """
        weights = torch.as_tensor(weights, dtype=content.dtype, device=content.device).expand(len(content), -1)
        if weights.shape[1] != len(self.thumbnails) or (weights < 0).any() or not (weights.sum(1) > 0).all():
            raise InputError(
                f"weights have the shape {tuple(weights.shape)}; needed is one for each of the {len(self.thumbnails)} "
                "styles, 0 or more, with a sum above 0"
            )
        stylized: Tensor = self.transformer(content, weights / weights.sum(1, keepdim=True))
        return stylized

    def recognise(self, style: Tensor) -> Tensor:
        """Indices (N,) of the styles of style images (N, 3, H, W), RGB in [0, 1].

        Raises:
            InputError: if the network was not trained on one of them.
        """
        indices = self.nearest(style)
        require_known(indices)
        return indices

    def nearest(self, style: Tensor) -> Tensor:
        """Indices (N,) as in `recognise`, -1 for images that the network was not trained on."""
        difference = (thumbnails(style)[:, None] - self.thumbnails).abs().flatten(2).mean(2)  # (N, S)
        least, index = difference.min(1)
        return torch.where(least < ALIKE, index, -1)


def thumbnails(images: Tensor) -> Tensor:
    """Thumbnails (N, 3, 8, 8) of images (N, 3, H, W); nearly the same for one image at two scales.

    Example:
        >>> thumbnails(torch.rand(2, 3, 40, 50)).shape
        torch.Size([2, 3, 8, 8])
    """
    return F.interpolate(images.float(), size=(THUMBNAIL, THUMBNAIL), mode="area")


def require_known(indices: Tensor) -> None:
    """Refuse unknown style images.

    Args:
        indices: (N,), -1 for an unknown image, see `FixedStyleNet.nearest`.

    Raises:
        InputError: if there is an unknown one.

    Example:
        >>> require_known(torch.tensor([0, -1]))
        Traceback (most recent call last):
        adain_lit.errors.InputError: style image 2 of 2 was not trained on; ...
    """
    unknown = (indices < 0).nonzero().flatten().tolist()
    if unknown:
        raise InputError(
            f"style image {unknown[0] + 1} of {len(indices)} was not trained on; a method for fixed styles takes only "
            "the centre crops of its own style images"
        )
