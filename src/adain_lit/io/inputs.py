"""Conversion of image files, PIL images, arrays and tensors to 8-bit RGB and to masks."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.io.images import read_image_and_metadata, resize_shorter, to_tensor, upright_rgb

ImageInput = str | Path | bytes | Image.Image | NDArray[np.generic] | Tensor
"""A file or its bytes, a PIL image, an array (H, W), (H, W, 3) or (H, W, 4), or a tensor (3, H, W) or (1, 3, H, W).
Integers are in 0..255, floating-point values in 0..1, and true and false are white and black."""

OVERSHOOT = 0.2
"""How far floating-point values may lie beyond [0, 1] and are clipped: networks and resizing overshoot. Values further
out are those of another range."""

log = logging.getLogger(__name__)


def as_image(image: ImageInput, what: str = "image", *, background: str = "white") -> Image.Image:
    """Convert any kind of image to upright 8-bit RGB.

    Args:
        image: the image.
        what: what to call it in error messages.
        background: colour behind transparent pixels.

    Raises:
        InputError: if it cannot be read, or does not have the shape of an image or its range of values.

    Example:
        >>> as_image(np.zeros((2, 4), dtype=np.uint8)).size
        (4, 2)
    """
    if isinstance(image, str | Path | bytes):
        rgb, metadata = read_image_and_metadata(image, background=background)
        warn_of_frames(what if isinstance(image, bytes) else image, metadata.frames)
        return rgb
    if isinstance(image, Image.Image):
        try:
            return upright_rgb(image, background)
        except Exception as error:  # Pillow reads lazily, and raises nearly every type on a damaged file
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"cannot read the {what}: {reason}") from error
    array = _array(image, what)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        raise InputError(
            f"the {what} has the shape {tuple(image.shape)}; an array needs (H, W), (H, W, 3) or (H, W, 4), a tensor "
            "(3, H, W)"
        )
    return upright_rgb(Image.fromarray(array[..., 0] if array.shape[2] == 1 else array), background)


@lru_cache(maxsize=1000)  # once for each file
def warn_of_frames(name: str | Path, frames: int) -> None:
    """Log that only the first frame of an image is used, if it has several."""
    if frames > 1:
        log.warning("%s has %d frames; the first is used", name, frames)


def as_bytes(image: ImageInput, what: str = "image", *, size: int | None = None) -> Tensor:
    """Convert any kind of image to bytes (1, 3, H, W), its shorter side resized to `size` pixels; None keeps its size.

    Raises:
        InputError: as `as_image`, or if `size` is below 1, or enlarges the image too much (`resize_shorter`).

    Example:
        >>> as_bytes(torch.zeros(3, 480, 640), size=256).shape
        torch.Size([1, 3, 256, 341])
    """
    if size is not None and size < 1:
        raise InputError(f"the size of the {what} is {size}; it must be at least 1 pixel, or None to keep its own")
    rgb = as_image(image, what)
    name = f"the {what} {image}" if isinstance(image, str | Path) else f"the {what}"
    return to_tensor(resize_shorter(rgb, size, name)).unsqueeze(0)


def at_least(image: Tensor, side: int) -> Tensor:
    """Pad images (N, 3, H, W) at the right and lower edge, by replication, to at least `side` pixels per side.

    Example:
        >>> at_least(torch.zeros(1, 3, 4, 40), side=16).shape
        torch.Size([1, 3, 16, 40])
    """
    height, width = image.shape[2:]
    if min(height, width) >= side:
        return image
    padding = (0, max(0, side - width), 0, max(0, side - height))
    return F.pad(image.float(), padding, mode="replicate").to(image.dtype)


def as_mask(mask: ImageInput) -> Tensor:
    """Convert a mask to weights in [0, 1], (H, W): its brightness, 0 where it is transparent.

    Raises:
        InputError: as `as_image`, or if its values are 0 and 1 of 255, which are nearly black.

    Example:
        >>> as_mask(np.array([[True, False]]))
        tensor([[1., 0.]])
    """
    grey = as_image(mask, "mask", background="black").convert("L")
    if grey.getextrema() == (0, 1):
        raise InputError("the mask has the values 0 and 1 of 255, which are nearly black; give booleans, or 0 and 255")
    return torch.from_numpy(np.array(grey, dtype=np.float32)) / 255


def resized_mask(
    mask: ImageInput, size: Sequence[int], padded: Sequence[int], strides: Sequence[int]
) -> tuple[Tensor, ...]:
    """Resize a mask to the spatial positions of the content's feature maps.

    Args:
        mask: of the content's aspect, at any scale.
        size: height and width of the content.
        padded: height and width of the content with the padding for the network.
        strides: pixels per spatial position, one for each layer.

    Returns:
        For each stride the mean of the mask at each spatial position, in [0, 1],
        (1, 1, ceil(padded height / stride), ceil(padded width / stride)).

    Raises:
        InputError: if the mask has another aspect than the content.

    Example:
        >>> left = np.arange(4) < 1
        >>> resized_mask(np.stack([left] * 4), (4, 4), (4, 4), strides=(2,))
        (tensor([[[[0.5000, 0.0000],
                  [0.5000, 0.0000]]]]),)
    """
    grey = as_mask(mask)
    height, width = size
    own_height, own_width = grey.shape
    # Either side may be off by 2 % and one pixel: rounding of a thumbnail's shorter side changes its aspect.
    if (
        abs(own_width - own_height * width / height) > 0.02 * own_width + 1
        and abs(own_height - own_width * height / width) > 0.02 * own_height + 1
    ):
        raise InputError(
            f"a mask is {own_width}x{own_height} and the content {width}x{height}; a mask needs the shape of "
            "the content, at any scale"
        )
    mode = "area" if own_height > height else "nearest"
    x = F.interpolate(grey[None, None], size=tuple(size), mode=mode)
    x = F.pad(x, (0, padded[1] - width, 0, padded[0] - height), mode="replicate")
    # ceil_mode: at the lower and right edge the mean of fewer than stride x stride pixels
    return tuple(F.avg_pool2d(x, stride, ceil_mode=True) for stride in strides)


def _array(image: NDArray[np.generic] | Tensor, what: str) -> NDArray[np.uint8]:
    """Convert an array (H, W, ...) or a tensor (..., H, W) to bytes (H, W, ...)."""
    if isinstance(image, Tensor):
        x = image.detach().cpu()
        x = x.squeeze(0) if x.ndim == 4 and x.shape[0] == 1 else x
        x = x.permute(1, 2, 0) if x.ndim == 3 else x
        array = x.float().numpy() if x.is_floating_point() else x.numpy()
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise InputError(f"the {what} is a {type(image).__name__}; needed is a file, a PIL image, an array or a tensor")
    if array.dtype == bool:
        array = array.astype(np.float32)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError(f"the {what} has values that are not finite; they must lie in [0, 1]")
        if array.size and (array.min() < -OVERSHOOT or array.max() > 1 + OVERSHOOT):
            raise InputError(
                f"the {what} has floating-point values from {array.min():.4g} to {array.max():.4g}; they must lie in "
                "[0, 1]: divide 0..255 by 255, and map -1..1 by (x + 1) / 2"
            )
        array = (np.clip(array, 0, 1) * 255).round()
    elif not np.issubdtype(array.dtype, np.integer) or (array.size and (array.min() < 0 or array.max() > 255)):
        raise InputError(f"the {what} has values of type {array.dtype} that are not 0..255; scale them, or give floats")
    return np.asarray(array, dtype=np.uint8)
