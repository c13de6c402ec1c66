"""Reading and writing pictures: every kind of file that COCO and WikiArt really contain."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from adain_lit.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 178_956_970
"""Default limit for one picture: twice Pillow's warning level, where Pillow itself speaks of a decompression bomb."""


class ImageReadError(InputError):
    """A file cannot be read as a picture.

    Attributes:
        path: the file.
        reason: why, in one line.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(f"cannot read {path} as a picture: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ImageReadError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as upright 8-bit RGB.

    The EXIF orientation is applied; grey, palette, CMYK and 16-bit pictures are converted, and transparency is laid
    over white. Of a file with several pictures the first is taken.

    Args:
        path: a file in any format that Pillow knows.
        max_pixels: a picture with more pixels is refused before it is decoded.

    Returns:
        A picture in mode ``RGB``.

    Raises:
        ImageReadError: if the file is missing, empty, truncated, too large or not a picture.
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
                return to_rgb(upright)
    except ImageReadError:
        raise
    except UnidentifiedImageError as error:
        size = os.path.getsize(path)
        reason = "the file is empty" if size == 0 else "no picture format that Pillow knows"
        raise ImageReadError(path, reason) from error
    except FileNotFoundError as error:
        raise ImageReadError(path, "no such file") from error
    except Exception as error:  # Pillow's plug-ins raise nearly every type on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(path, reason) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded picture of any mode to 8-bit RGB, transparency over white.

    Raises:
        ValueError: for floating-point pixels, whose range nobody knows.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; convert the file to 8 or 16 bits")
    if image.mode.startswith("I"):  # 16 bits of grey, in either byte order or widened to 32
        values = np.asarray(image).astype(np.int64)
        image = Image.fromarray((np.clip(values, 0, 65535) / 257).round().astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Size (width, height) after the shorter side is scaled to `shorter` pixels with the aspect kept."""
    scale = shorter / min(width, height)
    return max(shorter, round(width * scale)), max(shorter, round(height * scale))


def resized_crop(image: Image.Image, resize: int | None, crop: int, at: tuple[float, float]) -> Image.Image:
    """Cut a square out of the picture resized to a shorter side of `resize`, without resizing the rest.

    Equal to resizing the whole picture and cropping it, up to rounding (at most 2 of 255): the filter reads the same
    source pixels.

    Args:
        image: an RGB picture.
        resize: shorter side after resizing, in pixels; None keeps the size, but never below `crop`.
        crop: side of the square, in pixels, at most `resize`.
        at: where the square lies, (x, y) in [0, 1]: 0 is the left or upper end, 1 the right or lower end.
    """
    shorter = max(resize or min(image.size), crop)
    width, height = resized_size(*image.size, shorter)
    left, top = (min(int(f * (free + 1)), free) for f, free in zip(at, (width - crop, height - crop), strict=True))
    x_scale, y_scale = image.width / width, image.height / height
    box = (left * x_scale, top * y_scale, (left + crop) * x_scale, (top + crop) * y_scale)
    return image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB picture to a ``uint8`` tensor, shape (3, H, W)."""
    import torch  # here, so that commands which only read pictures start without it

    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def to_image(tensor: Tensor) -> Image.Image:
    """Tensor of shape (3, H, W) with values in [0, 1] to a picture; values outside are clipped."""
    array = (tensor.detach().float().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(array)


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call `write` with a temporary path beside `path`, then move the finished file into place.

    Readers see the old file or the new one, never half of it, whatever kills the process.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_image(image: Image.Image, path: str | Path) -> None:
    """Write a picture in the format of the path's suffix, never half a file."""
    write_atomically(path, image.save)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
