"""Reading and writing images: every kind of file that COCO and WikiArt really contain."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from adain_lit.errors import InputError
from adain_lit.io.files import irregular_kind, write_atomically
from adain_lit.io.formats import (
    IMAGE_FORMATS,
    camera_data,
    decoding_bytes,
    full_scale,
    load,
    loaded_frames,
    upright_turn,
    without_metadata,
)
from adain_lit.io.memory import DECODE_BYTES, DECODING

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

MAX_PIXELS = 178_956_970
"""Default limit for one image: twice Pillow's warning level, where Pillow raises an error itself."""
BAND = 2**18
"""Pixels that are converted to RGB at a time, so that no second copy of a large image is made on the way."""


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


class Drafted(NamedTuple):
    """An image that was decoded at a fraction of its size.

    Attributes:
        size: width and height of the upright image in the file.
        box: left, upper, right and lower end of that image in the decoded pixels, whose last ones may be wider.
    """

    size: tuple[int, int]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class ImageMetadata:
    """What an image file holds besides the RGB pixels of its first frame.

    Attributes:
        icc_profile: colour profile of the RGB pixels, as Pillow writes it; None if the file has none.
        exif: camera data without the orientation, which is applied on reading; None if there is none that can be read.
        alpha: opacity of each pixel, in mode ``L``; None if the image is opaque, or if it was not asked for.
        frames: number of frames or pages of the file.
        drafted: what the pixels are of the upright image in the file; None if they are all of it.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    alpha: Image.Image | None = None
    frames: int = 1
    drafted: Drafted | None = None


def read_image(
    source: str | Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = DECODE_BYTES,
    background: str = "white",
) -> Image.Image:
    """Read an image as upright 8-bit RGB.

    The EXIF orientation is applied, grey, palette, CMYK and 16-bit images are converted, and transparency is composited
    over `background`. Of a file with several images the first is read. Metadata that cannot be read are left out.

    Args:
        source: a file in one of `adain_lit.io.formats.IMAGE_FORMATS`, or the bytes of one.
        max_pixels: an image with more pixels is refused before it is decoded.
        max_bytes: so is one whose decoding takes more memory, in bytes. Threads that read at the same time wait for
            each other where they would take more than `DECODE_BYTES` together.
        background: colour behind transparent pixels.

    Returns:
        An image in mode ``RGB``.

    Raises:
        ImageReadError: if the file is missing, empty, truncated, too large, not a regular file or not an image.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> image = read_image(STYLE_FOLDER / "mosaic-0.webp")
        >>> image.mode, image.size
        ('RGB', (480, 384))
    """
    return read_image_and_metadata(source, max_pixels=max_pixels, max_bytes=max_bytes, background=background)[0]


def read_image_and_metadata(
    source: str | Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = DECODE_BYTES,
    background: str = "white",
    keep_alpha: bool = False,
    shorter: int | None = None,
) -> tuple[Image.Image, ImageMetadata]:
    """Read an image as `read_image` does, and its metadata, for `write_image`; its alpha with `keep_alpha`.

    With `shorter`, a JPEG of at least twice that shorter side in pixels is decoded at a half, a quarter or an eighth of
    its size, as small as that allows: by fewer coefficients of its blocks, which takes a fraction of the time.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> image, metadata = read_image_and_metadata(STYLE_FOLDER / "mosaic-0.webp")
        >>> image.size, metadata.exif, metadata.frames
        ((480, 384), None, 1)
    """
    name = "the bytes" if isinstance(source, bytes) else source

    def decode(file: str | Path | BytesIO) -> tuple[Image.Image, ImageMetadata]:
        with Image.open(file, formats=IMAGE_FORMATS) as image:
            needed = decoding_bytes(image)
            if image.width * image.height > max_pixels:
                raise ImageReadError(
                    name, f"{image.width}x{image.height} pixels, more than the limit of {max_pixels} pixels"
                )
            if needed > max_bytes:
                raise ImageReadError(
                    name,
                    f"{image.width}x{image.height} pixels of {image.format} take {needed / 1e9:.1f} GB of memory to "
                    f"decode, more than the limit of {max_bytes / 1e9:.1f} GB",
                )
            full = image.size
            if shorter is not None:
                image.draft(image.mode, (shorter, shorter))  # nothing but JPEG has this
            with DECODING.reserve(needed):
                return _upright_and_metadata(image, background, keep_alpha, full)

    if kind := None if isinstance(source, bytes) else irregular_kind(source):
        raise ImageReadError(name, f"it is {kind}, not a regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's warnings about size and metadata; the limits above decide
            try:
                return decode(BytesIO(source) if isinstance(source, bytes) else source)
            except (ImageReadError, MemoryError):
                raise
            except Exception as error:  # Pillow's plug-ins raise nearly every type on a damaged file
                unreadable = isinstance(error, OSError) and error.errno is not None
                pixels = None if unreadable else without_metadata(source)
                if pixels is None:
                    raise
                return decode(BytesIO(pixels))
    except ImageReadError:
        raise
    except UnidentifiedImageError as error:
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        reason = "the file is empty" if size == 0 else "no image in a format that is read"
        raise ImageReadError(name, reason) from error
    except FileNotFoundError as error:
        raise ImageReadError(name, "no such file") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(name, reason) from error


def frame_count(path: str | Path) -> int:
    """Number of frames or pages of an image file; 1 for one that cannot be read.

    Frames are those of an animated GIF, WebP, AVIF or PNG, pages those of a TIFF. The previews in a camera's JPEG do
    not count. Frames are not decoded.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "blinking.gif"
        >>> frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
        >>> frames[0].save(path, save_all=True, append_images=frames[1:])
        >>> frame_count(path)
        2
    """
    return _header(path, loaded_frames, 1)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height by the header of an image file, not set upright; 0 and 0 for one that cannot be read.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> image_size(STYLE_FOLDER / "mosaic-0.webp")
        (480, 384)
    """
    return _header(path, lambda image: image.size, (0, 0))


def upright_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """Convert an image of any mode to upright 8-bit RGB, as `read_image` does with a file.

    Raises:
        InputError: for floating-point pixels, whose range is unknown.

    Example:
        >>> image = Image.new("RGB", (4, 2))
        >>> image.getexif()[274] = 6
        >>> upright_rgb(image).size
        (2, 4)
    """
    load(image)
    turn = upright_turn(image)
    rgb = to_rgb(image, background)
    return _without_exif(rgb if turn is None else rgb.transpose(turn))


def to_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """Convert a loaded image of any mode to 8-bit RGB, transparency composited over `background`.

    Raises:
        InputError: for floating-point pixels, whose range is unknown.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode == "F":
        raise InputError("floating-point pixels have no known range; convert the file to 8 or 16 bits")
    if image.mode == "RGB" and not image.has_transparency_data:
        return image.copy()
    rgb, white = Image.new("RGB", image.size), full_scale(image)
    for corner, band in _bands(image):
        color, alpha = _color_and_alpha(band, white)
        if alpha is not None:
            color = color.convert("RGBA")
            color.putalpha(alpha)
            color = Image.alpha_composite(Image.new("RGBA", color.size, background), color)
        rgb.paste(color.convert("RGB"), corner)
    rgb.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return rgb


def opacity(image: Image.Image) -> Image.Image | None:
    """The alpha of a loaded image in mode ``L``, 0 where it is transparent; None if it is opaque.

    Example:
        >>> opacity(Image.new("RGBA", (1, 1), (255, 0, 0, 128))).getpixel((0, 0))
        128
    """
    if not image.has_transparency_data:
        return None
    alpha, white = Image.new("L", image.size), full_scale(image)
    for corner, band in _bands(image):
        if (part := _color_and_alpha(band, white)[1]) is not None:
            alpha.paste(part, corner)
    return None if alpha.getextrema() == (255, 255) else alpha


def _header(path: str | Path, read: Callable[[Image.Image], T], otherwise: T) -> T:
    """What `read` finds in an image that is opened, and not decoded."""
    if irregular_kind(path):
        return otherwise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                return read(image)
    except Exception:  # reading the image says what is wrong
        return otherwise


def _upright_and_metadata(
    image: Image.Image, background: str, keep_alpha: bool, full: tuple[int, int]
) -> tuple[Image.Image, ImageMetadata]:
    stored = image.size
    load(image)
    turn, rgb = upright_turn(image), to_rgb(image, background)
    alpha = opacity(image) if keep_alpha else None
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    exif, frames = camera_data(image), loaded_frames(image)
    image.close()  # before the copies that turning makes
    if turn is not None:
        rgb, alpha = rgb.transpose(turn), alpha and alpha.transpose(turn)
    drafted = None if stored == full else _drafted(full, stored, turn)
    return _without_exif(rgb), ImageMetadata(profile or None, exif, alpha, frames, drafted)


def _drafted(full: tuple[int, int], stored: tuple[int, int], turn: Image.Transpose | None) -> Drafted:
    """Where an image of size `full` lies in its decoded pixels of size `stored`, after both were turned."""
    fraction = min((1 / 2, 1 / 4, 1 / 8), key=lambda part: abs(full[0] * part - stored[0]))
    ends = [[0.0, length * fraction] for length in full]
    lengths, turns = list(stored), Image.Transpose
    if turn in (turns.ROTATE_90, turns.ROTATE_270, turns.TRANSPOSE, turns.TRANSVERSE):
        ends, lengths, full = ends[::-1], lengths[::-1], (full[1], full[0])
    across = turn in (turns.FLIP_LEFT_RIGHT, turns.ROTATE_180, turns.ROTATE_270, turns.TRANSVERSE)
    down = turn in (turns.FLIP_TOP_BOTTOM, turns.ROTATE_180, turns.ROTATE_90, turns.TRANSVERSE)
    for axis in [axis for axis, flipped in enumerate((across, down)) if flipped]:
        ends[axis] = [lengths[axis] - end for end in ends[axis][::-1]]
    (left, right), (upper, lower) = ends
    return Drafted(full, (left, upper, right, lower))


def _without_exif(image: Image.Image) -> Image.Image:
    """The image without the metadata that would turn it once more."""
    for key in ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"):
        image.info.pop(key, None)
    return image


def _bands(image: Image.Image) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """Horizontal bands of an image, each with the position of its upper left corner."""
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        yield (0, top), image.crop((0, top, image.width, min(top + rows, image.height)))


def _color_and_alpha(image: Image.Image, white: int) -> tuple[Image.Image, Image.Image | None]:
    """An image in 8 bits per channel, and its alpha in mode ``L`` if it has one; `white` is for 16 bits of grey."""
    key = image.info.get("transparency")
    if image.mode.startswith("I"):  # 16 bits of grey, in either byte order or widened to 32
        values = np.asarray(image).astype(np.int64)
        grey = Image.fromarray((np.clip(values, 0, white) / (white / 255)).round().astype(np.uint8))
        return grey, None if key is None else Image.fromarray((values != key).astype(np.uint8) * 255)
    if (
        image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255
    ):  # of 16 bits, of which Pillow keeps the upper 8
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if not image.has_transparency_data:
        return image, None
    rgba = image.convert("RGBA")
    return rgba, rgba.getchannel("A")


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Size (width, height) after resizing the shorter side to `shorter` pixels, aspect kept.

    Example:
        >>> resized_size(640, 480, shorter=256)
        (341, 256)
    """
    scale = shorter / min(width, height)
    return max(shorter, round(width * scale)), max(shorter, round(height * scale))


def resize_shorter(image: Image.Image, size: int | None, name: str = "the image") -> Image.Image:
    """Resize an image to a shorter side of `size` pixels; None keeps its size.

    Raises:
        InputError: if that enlarges it to more than `MAX_PIXELS` pixels; it begins with `name`.

    Example:
        >>> resize_shorter(Image.new("RGB", (640, 480)), 256).size
        (341, 256)
    """
    if size is None or size == min(image.size):
        return image
    scaled = resized_size(*image.size, size)
    if scaled[0] * scaled[1] > max(MAX_PIXELS, image.width * image.height):
        raise InputError(
            f"{name} has {image.width}x{image.height} pixels, which would be {scaled[0]}x{scaled[1]} with a shorter "
            f"side of {size}, more than {MAX_PIXELS} pixels; crop it, or give a smaller size"
        )
    return image.resize(scaled, Image.Resampling.LANCZOS)


def central_square(image: Image.Image, metadata: ImageMetadata) -> tuple[Image.Image, ImageMetadata]:
    """Crop an image and its alpha to the central square.

    Example:
        >>> central_square(Image.new("RGB", (640, 480)), ImageMetadata())[0].size
        (480, 480)
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.crop(box), replace(metadata, alpha=metadata.alpha and metadata.alpha.crop(box))


def resized_crop(
    image: Image.Image,
    resize: int | None,
    crop: int,
    at: tuple[float, float],
    *,
    drafted: Drafted | None = None,
) -> Image.Image:
    """Crop a square from the image resized to a shorter side of `resize`, without resizing the rest.

    Equal to resizing the whole image and then cropping, up to rounding (at most 2 of 255): the filter reads the same
    source pixels.

    Args:
        image: an RGB image.
        resize: shorter side after resizing, in pixels; None keeps the size, but never below `crop`.
        crop: side of the square, in pixels, at most `resize`.
        at: position of the square, (x, y) in [0, 1]: 0 is the left or upper end, 1 the right or lower end.
        drafted: if the image was decoded at a fraction of its size; the crop is that of the whole.

    Example:
        >>> resized_crop(Image.new("RGB", (640, 480)), resize=512, crop=256, at=(0.5, 0.5)).size
        (256, 256)
    """
    full_size, extent = drafted or Drafted(image.size, (0, 0, *image.size))
    shorter = max(resize or min(full_size), crop)  # small images are enlarged, so that the crop fits
    width, height = resized_size(*full_size, shorter)
    # min: a position of exactly 1 would be one past the last of the free + 1 places
    left, top = (min(int(f * (free + 1)), free) for f, free in zip(at, (width - crop, height - crop), strict=True))
    x, y = extent[:2]
    x_scale, y_scale = (extent[2] - x) / width, (extent[3] - y) / height
    box = (x + left * x_scale, y + top * y_scale, x + (left + crop) * x_scale, y + (top + crop) * y_scale)
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


def write_image(
    image: Image.Image, path: str | Path, metadata: ImageMetadata | None = None, *, dpi: int | None = None
) -> None:
    """Write an image atomically in the format of the path's suffix.

    JPEG and WebP are written at quality 95, JPEG without chroma subsampling; PDF is a page with such a JPEG. Metadata
    that the format cannot hold are left out; an alpha is scaled to the image.

    Args:
        image: the image.
        path: the file to write.
        metadata: what is kept of the file that the image was made from.
        dpi: resolution to print it at, which WebP cannot store; None leaves it open.

    Raises:
        InputError: if the image is too large for the format, or if the format cannot hold its alpha.
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
    if suffix in (".jpg", ".jpeg", ".pdf"):
        options = {"quality": 95, "subsampling": 0}
    elif suffix == ".webp":
        options = {"quality": 95}
    elif suffix in (".tif", ".tiff"):
        options = {"compression": "tiff_deflate"}
    if dpi is not None:
        options |= {"resolution": dpi} if suffix == ".pdf" else {"dpi": (dpi, dpi)}
    limit = {".jpg": 65_500, ".jpeg": 65_500, ".pdf": 65_500, ".webp": 16_383}.get(suffix)
    if limit is not None and max(image.size) > limit:
        raise InputError(
            f"cannot write {path}: {image.width}x{image.height} pixels, but {suffix[1:]} allows {limit} on a side; "
            "write png or tiff"
        )
    kept: dict[str, Any] = {}
    if metadata is not None and metadata.icc_profile:
        kept["icc_profile"] = metadata.icc_profile
    if metadata is not None and metadata.exif and suffix in (".jpg", ".jpeg", ".png", ".webp"):
        kept["exif"] = metadata.exif
    if metadata is not None and metadata.alpha is not None:
        if suffix in (".jpg", ".jpeg", ".bmp"):
            raise InputError(f"cannot write {path}: {suffix[1:]} cannot hold transparency; write png, webp or tiff")
        image = image.copy()
        image.putalpha(metadata.alpha.resize(image.size, Image.Resampling.LANCZOS))

    def save(temporary: Path) -> None:
        try:
            image.save(temporary, **options, **kept)
        except OSError:
            raise
        except Exception:  # such as camera data of more than the 64 KB that a JPEG can hold
            image.save(temporary, **options)

    write_atomically(path, save)
