"""A trained network for use: images in, images out, with every control that the paper has at run time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from adain_lit.devices import choose_device
from adain_lit.errors import InputError
from adain_lit.functional.adain import channel_stats, features_from_stats
from adain_lit.functional.color import color_map, keep_color, recolor, unit
from adain_lit.inference.tiling import LEAST_TILE, stylize_tiles, tiled_statistics
from adain_lit.io.images import to_image
from adain_lit.io.inputs import ImageInput, as_bytes, at_least, mask_cells
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Features, Stats, shares_of
from adain_lit.weights.networks import load_network

AUTO_TILE = 1024
"""Side of a tile in pixels where the tiling is left to the stylizer, for images of more than four such tiles."""

COLOR_CONTROLS = ("coral", "luminance")


@dataclass(frozen=True)
class Style:
    """A style that was encoded once.

    Attributes:
        features: what the fusion needs of it, for each fused layer (1, C, h, w): two cells for AdaIN.
        image: the image, (1, 3, H, W) in ``uint8``, which ``preserve_color="coral"`` goes back to; None where it was
            not to be kept.
    """

    features: Features
    image: Tensor | None


@dataclass(frozen=True)
class Content:
    """Content images of one size that were encoded once, to be given many styles.

    Attributes:
        features: f(c), for each fused layer (N, C, h, w); None for images that go through the network in tiles.
        image: the images, (N, 3, H, W) in ``uint8``.
        tile: side of the tiles in pixels, 0 for images in one piece.
    """

    features: Features | None
    image: Tensor
    tile: int


def load(source: str | Path = "compact", *, encoder: str | Path | None = None, **options: object) -> Stylizer:
    """A trained network, ready for use.

    Args:
        source: ``compact``, which comes with the package, or a file as `load_network` takes it.
        encoder: encoder weights, where the file has none, see `load_network`.
        options: ``device`` and ``dtype`` of the `Stylizer`.
    """
    return Stylizer(load_network(source, encoder=encoder), **options)  # type: ignore[arg-type]


class Stylizer:
    """Gives images the style of other images.

    Args:
        net: a trained network.
        device: where it runs; None takes a CUDA device, then Apple's, then the CPU.
        dtype: of weights and features; None is float32 (statistics are taken in float32 in any case).
    """

    def __init__(
        self, net: StyleTransferNet, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
    ) -> None:
        self.dtype = dtype or torch.float32
        self.device = choose_device(device)
        self.net = net.eval().to(self.device, self.dtype).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode_style(self, style: ImageInput, *, size: int | None = 512, keep_image: bool = True) -> Style:
        """Encode a style once, for any number of contents.

        Args:
            style: the image.
            size: shorter side in pixels that it is scaled to; None keeps its own. Larger finds coarser strokes.
            keep_image: keep the scaled image too, 3 bytes a pixel, for ``preserve_color="coral"``. Without it a
                style of AdaIN takes some kilobytes.
        """
        image = as_bytes(style, "style", size=size)
        return Style(self._style_features(image), image if keep_image else None)

    @torch.inference_mode()
    def encode_content(
        self, content: ImageInput | Sequence[ImageInput], *, size: int | None = None, tile: int | None = None
    ) -> Content:
        """Encode a content image once, for any number of styles.

        Args:
            content: the image, or several that have one size (after scaling) and are to go together.
            size: shorter side in pixels that it is scaled to; None keeps its own.
            tile: see `__call__`; what is tiled is not encoded ahead.
        """
        images: Sequence[Any] = content if isinstance(content, list | tuple) else [content]
        tensors = [as_bytes(image, "content", size=size) for image in images]
        if len({tensor.shape for tensor in tensors}) != 1:
            raise InputError(f"{len(tensors)} contents cannot go together; give at least one, and all of one size")
        batch = torch.cat(tensors)
        padded = self._padded(batch)
        side = self._tile(tile, padded)
        return Content(None if side else self.net.encode(self._scaled(padded)), batch, side)

    def __call__(
        self,
        content: ImageInput | Content,
        style: ImageInput | Style | Sequence[ImageInput | Style],
        *,
        alpha: float = 1.0,
        weights: Sequence[float] | None = None,
        masks: Sequence[ImageInput] | None = None,
        preserve_color: str | None = None,
        size: int | None = None,
        style_size: int | None = 512,
        tile: int | None = None,
    ) -> Image.Image:
        """Stylise an image.

        Args:
            content: the image, or one that `encode_content` encoded.
            style: one image or style, or K of them.
            alpha: degree of stylisation (Eq. 14): 0 is the content, 1 the style; beyond 1 it exaggerates.
            weights: weights of the K styles (Eq. 15), divided by their sum; None weighs all alike.
            masks: a region for each style, grey images of the content's shape: white takes the style, grey in part.
                Where several overlap the styles share, where none is the content stays.
            preserve_color: ``coral`` gives the style the content's colours first (as the paper does), ``luminance``
                takes only the brightness of the result; None takes the style's colours.
            size: shorter side in pixels that the content is scaled to; None keeps its size. Not for a `Content`.
            style_size: shorter side in pixels that styles are scaled to; None keeps their size. Not for a `Style`.
            tile: side in pixels of the tiles of large images, whose result is the same; None chooses, 0 never tiles.
                Not for a `Content`.

        Returns:
            An image of the content's (scaled) size.

        Raises:
            InputError: for images that cannot be read, and for controls that do not fit.
        """
        controls = {"alpha": alpha, "weights": weights, "masks": masks, "preserve_color": preserve_color}
        sizes = {"size": size, "style_size": style_size, "tile": tile}
        return self.many(content, style, **controls, **sizes)[0]

    @torch.inference_mode()
    def statistics(self, content: Content, masks: Sequence[ImageInput] | None = None) -> list[Stats]:
        """Mean and standard deviation of a content's channels at each fused layer, for each mask, or once.

        Handed back to `many` or `tensor` as ``content_stats``, for instance mixed with those of earlier frames.
        """
        cells = self._cells(masks, content.image)
        if content.features is None:
            return tiled_statistics(self.net, self._padded(content.image), tile=content.tile, masks=cells)
        regions = [(None,) * len(content.features)] if cells is None else cells
        layers = [zip(content.features, region, strict=True) for region in regions]
        return [tuple(channel_stats(x, mask) for x, mask in layer) for layer in layers]

    def check(
        self,
        count: int,
        *,
        alpha: float = 1.0,
        weights: Sequence[float] | None = None,
        masks: Sequence[ImageInput] | None = None,
        preserve_color: str | None = None,
        tile: int | None = None,
    ) -> None:
        """Hold controls against each other for `count` styles, before any image is read.

        Raises:
            InputError: if they do not fit.
        """
        shares_of(count, weights)
        if not math.isfinite(alpha) or alpha < 0:
            raise InputError(f"alpha is {alpha}; it must be 0 (content) to 1 (style), or somewhat more")
        if masks is not None and len(masks) != count:
            raise InputError(f"{count} styles but {len(masks)} masks; give one mask for each style")
        if preserve_color not in (None, *COLOR_CONTROLS):
            raise InputError(f"unknown colour control {preserve_color!r}; known are {', '.join(COLOR_CONTROLS)}")
        if tile and not self.net.tileable:
            kind = f"fusion {self.net.fusion_name} and norm {self.net.norm}"
            raise InputError(f"a network with {kind} cannot work in tiles; set tile to 0")
        if tile and tile < LEAST_TILE:
            raise InputError(f"tile is {tile} pixels; it must be at least {LEAST_TILE}, or 0")

    def many(
        self, content: ImageInput | Content, style: ImageInput | Style | Sequence[ImageInput | Style], **controls: Any
    ) -> list[Image.Image]:
        """All images of a `Content` that holds several, with one style; controls as for a call."""
        return [to_image(image) for image in self._stylize(content, style, torch.uint8, **controls)]

    def tensor(
        self, content: ImageInput | Content, style: ImageInput | Style | Sequence[ImageInput | Style], **controls: Any
    ) -> Tensor:
        """The same as a tensor (3, H, W), RGB in [0, 1] in float32 on the CPU; controls as for a call."""
        return self._stylize(content, style, torch.float32, **controls)[0]

    @torch.inference_mode()
    def _stylize(
        self,
        content: ImageInput | Content,
        style: ImageInput | Style | Sequence[ImageInput | Style],
        dtype: torch.dtype,
        *,
        alpha: float = 1.0,
        weights: Sequence[float] | None = None,
        masks: Sequence[ImageInput] | None = None,
        preserve_color: str | None = None,
        size: int | None = None,
        style_size: int | None = 512,
        tile: int | None = None,
        content_stats: Sequence[Stats] | None = None,
    ) -> Tensor:
        """(N, 3, H, W), bytes or float32 in [0, 1]; floats may come where bytes would do."""
        given: Sequence[Any] = style if isinstance(style, list | tuple) else [style]
        self.check(len(given), alpha=alpha, weights=weights, masks=masks, preserve_color=preserve_color, tile=tile)
        styles = [x if isinstance(x, Style) else self.encode_style(x, size=style_size) for x in given]
        if not isinstance(content, Content):
            content = self.encode_content(content, size=size, tile=tile)
        elif size is not None or tile is not None:
            raise InputError("the content is encoded already; give size and tile to encode_content")
        image, count = content.image, len(content.image)
        features = [tuple(x.expand(count, -1, -1, -1) for x in s.features) for s in styles]
        if preserve_color == "coral":
            features = [self._recolored(s, image) for s in styles]
        padded = self._padded(image)
        cells = self._cells(masks, image)
        controls: dict[str, Any] = {"alpha": alpha, "weights": weights, "masks": cells, "content_stats": content_stats}
        if content.features is None:
            result = stylize_tiles(self.net, padded, features, tile=content.tile, dtype=dtype, **controls)
        else:
            fused = self.net.fuse(content.features, features, **controls)
            result = self.net.decode(fused, padded.shape[2:]).float().clamp(0, 1).cpu()
        result = result[..., : image.shape[2], : image.shape[3]]
        if preserve_color == "luminance":
            for made, own in zip(*(torch.split(x, AUTO_TILE, 2) for x in (result, image)), strict=True):
                kept = keep_color(unit(made), unit(own)).clamp(0, 1)
                made.copy_(kept if made.is_floating_point() else (kept * 255).round())
        return result

    def _style_features(self, image: Tensor, prepare: Callable[[Tensor], Tensor] = unit) -> Features:
        """What the fusion needs of style images (N, 3, H, W) in bytes, which `prepare` makes RGB in [0, 1] of."""
        padded = self._padded(image)
        reduce = self.net.fusion.style_statistics
        if _large(padded) and self.net.fusion.tileable:
            (stats,) = tiled_statistics(self.net, padded, tile=AUTO_TILE, eps=0.0, prepare=prepare)
            return tuple(features_from_stats(*layer) for layer in stats)
        features = self.net.encode(self._scaled(prepare(padded)))
        return features if reduce is None else tuple(reduce(x) for x in features)

    def _recolored(self, style: Style, content: Tensor) -> Features:
        """The style in the colours of each content (N, 3, H, W) in bytes."""
        if style.image is None:
            raise InputError("the style was encoded without its image, which coral needs; set keep_image")
        image = style.image.expand(len(content), -1, -1, -1)
        colors = color_map(image, content)
        return self._style_features(image, lambda part: recolor(unit(part), *colors).clamp(0, 1))

    def _padded(self, image: Tensor) -> Tensor:
        return at_least(image, self.net.encoder.min_size)

    def _scaled(self, image: Tensor) -> Tensor:
        """Images as RGB in [0, 1] on the network's device."""
        x = unit(image.to(self.device)).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def _cells(self, masks: Sequence[ImageInput] | None, image: Tensor) -> list[Features] | None:
        if masks is None:
            return None
        padded = self._padded(image).shape[2:]
        cells = [mask_cells(mask, image.shape[2:], padded, self.net.strides) for mask in masks]
        return [tuple(x.to(self.device, self.dtype) for x in layers) for layers in cells]

    def _tile(self, tile: int | None, image: Tensor) -> int:
        """Side of the tiles, 0 for one piece."""
        if tile is not None:
            return tile
        return AUTO_TILE if _large(image) and self.net.tileable else 0


def _large(image: Tensor) -> bool:
    """Whether images are better taken in tiles."""
    return image.shape[2] * image.shape[3] > 4 * AUTO_TILE**2
