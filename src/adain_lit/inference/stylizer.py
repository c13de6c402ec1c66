"""A trained network in use: images in, images out, with all runtime controls of Sec. 7.3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from adain_lit.devices import choose_device
from adain_lit.errors import InputError, counted
from adain_lit.functional.adain import features_from_stats
from adain_lit.functional.color import color_map, keep_color, recolor, unit
from adain_lit.inference.tiling import (
    LEAST_TILE,
    MOST_TILE,
    bytes_per_pixel,
    stylize_tiles,
    tile_within,
    tiled_statistics,
)
from adain_lit.io.images import to_image
from adain_lit.io.inputs import ImageInput, as_bytes, at_least, resized_mask
from adain_lit.io.memory import feature_budget
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.style_transfer import Features, normalised_weights
from adain_lit.weights.networks import load_network

COLOR_CONTROLS = ("coral", "luminance")


@dataclass(frozen=True)
class Style:
    """An encoded style image, see `Stylizer.encode_style`.

    Attributes:
        features: what the fusion needs of it, for each fused layer (1, C, h, w). For AdaIN these are two spatial
            positions with the style's mean and standard deviation (`adain_lit.functional.adain.style_statistics`).
        image: the image as bytes, shape (1, 3, H, W), for ``preserve_color="coral"``; None if it was not kept.
    """

    features: Features = field(repr=False)
    image: Tensor | None = field(repr=False)


@dataclass(frozen=True)
class Content:
    """Encoded content images of one size, see `Stylizer.encode_content`.

    Attributes:
        features: f(c), for each fused layer (N, C, h, w); None for images that are processed in tiles.
        image: the images as bytes, shape (N, 3, H, W).
        tile: side of the tiles in pixels; 0 for images in one piece.
    """

    features: Features | None = field(repr=False)
    image: Tensor = field(repr=False)
    tile: int


def load(
    source: str | Path = "compact",
    *,
    encoder: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    memory: int | None = None,
) -> Stylizer:
    """Load a trained network.

    Args:
        source: ``compact``, the network that comes with the package; the folder of a training run; or a .ckpt,
            .safetensors or decoder.pth file, see `adain_lit.weights.load_network`.
        encoder: encoder weights, if the file has none.
        device: see `Stylizer`.
        dtype: see `Stylizer`.
        memory: see `Stylizer`.

    Raises:
        InputError: if the network or the encoder cannot be read.

    Example:
        >>> import adain_lit
        >>> adain_lit.load(device="cpu")
        Stylizer(fusion=adain, layers=relu4_1+relu3_1+relu2_1+relu1_1, device=cpu, dtype=float32)
    """
    return Stylizer(load_network(source, encoder=encoder), device=device, dtype=dtype, memory=memory)


class Stylizer:
    """Stylises images of any kind and size with a trained network.

    Images are files, PIL images, arrays or tensors, see `adain_lit.io.inputs.ImageInput`.

    Args:
        net: a trained network.
        device: where it runs; None prefers CUDA, then MPS, then the CPU.
        dtype: of weights and features; None is float32. Statistics are computed in float32 in any case.
        memory: bytes for the features of an image; larger images are processed in tiles, within it. None is a
            quarter of what is free when an image comes, at most `adain_lit.io.memory.MOST_BUDGET` on a CPU.

    Example:
        >>> from PIL import Image
        >>> content, style = Image.new("RGB", (96, 64), "teal"), Image.new("RGB", (64, 64), "orange")
        >>> stylizer = load(device="cpu")
        >>> stylizer(content, style, alpha=0.8).size
        (96, 64)
        >>> encoded = stylizer.encode_style(style)
        >>> stylizer.tensor(content, [encoded, content], weights=[3, 1], size=32).shape
        torch.Size([3, 32, 48])
    """

    def __init__(
        self,
        net: StyleTransferNet,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        memory: int | None = None,
    ) -> None:
        self.memory = memory
        self.dtype = dtype or torch.float32
        self.device = choose_device(device)
        self.net = net.eval().to(self.device, self.dtype).to(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        layers, dtype = "+".join(self.net.fused_layers), str(self.dtype).removeprefix("torch.")
        return f"Stylizer(fusion={self.net.config.fusion}, layers={layers}, device={self.device}, dtype={dtype})"

    @torch.inference_mode()
    def encode_style(self, style: ImageInput, *, size: int | None = 512, keep_image: bool = True) -> Style:
        """Encode a style image once, for any number of contents.

        Args:
            style: the image.
            size: shorter side in pixels to scale it to; None keeps its size. The larger it is, the coarser the strokes.
            keep_image: whether to keep the scaled image as well (3 bytes per pixel), for ``preserve_color="coral"``.
                Without it, a style takes a few kilobytes with AdaIN.

        Raises:
            InputError: if the image cannot be read.
        """
        image = as_bytes(style, "style", size=size)
        return Style(self._style_features(image), image if keep_image else None)

    @torch.inference_mode()
    def encode_content(
        self, content: ImageInput | Sequence[ImageInput], *, size: int | None = None, tile: int | None = None
    ) -> Content:
        """Encode a content image once, for any number of styles.

        Args:
            content: the image, or several of one size (after scaling) to process as a batch.
            size: shorter side in pixels to scale it to; None keeps its size.
            tile: see `__call__`. Tiled images are not encoded here but tile by tile when they are stylised.

        Raises:
            InputError: if an image cannot be read, or if sizes differ.
        """
        images: Sequence[Any] = content if isinstance(content, list | tuple) else [content]
        tensors = [as_bytes(image, "content", size=size) for image in images]
        if len({tensor.shape for tensor in tensors}) != 1:
            raise InputError(
                f"{counted(len(tensors), 'content')} cannot form a batch; give at least one, and all of one size"
            )
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
            content: the image, or the result of `encode_content`.
            style: a style image or the result of `encode_style`, or K of them.
            alpha: degree of stylisation (Eq. 14): 0 is the content, 1 the style; above 1 the style is exaggerated.
            weights: weights of the K styles (Eq. 15), divided by their sum; None is equal weights.
            masks: a greyscale image for each style, in the content's aspect ratio: the style applies where it is white
                (spatial control). Overlapping styles are mixed; the content remains where all masks are black.
            preserve_color: ``coral`` matches the style's colours to the content's first (as in the paper);
                ``luminance`` takes only the luminance of the result; None takes the style's colours.
            size: shorter side in pixels to scale the content to; None keeps its size. Not for a `Content`.
            style_size: shorter side in pixels to scale styles to; None keeps their size. Ignored for a `Style`.
            tile: side in pixels of the tiles in which large images are processed, which does not change the result;
                None decides by the memory, 0 never tiles. Not for a `Content`.

        Returns:
            The stylised image, of the content's (scaled) size.

        Raises:
            InputError: if an image cannot be read, or if controls do not fit together.
        """
        controls = {"alpha": alpha, "weights": weights, "masks": masks, "preserve_color": preserve_color}
        sizes = {"size": size, "style_size": style_size, "tile": tile}
        return self.many(content, style, **controls, **sizes)[0]

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
        """Check controls for `count` styles before any image is read; they are those of `__call__`.

        Raises:
            InputError: if they do not fit together.
        """
        normalised_weights(count, weights)
        if not math.isfinite(alpha) or alpha < 0:
            raise InputError(f"alpha is {alpha}; it must be from 0 (content) to 1 (style), or slightly more")
        if masks is not None and len(masks) != count:
            raise InputError(
                f"{counted(count, 'style')} but {counted(len(masks), 'mask')}; give one mask for each style"
            )
        if preserve_color not in (None, *COLOR_CONTROLS):
            raise InputError(
                f"preserve_color is {preserve_color!r}; it must be one of {', '.join(COLOR_CONTROLS)}, or None"
            )
        if tile and not self.net.tileable:
            kind = f"fusion {self.net.config.fusion} and norm {self.net.config.norm}"
            raise InputError(f"a network with {kind} cannot be tiled; set tile to 0")
        if tile and tile < LEAST_TILE:
            raise InputError(f"tile is {tile} pixels; it must be at least {LEAST_TILE}, or 0")

    def many(
        self, content: ImageInput | Content, style: ImageInput | Style | Sequence[ImageInput | Style], **controls: Any
    ) -> list[Image.Image]:
        """Stylise each image of a `Content` that holds several; controls as in `__call__`."""
        return [to_image(image) for image in self._stylize(content, style, torch.uint8, **controls)]

    def tensor(
        self, content: ImageInput | Content, style: ImageInput | Style | Sequence[ImageInput | Style], **controls: Any
    ) -> Tensor:
        """Stylise an image to a tensor (3, H, W), RGB in [0, 1] in float32 on the CPU; controls as in `__call__`."""
        return self._stylize(content, style, torch.float32, **controls)[0]

    @torch.inference_mode()
    def _stylize(
        self,
        content: ImageInput | Content,
        style: ImageInput | Style | Sequence[ImageInput | Style],
        dtype: torch.dtype,
        *,
        preserve_color: str | None = None,
        size: int | None = None,
        style_size: int | None = 512,
        tile: int | None = None,
        **controls: Any,
    ) -> Tensor:
        """Images (N, 3, H, W) in [0, 1] in float32; bytes if `dtype` is ``uint8`` and the images were tiled."""
        given: Sequence[Any] = style if isinstance(style, list | tuple) else [style]
        self.check(len(given), preserve_color=preserve_color, tile=tile, **controls)
        styles = [x if isinstance(x, Style) else self.encode_style(x, size=style_size) for x in given]
        if not isinstance(content, Content):
            content = self.encode_content(content, size=size, tile=tile)
        elif size is not None or tile is not None:
            raise InputError("the content is already encoded; give size and tile to encode_content")
        image, count = content.image, len(content.image)
        features = [tuple(x.expand(count, -1, -1, -1) for x in s.features) for s in styles]
        if preserve_color == "coral":
            features = [self._recolored(s, image) for s in styles]
        padded = self._padded(image)
        controls |= {"masks": self._resized(controls.get("masks"), image)}
        if content.features is None:
            result = stylize_tiles(self.net, padded, features, tile=content.tile, dtype=dtype, **controls)
        else:
            fused = self.net.fuse(content.features, features, **controls)
            result = self.net.decode(fused, padded.shape[2:]).float().clamp(0, 1).cpu()
        result = result[..., : image.shape[2], : image.shape[3]]
        if preserve_color == "luminance":
            # strip by strip and in place, for images that fill the memory
            for stylized, own in zip(*(torch.split(x, MOST_TILE, 2) for x in (result, image)), strict=True):
                kept = keep_color(unit(stylized), unit(own)).clamp(0, 1)
                stylized.copy_(kept if stylized.is_floating_point() else (kept * 255).round())
        return result

    def _style_features(self, image: Tensor, prepare: Callable[[Tensor], Tensor] = unit) -> Features:
        """What the fusion needs of style images, bytes (N, 3, H, W) that `prepare` converts to RGB in [0, 1]."""
        padded = self._padded(image)
        reduce = self.net.fusion.style_statistics
        if self.net.fusion.tileable and (tile := self._fitting_tile(padded)):
            (stats,) = tiled_statistics(self.net, padded, tile=tile, eps=0.0, prepare=prepare)
            return tuple(features_from_stats(*layer) for layer in stats)
        features = self.net.encode(self._scaled(prepare(padded)))
        return features if reduce is None else tuple(reduce(x) for x in features)

    def _recolored(self, style: Style, content: Tensor) -> Features:
        """The style in the colours of each content, bytes (N, 3, H, W)."""
        if style.image is None:
            raise InputError("the style was encoded without its image, which coral needs; give keep_image=True")
        image = style.image.expand(len(content), -1, -1, -1)
        colors = color_map(image, content)
        return self._style_features(image, lambda part: recolor(unit(part), *colors).clamp(0, 1))

    def _padded(self, image: Tensor) -> Tensor:
        return at_least(image, self.net.encoder.min_size)

    def _scaled(self, image: Tensor) -> Tensor:
        """Images as RGB in [0, 1] on the network's device, in its type and memory format."""
        x = unit(image.to(self.device)).to(self.dtype)
        return x.contiguous(memory_format=torch.channels_last)

    def _resized(self, masks: Sequence[ImageInput] | None, image: Tensor) -> list[Features] | None:
        """Each mask at the resolution of each fused layer."""
        if masks is None:
            return None
        padded = self._padded(image).shape[2:]
        resized = [resized_mask(mask, image.shape[2:], padded, self.net.strides) for mask in masks]
        return [tuple(x.to(self.device, self.dtype) for x in layers) for layers in resized]

    def _tile(self, tile: int | None, image: Tensor) -> int:
        """Side of the tiles in pixels, 0 for one piece."""
        if tile is not None:
            return tile
        return self._fitting_tile(image) if self.net.tileable else 0

    def _fitting_tile(self, image: Tensor) -> int:
        """Side of the largest tiles of images (N, 3, H, W) that the memory allows, 0 if all of it fits."""
        if self.memory is not None:
            memory = self.memory
        elif self.device.type == "cuda":
            memory = torch.cuda.mem_get_info(self.device)[0] // 4
        else:
            memory = feature_budget()
        count, _, height, width = image.shape
        fits = count * height * width * bytes_per_pixel(self.net) <= memory
        # a third: free memory that is kept, and its gaps between tiles of different sizes, take up to twice as much
        return 0 if fits and height * width <= 4 * MOST_TILE**2 else tile_within(self.net, memory // 3, count)
