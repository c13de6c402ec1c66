"""Images of any size in overlapping tiles, with the result of one piece and no seams.

The first pass gathers the statistics of the whole content image; the second fuses and decodes tile by tile. Each tile
is processed with a halo as wide as the receptive field, so every output pixel sees what it would see in one piece, and
memory does not grow with the image. A style needs the first pass only.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adain_lit.functional.adain import channel_stats, require_not_empty
from adain_lit.functional.color import unit
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Features, Stats
from adain_lit.nets.vgg import block_of, conv_names, stride_of

LEAST_TILE = 64
"""Smallest tile in pixels; below it, nearly all the work is halo."""
MOST_TILE = 1024
"""Largest tile in pixels that is chosen; the halo of a larger one is no longer worth its memory."""


class _Span(NamedTuple):
    """One tile along one axis, as slices of pixels.

    All three start at a multiple of the deepest layer's stride, and end at one or at the image's edge.

    Attributes:
        inner: what the tile contributes to the result.
        outer: what is decoded: `inner` and the decoder's halo.
        pixels: what is encoded: `outer` and the encoder's halo.
    """

    inner: slice
    outer: slice
    pixels: slice


def _positions(pixels: slice, origin: int, stride: int) -> slice:
    """Spatial positions of a layer that cover `pixels`, counted from the position of pixel `origin`."""
    return slice((pixels.start - origin) // stride, -(-(pixels.stop - origin) // stride))


@torch.inference_mode()
def stylize_tiles(
    net: StyleTransferNet,
    content: Tensor,
    styles: Sequence[Features],
    *,
    tile: int,
    alpha: float = 1.0,
    weights: Sequence[float] | None = None,
    masks: Sequence[Features] | None = None,
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Stylise images of one size tile by tile.

    Args:
        net: a network whose `tileable` is true.
        content: bytes, shape (N, 3, H, W), on any device; its tiles go to the device of `net`.
        styles: K styles, for each fused layer features of shape (N, C, h, w).
        tile: side of the tiles in pixels without the halo; rounded down to the deepest layer's stride.
        alpha: degree of stylisation (Eq. 14).
        weights: K weights (Eq. 15), see `StyleTransferNet.fuse`.
        masks: K masks at the resolution of each fused layer, shape (1, 1, ceil(H / stride), ceil(W / stride)).
        dtype: ``uint8``, or ``float32`` for RGB in [0, 1].

    Returns:
        Images, shape (N, 3, H, W), on the device of `content`.

    Example:
        >>> import adain_lit
        >>> net = adain_lit.load("compact", device="cpu").net
        >>> content = torch.randint(256, (1, 3, 96, 160), dtype=torch.uint8)
        >>> stylize_tiles(net, content, [net.encode(content / 255)], tile=64).shape
        torch.Size([1, 3, 96, 160])
    """
    height, width = content.shape[2:]
    out = torch.empty_like(content, dtype=dtype)
    stats = tiled_statistics(net, content, tile=tile, masks=masks)
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, content, rows, columns)
            cropped = None if masks is None else [_crop(m, net.strides, rows.outer, columns.outer) for m in masks]
            fused = net.fuse(features, styles, alpha=alpha, weights=weights, masks=cropped, content_stats=stats)
            image = _inner(net.decoder(*fused), rows, columns, 1).float().clamp(0, 1)
            out[..., rows.inner, columns.inner] = (image * 255).round() if dtype == torch.uint8 else image
    return out


@torch.inference_mode()
def tiled_statistics(
    net: StyleTransferNet,
    image: Tensor,
    *,
    tile: int,
    masks: Sequence[Features] | None = None,
    eps: float = 1e-5,
    prepare: Callable[[Tensor], Tensor] = unit,
) -> list[Stats]:
    """Mean and standard deviation of each channel at each fused layer, gathered tile by tile.

    Args:
        net: the network.
        image: content or style images, bytes of shape (N, 3, H, W).
        tile: see `stylize_tiles`.
        masks: see `stylize_tiles`; None is one region, the whole image.
        eps: added to the variance.
        prepare: converts a crop of the bytes to RGB in [0, 1]; must work pixel by pixel.

    Returns:
        The statistics of each region.

    Raises:
        InputError: if a mask is empty.

    Example:
        >>> import adain_lit
        >>> net = adain_lit.load("compact", device="cpu").net
        >>> image = torch.randint(256, (1, 3, 96, 160), dtype=torch.uint8)
        >>> [stats] = tiled_statistics(net, image, tile=64)
        >>> torch.testing.assert_close(stats[0], channel_stats(net.encode(image / 255)[0]))
    """
    height, width = image.shape[2:]
    count = 1 if masks is None else len(masks)
    regions = [[_RunningStats() for _ in net.strides] for _ in range(count)]
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, image, rows, columns, prepare)
            for i, (x, stride) in enumerate(zip(features, net.strides, strict=True)):
                own = _inner(x, rows, columns, stride)  # each position counts once, in the tile it belongs to
                for k, region in enumerate(regions):
                    mask = None if masks is None else _crop((masks[k][i],), (stride,), rows.inner, columns.inner)[0]
                    region[i].update(own, mask)
    require_not_empty(all(stats.area for region in regions for stats in region))
    like = next(net.parameters())
    return [tuple(stats.compute(like, eps) for stats in region) for region in regions]


class _RunningStats:
    """Weighted mean and variance of each channel, merged part by part in float64 (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.area = 0.0
        self.mean = self.square = torch.zeros(1, dtype=torch.float64)  # on the CPU: not every device has float64

    def update(self, x: Tensor, mask: Tensor | None) -> None:
        """Add features (N, C, H, W), weighted by a mask (1, 1, H, W)."""
        area = float(x.shape[2] * x.shape[3] if mask is None else mask.cpu().double().sum())
        if not area:
            return
        mean, std = (value.cpu().double() for value in channel_stats(x, mask, eps=0.0))
        total = self.area + area
        step = mean - self.mean
        self.mean = self.mean + step * (area / total)
        self.square = self.square + std**2 * area + step**2 * (self.area * area / total)
        self.area = total

    def compute(self, like: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """The result of `channel_stats` on all parts at once, on the device of `like`."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        return self.mean.to(like.device, dtype), (self.square / self.area + eps).sqrt().to(like.device, dtype)


def encoder_radius(net: StyleTransferNet) -> int:
    """Receptive field of a feature in pixels to each side: every 3x3 convolution and every pooling adds its stride.

    Example:
        >>> import adain_lit
        >>> encoder_radius(adain_lit.load("compact").net)
        37
    """
    convolutions = sum(stride_of(name) for name in conv_names(net.content_layer))
    return convolutions + stride_of(net.content_layer) - 1


def decoder_radius(net: StyleTransferNet) -> int:
    """Receptive field of an output pixel in the fused features, in pixels to each side.

    Example:
        >>> import adain_lit
        >>> decoder_radius(adain_lit.load("compact").net)
        30
    """
    return sum(stride_of(name) for name in conv_names(net.content_layer))


def bytes_per_pixel(net: StyleTransferNet) -> int:
    """Estimated memory in bytes that encoding and decoding take at their peak for each pixel.

    The features of every fused layer are there twice, before and after fusion. At full size the decoder holds the input
    and the output of a convolution, its padded input and what is added to it.

    Example:
        >>> import adain_lit
        >>> bytes_per_pixel(adain_lit.load("compact").net)
        624
    """
    widths = net.encoder.widths
    own = net.config.decoder_widths or widths
    fused = sum(2 * widths[block_of(layer) - 1] / stride_of(layer) ** 2 for layer in net.fused_layers)
    first = max(4 * width * 0.25**block for block, width in enumerate(own[: block_of(net.content_layer)]))
    size: int = next(net.parameters()).element_size()
    return math.ceil((fused + max(first, 3 * widths[0])) * size)


def tile_within(net: StyleTransferNet, memory: int, images: int = 1) -> int:
    """Side in pixels of the largest tile that fits into `memory` bytes with its halo, within bounds.

    Example:
        >>> import adain_lit
        >>> tile_within(adain_lit.load("compact").net, 2**28)
        512
    """
    side = math.isqrt(max(0, memory) // (bytes_per_pixel(net) * images))
    inner = side - 2 * (encoder_radius(net) + decoder_radius(net))
    return min(max(inner // LEAST_TILE * LEAST_TILE, LEAST_TILE), MOST_TILE)


def _encode(
    net: StyleTransferNet,
    image: Tensor,
    rows: _Span,
    columns: _Span,
    prepare: Callable[[Tensor], Tensor] = unit,
) -> Features:
    """Features of the outer part of a tile."""
    pixels = prepare(image[..., rows.pixels, columns.pixels])
    features = net.encode(pixels.to(next(net.parameters())))
    outer = (_positions(span.outer, span.pixels.start, 1) for span in (rows, columns))
    return _crop(features, net.strides, *outer)


def _inner(x: Tensor, rows: _Span, columns: _Span, stride: int) -> Tensor:
    """The inner part of a layer that covers the outer part of a tile."""
    across, down = (_positions(span.inner, span.outer.start, stride) for span in (columns, rows))
    return x[..., down, across]


def _crop(features: Features, strides: Sequence[int], rows: slice, columns: slice) -> Features:
    """The part of each layer that covers rows and columns of pixels."""
    return tuple(
        x[..., _positions(rows, 0, stride), _positions(columns, 0, stride)]
        for x, stride in zip(features, strides, strict=True)
    )


def _spans(net: StyleTransferNet, length: int, tile: int) -> Iterator[_Span]:
    """The tiles along an axis of `length` pixels."""
    stride = stride_of(net.content_layer)
    positions = -(-length // stride)  # rounded up, as all quotients here
    step = max(1, tile // stride)
    halo = -(-decoder_radius(net) // stride)
    reach = halo + -(-encoder_radius(net) // stride)

    def pixels(start: int, stop: int) -> slice:
        return slice(max(start, 0) * stride, min(stop * stride, length))

    for start in range(0, positions, step):
        stop = min(start + step, positions)
        if positions - stop < step // 4:  # extend the last tile rather than process a sliver
            stop = positions
        yield _Span(pixels(start, stop), pixels(start - halo, stop + halo), pixels(start - reach, stop + reach))
        if stop == positions:
            return
