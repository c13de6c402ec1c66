"""The image formats that are read, what identifies their files, and what of a file is metadata."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, features

_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
}
_OPTIONAL = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
"""Formats that not every build of Pillow reads, with Pillow's names of the libraries that they need."""

IMAGE_FORMATS = tuple(name for name in _FORMATS if name not in _OPTIONAL or features.check(_OPTIONAL[name]))
"""Pillow's names of the formats that are opened. It knows more, and starts Ghostscript for one of them."""
IMAGE_SUFFIXES = frozenset(suffix for name in IMAGE_FORMATS for suffix in _FORMATS[name])
"""Suffixes of the files that are taken from a folder."""
FRAME_SUFFIXES = IMAGE_SUFFIXES & {".gif", ".webp", ".png", ".apng", ".tif", ".tiff", ".avif"}
"""Suffixes of the files that may hold several frames or pages."""

_DECODER_BYTES = {"JPEG": 3, "MPO": 3, "TIFF": 4, "WEBP": 12, "AVIF": 8, "JPEG2000": 16}
_MODE_BYTES = {"1": 1, "L": 1, "P": 1}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image upright, by the value of its EXIF orientation."""


def decoding_bytes(image: Image.Image) -> int:
    """Upper estimate of the memory in bytes for decoding an opened image and converting it to RGB.

    The decoded image, its RGB copy, and what the decoder itself was measured to take (Pillow 12.3).

    Example:
        >>> decoding_bytes(Image.new("L", (1000, 1000)))
        5000000
    """
    per_pixel = _MODE_BYTES.get(image.mode, 4) + 4 + _DECODER_BYTES.get(image.format or "", 0)
    return image.width * image.height * per_pixel


def load(image: Image.Image) -> None:
    """Decode an opened image. A TIFF is set upright by that, so its orientation is to be read afterwards."""
    key = image.info.get("transparency")
    tile = getattr(image, "tile", None)
    if image.format == "PNG" and isinstance(key, int) and tile:
        # of 2 or 4 bits of grey Pillow widens the pixels to 8 bits, but not the value that is transparent
        image.info["transparency"] = key * {"L;2": 85, "L;4": 17}.get(tile[0][3], 1)
    image.load()


def upright_turn(image: Image.Image) -> Image.Transpose | None:
    """What sets a loaded image upright by its EXIF orientation; None if it is upright, or if that cannot be read.

    Example:
        >>> image = Image.new("RGB", (4, 2))
        >>> image.getexif()[ExifTags.Base.Orientation] = 6
        >>> upright_turn(image) == Image.Transpose.ROTATE_270
        True
    """
    try:
        return _TURNS.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    except Exception:  # Pillow's EXIF reader raises nearly every type on damaged data
        return None


def camera_data(image: Image.Image) -> bytes | None:
    """The EXIF data of a loaded image without its orientation; None if there is none, or if it cannot be read."""
    try:
        exif = image.getexif()
        if ExifTags.Base.Orientation in exif:
            del exif[ExifTags.Base.Orientation]
        return exif.tobytes() if len(exif) else None
    except Exception:  # as in `upright_turn`
        return None


def loaded_frames(image: Image.Image) -> int:
    """Number of frames or pages of an opened image; 1 if they cannot be counted, and for a camera's JPEG with previews.

    Example:
        >>> loaded_frames(Image.new("RGB", (4, 2)))
        1
    """
    try:
        return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
    except Exception:  # a later frame is damaged
        return 1


def full_scale(image: Image.Image) -> int:
    """The value of white in an image of 16 or 32 bits of grey.

    Example:
        >>> full_scale(Image.new("I;16", (4, 2)))
        65535
    """
    bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # BitsPerSample of a TIFF
    return int(2 ** min(bits, 16) - 1)


def without_metadata(source: str | Path | bytes) -> bytes | None:
    """A JPEG or PNG file without the parts that do not change its pixels; None if there are none.

    Pillow reads these parts before the pixels, and some damages to them make it refuse the whole file.

    Example:
        >>> without_metadata(b"not an image") is None
        True
    """
    with BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
        head = file.read(4)
        pixels = next((cut for start, cut in _CUTS.items() if head.startswith(start)), None)
        if pixels is None:
            return None
        data = head + file.read()
    kept = pixels(data)
    return kept if kept and len(kept) < len(data) else None


def _jpeg_pixels(data: bytes) -> bytes:
    kept, at = [data[:2]], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker == 0xDA:  # the pixels begin
            return b"".join([*kept, data[at:]])
        # APP1 to APP15 and comments; Adobe's APP14 says which colours the channels are
        if not (0xE1 <= marker <= 0xEF and marker != 0xEE) and marker != 0xFE:
            kept.append(data[at:end])
        at = end
    return b""


def _png_pixels(data: bytes) -> bytes:
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


_CUTS = {b"\xff\xd8": _jpeg_pixels, b"\x89PNG": _png_pixels}
