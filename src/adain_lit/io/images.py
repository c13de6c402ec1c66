"""Reading and writing images: every kind of file that COCO and WikiArt really contain."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 178_956_970
"""Default limit for one image: twice Pillow's warning level, where Pillow raises an error itself."""


class ImageReadError(InputError):
    """A file cannot be read as an image.

    Attributes:
        path: the file.
        reason: why, in one line.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"cannot read {path} as an image: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata of an image file that is written with its results.

    Attributes:
        icc_profile: colour profile of the RGB pixels, as Pillow writes it; None if the file has none.
        exif: camera data without the orientation, which is applied on reading; None if the file has none.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image as upright 8-bit RGB.

    The EXIF orientation is applied, grey, palette, CMYK and 16-bit images are converted, and transparency is composited
    over white. Of a file with several images the first is read.

    Args:
        path: a file in any format that Pillow knows.
        max_pixels: an image with more pixels is refused before it is decoded.

    Returns:
        An image in mode ``RGB``.

    Raises:
        ImageReadError: if the file is missing, empty, truncated, too large or not an image.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> image = read_image(STYLE_FOLDER / "mosaic-0.webp")
        >>> image.mode, image.size
        ('RGB', (480, 384))
    """
    return read_image_and_metadata(path, max_pixels=max_pixels)[0]


def read_image_and_metadata(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, ImageMetadata]:
    """Read an image as `read_image` does, and its metadata, for `write_image`.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> image, metadata = read_image_and_metadata(STYLE_FOLDER / "mosaic-0.webp")
        >>> image.size, metadata
        ((480, 384), ImageMetadata(icc_profile=None, exif=None))
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about size and metadata; the limit below decides
            with Image.open(path) as image:
                if image.width * image.height > max_pixels:
                    raise ImageReadError(
                        path, f"{image.width}x{image.height} pixels, more than the limit of {max_pixels} pixels"
                    )
                image.load()
                upright = ImageOps.exif_transpose(image)
                return to_rgb(upright), _metadata(upright)
    except ImageReadError:
        raise
    except UnidentifiedImageError as error:
        size = os.path.getsize(path)
        reason = "the file is empty" if size == 0 else "no image format that Pillow knows"
        raise ImageReadError(path, reason) from error
    except FileNotFoundError as error:
        raise ImageReadError(path, "no such file") from error
    except Exception as error:  # Pillow's plug-ins raise nearly every type on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(path, reason) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to 8-bit RGB, transparency composited over white.

    Raises:
        InputError: for floating-point pixels, whose range is unknown.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode == "F":
        raise InputError("floating-point pixels have no known range; convert the file to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits of grey, in either byte order or widened to 32
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Size (width, height) after resizing the shorter side to `shorter` pixels, aspect kept.

    Example:
        >>> resized_size(640, 480, shorter=256)
        (341, 256)
    """
    scale = shorter / min(width, height)
    return max(shorter, round(width * scale)), max(shorter, round(height * scale))


def resized_crop(image: Image.Image, resize: int | None, crop: int, at: tuple[float, float]) -> Image.Image:
    """Crop a square from the image resized to a shorter side of `resize`, without resizing the rest.

    Equal to resizing the whole image and then cropping, up to rounding (at most 2 of 255): the filter reads the same
    source pixels.

    Args:
        image: an RGB image.
        resize: shorter side after resizing, in pixels; None keeps the size, but never below `crop`.
        crop: side of the square, in pixels, at most `resize`.
        at: position of the square, (x, y) in [0, 1]: 0 is the left or upper end, 1 the right or lower end.

    Example:
        >>> resized_crop(Image.new("RGB", (640, 480)), resize=512, crop=256, at=(0.5, 0.5)).size
        (256, 256)
    """
    shorter = max(resize or min(image.size), crop)  # small images are enlarged, so that the crop fits
    width, height = resized_size(*image.size, shorter)
    # min: a position of exactly 1 would be one past the last of the free + 1 places
    left, top = (min(int(f * (free + 1)), free) for f, free in zip(at, (width - crop, height - crop), strict=True))
    x_scale, y_scale = image.width / width, image.height / height
    box = (left * x_scale, top * y_scale, (left + crop) * x_scale, (top + crop) * y_scale)
    return image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an RGB image to a ``uint8`` tensor, shape (3, H, W).

    Example:
        >>> to_tensor(Image.new("RGB", (4, 2))).shape
        torch.Size([3, 2, 4])
    """
    import torch  # here: commands that only read images start without it

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """Convert a tensor (3, H, W), bytes or floating-point values in [0, 1] (others are clipped), to an image.

    Example:
        >>> import torch
        >>> to_image(torch.full((3, 1, 1), 0.5)).getpixel((0, 0))
        (128, 128, 128)
    """
    if tensor.is_floating_point():
        tensor = (tensor.detach().float().clamp(0, 1) * 255).round().byte()
    return Image.fromarray(tensor.permute(1, 2, 0).contiguous().cpu().numpy())


def write_image(image: Image.Image, path: str | Path, metadata: ImageMetadata | None = None) -> None:
    """Write an image atomically in the format of the path's suffix.

    JPEG and WebP are written at quality 95, JPEG without chroma subsampling.

    Raises:
        InputError: if the image is too large for the format.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> write_image(Image.new("RGB", (4, 2), "red"), path)
        >>> read_image(path).getpixel((0, 0))
        (255, 0, 0)
    """
    options: dict[str, Any] = {}
    suffix = Path(path).suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        options = {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        options = {"quality": 95}
    elif suffix in (".tif", ".tiff"):
        options = {"compression": "tiff_deflate"}
    if metadata is not None and metadata.icc_profile:
        options["icc_profile"] = metadata.icc_profile
    if metadata is not None and metadata.exif and suffix in (".jpg", ".jpeg", ".png", ".webp"):
        options["exif"] = metadata.exif
    limit = {".jpg": 65_500, ".jpeg": 65_500, ".webp": 16_383}.get(suffix)
    if limit is not None and max(image.size) > limit:
        raise InputError(
            f"cannot write {path}: {image.width}x{image.height} pixels, but {suffix[1:]} allows {limit} on a side; "
            "write png or tiff"
        )
    write_atomically(path, partial(image.save, **options))


def _metadata(upright: Image.Image) -> ImageMetadata:
    """Metadata of an image that `exif_transpose` has rotated."""
    profile = upright.info.get("icc_profile") if upright.mode in ("RGB", "RGBA", "P") else None
    exif = upright.getexif()
    return ImageMetadata(profile or None, exif.tobytes() if len(exif) else None)
