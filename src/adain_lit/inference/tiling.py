"""Images of any size through the network in overlapping tiles, with the same result as in one piece.

A first pass gathers the statistics of the whole content, a second fuses and decodes tile by tile. Of a style the first
pass is all that is needed. What a cell's value
depends on lies within a halo, so nothing of a seam remains, and memory does not grow with the image.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adain_lit.functional.adain import channel_stats, require_not_empty
from adain_lit.functional.color import unit
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Features, Stats
from adain_lit.nets.vgg import conv_names, stride_of

LEAST_TILE = 64
"""Pixels; smaller tiles are all halo."""


class _Span(NamedTuple):
    """A run of pixels of one axis: those to compute, those to decode around them, and those that they need.

    All begin at a whole cell of the deepest layer, and end at one or with the image.
    """

    inner: slice
    outer: slice
    pixels: slice


def _cells(part: slice, within: int, stride: int) -> slice:
    """Cells of a layer for a run of pixels, counted from the cell of pixel `within`."""
    return slice((part.start - within) // stride, -(-(part.stop - within) // stride))


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
    content_stats: Sequence[Stats] | None = None,
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Stylise images of one size tile by tile.

    Args:
        net: the network; it must be `tileable`.
        content: (N, 3, H, W) in ``uint8``, on any device; tiles of it go to the device of the network.
        styles: K features of styles, for each fused layer (N, C, h, w).
        tile: side of the tiles in pixels, rounded to whole cells; the halo comes on top.
        alpha: degree of stylisation.
        weights: K weights, see `StyleTransferNet.fuse`.
        masks: K masks as shares of the cells of each fused layer, (1, 1, ceil(H / s), ceil(W / s)).
        content_stats: statistics to normalise by, one pair for each mask; None takes the content's own.
        dtype: of the result: bytes, or ``float32`` for RGB in [0, 1].

    Returns:
        (N, 3, H, W), on the device of `content`.
    """
    height, width = content.shape[2:]
    out = torch.empty_like(content, dtype=dtype)
    stats = tiled_statistics(net, content, tile=tile, masks=masks) if content_stats is None else content_stats
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, content, rows, columns)
            parts = None if masks is None else [_part(mask, net.strides, rows.outer, columns.outer) for mask in masks]
            fused = net.fuse(features, styles, alpha=alpha, weights=weights, masks=parts, content_stats=stats)
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
    """Mean and standard deviation of each channel over whole images, for each mask, or once, tile by tile.

    Args:
        net: the network.
        image: contents or styles of one size, (N, 3, H, W) in ``uint8``.
        tile: see `stylize_tiles`.
        masks: see `stylize_tiles`.
        eps: added to the variance.
        prepare: makes RGB in [0, 1] of a part of the bytes, pixel by pixel.

    Raises:
        InputError: if a mask is empty.
    """
    height, width = image.shape[2:]
    regions: list[list[_Moments]] = [
        [_Moments() for _ in net.strides] for _ in range(1 if masks is None else len(masks))
    ]
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, image, rows, columns, prepare)
            for i, (x, stride) in enumerate(zip(features, net.strides, strict=True)):
                own = _inner(x, rows, columns, stride)
                for k, region in enumerate(regions):
                    shares = None if masks is None else _part((masks[k][i],), (stride,), rows.inner, columns.inner)[0]
                    region[i].add(own, shares)
    require_not_empty(all(moments.area for region in regions for moments in region))
    return [tuple(moments.stats(next(net.parameters()), eps) for moments in region) for region in regions]


class _Moments:
    """Weighted mean and variance of each channel, those of the parts put together in float64 (Chan et al. 1979).

    On the CPU, since not every device has float64.
    """

    def __init__(self) -> None:
        self.area = 0.0
        self.mean = self.square = torch.zeros(1, dtype=torch.float64)

    def add(self, x: Tensor, weight: Tensor | None) -> None:
        """Take in cells (N, C, H, W) with their weights (1, 1, H, W), or all alike."""
        area = float(x.shape[2] * x.shape[3] if weight is None else weight.cpu().double().sum())
        if not area:
            return
        mean, std = (value.cpu().double() for value in channel_stats(x, weight, eps=0.0))
        total = self.area + area
        step = mean - self.mean
        self.mean = self.mean + step * (area / total)
        self.square = self.square + std**2 * area + step**2 * (self.area * area / total)
        self.area = total

    def stats(self, like: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """As `channel_stats` gives them for the whole, on the device of `like`."""
        dtype = torch.promote_types(like.dtype, torch.float32)
        return self.mean.to(like.device, dtype), (self.square / self.area + eps).sqrt().to(like.device, dtype)


def encoder_radius(net: StyleTransferNet) -> int:
    """How many pixels to each side a cell may look: every 3x3 convolution and every pooling adds its stride."""
    convolutions = sum(stride_of(name) for name in conv_names(net.content_layer))
    return convolutions + stride_of(net.content_layer) - 1


def decoder_radius(net: StyleTransferNet) -> int:
    """How many pixels to each side an output pixel may look in the fused features."""
    return sum(stride_of(name) for name in conv_names(net.content_layer))


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
    parts = (_cells(span.outer, span.pixels.start, 1) for span in (rows, columns))
    return _part(features, net.strides, *parts)


def _inner(x: Tensor, rows: _Span, columns: _Span, stride: int) -> Tensor:
    """The inner cells of a tile's outer ones."""
    return x[..., _cells(rows.inner, rows.outer.start, stride), _cells(columns.inner, columns.outer.start, stride)]


def _part(features: Features, strides: Sequence[int], rows: slice, columns: slice) -> Features:
    """The cells of runs of pixels."""
    return tuple(
        x[..., _cells(rows, 0, stride), _cells(columns, 0, stride)] for x, stride in zip(features, strides, strict=True)
    )


def _spans(net: StyleTransferNet, length: int, tile: int) -> Iterator[_Span]:
    """The tiles along an axis of `length` pixels."""
    stride = stride_of(net.content_layer)
    cells = -(-length // stride)
    step = max(1, tile // stride)
    halo = -(-decoder_radius(net) // stride)
    reach = -(-encoder_radius(net) // stride)

    def pixels(start: int, stop: int) -> slice:
        return slice(max(start, 0) * stride, min(stop * stride, length))

    for start in range(0, cells, step):
        stop = min(start + step, cells)
        if cells - stop < step // 4:  # a last sliver goes to the tile before it
            stop = cells
        yield _Span(
            pixels(start, stop), pixels(start - halo, stop + halo), pixels(start - halo - reach, stop + halo + reach)
        )
        if stop == cells:
            return
