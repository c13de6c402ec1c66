"""Pictures of any size through the network in overlapping tiles, with the same result as in one piece.

A first pass gathers the statistics of the whole content, a second fuses and decodes tile by tile. What a cell's value
depends on lies within a halo, so nothing of a seam remains, and memory does not grow with the picture.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from adain_lit.functional import require_not_empty
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Stats
from adain_lit.nets.vgg import block_of, conv_names

LEAST_TILE = 64
"""Pixels; smaller tiles are all halo."""


class _Span(NamedTuple):
    """A run of cells of one axis: those to compute, those to decode around them, and the pixels that they need."""

    inner: slice
    outer: slice
    pixels: slice


@torch.inference_mode()
def stylize_tiles(
    net: StyleTransferNet,
    content: Tensor,
    styles: Sequence[Tensor],
    *,
    tile: int,
    alpha: float = 1.0,
    weights: Sequence[float] | None = None,
    masks: Sequence[Tensor] | None = None,
    content_stats: Sequence[Stats] | None = None,
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Stylise pictures of one size tile by tile.

    Args:
        net: the network; it must be `tileable`.
        content: (N, 3, H, W) in ``uint8``, on any device; tiles of it go to the device of the network.
        styles: K features of styles, each (N, C, h, w).
        tile: side of the tiles in pixels, rounded to whole cells; the halo comes on top.
        alpha: degree of stylisation.
        weights: K weights, see `StyleTransferNet.fuse`.
        masks: K masks at the size of the cells, each (1, 1, ceil(H / s), ceil(W / s)), see `cells_of`.
        content_stats: statistics to normalise by, one pair for each mask; None takes the content's own.
        dtype: of the result: bytes, or ``float32`` for RGB in [0, 1].

    Returns:
        (N, 3, H, W), on the device of `content`.
    """
    parameter = next(net.parameters())
    height, width = content.shape[2:]
    out = torch.empty_like(content, dtype=dtype)
    stats = content_statistics(net, content, tile=tile, masks=masks) if content_stats is None else content_stats
    stride = cell_size(net)
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, content, rows, columns, parameter)
            parts = None if masks is None else [mask[..., rows.outer, columns.outer] for mask in masks]
            fused = net.fuse(features, styles, alpha=alpha, weights=weights, masks=parts, content_stats=stats)
            image = net.decoder(fused)
            top, left = (span.inner.start - span.outer.start for span in (rows, columns))
            y, x = rows.inner.start * stride, columns.inner.start * stride
            h, w = min(rows.inner.stop * stride, height) - y, min(columns.inner.stop * stride, width) - x
            image = image[..., top * stride : top * stride + h, left * stride : left * stride + w]
            image = image.float().clamp(0, 1)
            out[..., y : y + h, x : x + w] = (image * 255).round() if dtype == torch.uint8 else image
    return out


@torch.inference_mode()
def content_statistics(
    net: StyleTransferNet, content: Tensor, *, tile: int, masks: Sequence[Tensor] | None = None
) -> list[Stats]:
    """Mean and standard deviation of each channel over the whole content, one pair for each mask, tile by tile.

    Moments of the tiles are merged in float64 (Chan et al. 1979).

    Raises:
        InputError: if a mask is empty.
    """
    parameter = next(net.parameters())
    height, width = content.shape[2:]
    count = 1 if masks is None else len(masks)
    area, mean, square = [0.0] * count, [torch.zeros(1)] * count, [torch.zeros(1)] * count
    for rows in _spans(net, height, tile):
        for columns in _spans(net, width, tile):
            features = _encode(net, content, rows, columns, parameter)
            top, left = (span.inner.start - span.outer.start for span in (rows, columns))
            h, w = (span.inner.stop - span.inner.start for span in (rows, columns))
            inner = features[..., top : top + h, left : left + w].double()
            for k in range(count):
                weight = torch.ones_like(inner[:1, :1])
                if masks is not None:
                    weight = masks[k][..., rows.inner, columns.inner].to(inner)
                part = float(weight.sum())
                if not part:
                    continue
                own_mean = (inner * weight).sum((2, 3), keepdim=True) / part
                own_square = ((inner - own_mean) ** 2 * weight).sum((2, 3), keepdim=True)
                total = area[k] + part
                step = own_mean - mean[k].to(own_mean)
                mean[k] = mean[k].to(own_mean) + step * (part / total)
                square[k] = square[k].to(own_square) + own_square + step**2 * (area[k] * part / total)
                area[k] = total
    require_not_empty(all(area))
    eps = 1e-5  # that of channel_stats
    full = torch.promote_types(parameter.dtype, torch.float32)
    return [(m.to(full), (s / a + eps).sqrt().to(full)) for a, m, s in zip(area, mean, square, strict=True)]


def cell_size(net: StyleTransferNet) -> int:
    """Side of a cell of the content layer in pixels: 8 for relu4_1."""
    return int(2 ** (block_of(net.content_layer) - 1))


def encoder_radius(net: StyleTransferNet) -> int:
    """How many pixels to each side a cell may look: every 3x3 convolution and every pooling adds its stride."""
    names = conv_names(net.content_layer)
    convolutions = sum(2 ** (block_of(name) - 1) for name in names)
    poolings = sum(2**i for i in range(block_of(net.content_layer) - 1))
    return int(convolutions + poolings)


def decoder_radius(net: StyleTransferNet) -> int:
    """How many pixels to each side an output pixel may look in the fused features."""
    return int(sum(2 ** (block_of(name) - 1) for name in conv_names(net.content_layer)))


def _encode(net: StyleTransferNet, content: Tensor, rows: _Span, columns: _Span, like: Tensor) -> Tensor:
    """Features of the outer cells of a tile."""
    pixels = content[..., rows.pixels, columns.pixels].to(like.device).to(like.dtype) / 255
    features = net.encode(pixels)
    stride = cell_size(net)
    top, left = (span.outer.start - span.pixels.start // stride for span in (rows, columns))
    h, w = (span.outer.stop - span.outer.start for span in (rows, columns))
    return features[..., top : top + h, left : left + w]


def _spans(net: StyleTransferNet, length: int, tile: int) -> Iterator[_Span]:
    """The tiles along an axis of `length` pixels."""
    stride = cell_size(net)
    cells = -(-length // stride)
    step = max(1, tile // stride)
    halo = -(-decoder_radius(net) // stride)
    reach = -(-encoder_radius(net) // stride)
    for start in range(0, cells, step):
        stop = min(start + step, cells)
        if cells - stop < step // 4:  # a last sliver goes to the tile before it
            stop = cells
        outer = slice(max(start - halo, 0), min(stop + halo, cells))
        pixels = slice(max(outer.start - reach, 0) * stride, min((outer.stop + reach) * stride, length))
        yield _Span(slice(start, stop), outer, pixels)
        if stop == cells:
            return
