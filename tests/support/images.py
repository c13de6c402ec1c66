"""Awkward and broken image files, one of each kind, made from small real images.

`write_good` and `write_broken` return name -> path. `true_colours` gives what a good file must read as, worked out
with NumPy from the pixels that went into the file and never with the code under test. Every good image has fewer
than `SMALL_LIMIT` pixels and the image of `write_large` has more.
"""

import io
import os
import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, features

SMALL_LIMIT = 20_000
SIZE = (60, 44)
WITHOUT_LOSS = 1.0
"""Allowed difference in any value of a lossless file: the rounding of one conversion."""
WITH_LOSS = 6.0
"""Allowed mean difference of a lossy file; another orientation, channel order or sign differs by 20 and more."""

LOSSY = frozenset(
    {"progressive_jpeg", "cmyk_jpeg", "grey_jpeg", "webp_lossy", "upper_case_suffix", "several_pictures_jpeg"}
)
LOSSY |= {f"orientation_{o}" for o in range(1, 9)} | {"damaged_exif"}
LOSSY |= {"exif_cut_short", "exif_orientation_text", "exif_gps_text", "exif_without_end", "icc_misnumbered"}
LOSSY |= {"jfif", "avif", "jpeg2000"}

Pixels = NDArray[np.uint8]


@cache
def _colour() -> Image.Image:
    return small("coffee.png", SIZE)


def _rgb() -> Pixels:
    return np.asarray(_colour())


def _grey() -> Pixels:
    return np.asarray(_colour().convert("L"))


def _alpha() -> Pixels:
    """Transparent on the left, opaque on the right."""
    return np.broadcast_to(np.linspace(0, 255, SIZE[0]).round().astype(np.uint8), SIZE[::-1])


def _grey16() -> NDArray[np.uint16]:
    """16-bit values over the whole range, few of them multiples of 257."""
    return (_grey().astype(np.uint16) * 257 // 3 * 3).astype(np.uint16)


def _grey2() -> Pixels:
    return _grey() // 64


def _is_key(name: str) -> NDArray[np.bool_]:
    """Where the pixels of an image with a colour key are transparent."""
    match name:
        case "grey16_key":
            return np.asarray(_grey16() == _grey16()[3, 5])
        case "grey2_key":
            return np.asarray(_grey2() == 2)
        case _:
            return np.asarray((_rgb() == _rgb()[3, 5]).all(-1))


def _palette() -> Image.Image:
    return _colour().quantize(32)


def _stored(upright: Pixels, orientation: int) -> Pixels:
    """What the file holds for an upright image, by the table of the EXIF standard.

    The comment says which sides of the upright image row 0 and column 0 of the file are.
    """
    transposed = (1, 0, 2)
    return {
        1: upright,  # top, left
        2: upright[:, ::-1],  # top, right
        3: upright[::-1, ::-1],  # bottom, right
        4: upright[::-1],  # bottom, left
        5: upright.transpose(transposed),  # left, top
        6: upright[:, ::-1].transpose(transposed),  # right, top
        7: upright[::-1, ::-1].transpose(transposed),  # right, bottom
        8: upright[::-1].transpose(transposed),  # left, bottom
    }[orientation]


def true_colours(name: str) -> Pixels:
    """The upright RGB pixels (H, W, 3) of a good file, transparency over white."""
    rgb, grey, alpha = _rgb().astype(float), _grey().astype(float), _alpha() / 255
    match name:
        case "grey_png" | "grey_jpeg":
            pixels = np.stack([grey] * 3, -1)
        case "one_bit":
            pixels = np.stack([np.asarray(_colour().convert("1")) * 255.0] * 3, -1)
        case "palette" | "palette_transparent" | "animated_gif":
            table = np.array(_palette().getpalette(), float).reshape(-1, 3)
            indices = np.asarray(_palette())
            pixels = table[indices]
            if name == "palette_transparent":
                opacity = (_palette_alpha() / 255)[indices][..., None]
                pixels = pixels * opacity + 255 * (1 - opacity)
        case "rgba":
            pixels = rgb * alpha[..., None] + 255 * (1 - alpha[..., None])
        case "grey_alpha":
            pixels = np.stack([grey * alpha + 255 * (1 - alpha)] * 3, -1)
        case "colour_key":
            pixels = np.where((_rgb() == _rgb()[3, 5]).all(-1, keepdims=True), 255, rgb)
        case "grey16_png" | "grey16_tiff" | "grey16_big_endian_tiff":
            pixels = np.stack([_grey16() / 257] * 3, -1)
        case "grey32_tiff":
            pixels = np.stack([_grey16() / 257] * 3, -1)
        case "grey16_key" | "grey2_key":
            # the values of the key, which lie over white
            grey = np.asarray(_grey16() / 257) if name == "grey16_key" else (_grey2() * 85.0)
            pixels = np.stack([np.where(_is_key(name), 255, grey)] * 3, -1)
        case "rgb16_key":
            pixels = np.where(_is_key(name)[..., None], 255, rgb)
        case "grey12_tiff":
            pixels = np.stack([(_grey16() // 16) / 4095 * 255] * 3, -1)
        case "one_pixel":
            pixels = np.array([[[200.0, 30.0, 90.0]]])
        case "panorama":
            pixels = np.asarray(_panorama()).astype(float)
        case _:
            pixels = rgb
    return pixels.round().astype(np.uint8)


def _palette_alpha() -> Pixels:
    return np.linspace(0, 255, 32).round().astype(np.uint8)


def _panorama() -> Image.Image:
    return small("rocket.jpg", (4000, 4))


def write_good(folder: Path) -> dict[str, Path]:
    """Write one file of every kind that must be readable."""
    folder.mkdir(parents=True, exist_ok=True)
    colour, grey = _colour(), Image.fromarray(_grey())
    other = small("chelsea.png", SIZE)
    paths: dict[str, Path] = {}

    def save(name: str, file: str, image: Image.Image, **options: object) -> None:
        paths[name] = folder / file
        image.save(paths[name], **options)

    jpeg = {"quality": 95, "subsampling": 0}
    save("grey_png", "grey.png", grey)
    save("grey_jpeg", "grey.jpeg", grey, quality=95)
    save("one_bit", "one_bit.png", colour.convert("1"))
    save("palette", "palette.png", _palette())
    save("palette_transparent", "palette_transparent.png", _palette(), transparency=_palette_alpha().tobytes())
    save("rgba", "rgba.png", Image.fromarray(np.dstack([_rgb(), _alpha()])))
    save("grey_alpha", "grey_alpha.png", Image.merge("LA", [grey, Image.fromarray(_alpha().copy())]))
    save("colour_key", "colour_key.png", colour, transparency=tuple(int(v) for v in _rgb()[3, 5]))
    save("cmyk_jpeg", "cmyk.jpg", colour.convert("CMYK"), quality=95)
    save("grey16_png", "grey16.png", Image.fromarray(_grey16()))
    save("grey16_tiff", "grey16.tif", Image.fromarray(_grey16()))
    big_endian = Image.frombytes("I;16B", SIZE, _grey16().astype(">u2").tobytes())
    save("grey16_big_endian_tiff", "grey16_big_endian.tiff", big_endian)
    save("grey32_tiff", "grey32.tif", Image.fromarray(_grey16().astype(np.int32)))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = Image.fromarray(np.ascontiguousarray(_stored(_rgb(), orientation)))
        save(f"orientation_{orientation}", f"orientation_{orientation}.jpg", stored, exif=exif, **jpeg)
    save("damaged_exif", "damaged_exif.jpg", colour, exif=b"Exif\0\0MM\0*" + b"\xff\x17" * 40, **jpeg)
    save("progressive_jpeg", "progressive.jpg", colour, progressive=True, **jpeg)
    save("webp_lossy", "lossy.webp", colour, quality=95)
    save("webp_lossless", "lossless.webp", colour, lossless=True)
    save("bmp", "image.bmp", colour)
    save("several_pages_tiff", "pages.tiff", colour, save_all=True, append_images=[other])
    save("several_pictures_jpeg", "mpo.jpg", colour, format="MPO", save_all=True, append_images=[other], **jpeg)
    save("upper_case_suffix", "UPPER.JPG", colour, **jpeg)
    save("png_named_jpg", "really_a_png.jpg", colour, format="PNG")
    save("odd_name", "blau & Größe = 3, 'neu'.png", colour)
    save("jfif", "image.jfif", colour, format="JPEG", **jpeg)
    save("animated_gif", "blinking.gif", _palette(), save_all=True, append_images=[other.quantize(32)])
    save("animated_png", "blinking.png", colour, save_all=True, append_images=[other])
    save("ppm", "image.ppm", colour)
    if features.check("avif"):
        save("avif", "image.avif", colour, quality=95)
    if features.check("jpg_2000"):
        save("jpeg2000", "image.jp2", colour)
    save("one_pixel", "one_pixel.png", Image.new("RGB", (1, 1), (200, 30, 90)))
    save("panorama", "panorama.png", _panorama())
    rgb16 = _rgb().astype(np.uint16) * 256 + 37  # a low byte of its own: only the high byte may count
    paths["rgb16_png"] = folder / "rgb16.png"
    paths["rgb16_png"].write_bytes(_png(*SIZE, depth=16, rows=[row.astype(">u2").tobytes() for row in rgb16]))
    key = int(_grey16()[3, 5])
    save("grey16_key", "grey16_key.png", Image.fromarray(_grey16()), transparency=key)
    red, green, blue = (int(value) * 256 + 37 for value in _rgb()[3, 5])
    paths["rgb16_key"] = folder / "rgb16_key.png"
    rows = [row.astype(">u2").tobytes() for row in rgb16]
    paths["rgb16_key"].write_bytes(_png(*SIZE, depth=16, rows=rows, key=struct.pack(">HHH", red, green, blue)))
    paths["grey2_key"] = folder / "grey2_key.png"
    packed = [bytes(int(v) for v in (row.reshape(-1, 4) * [64, 16, 4, 1]).sum(1)) for row in _grey2()]
    paths["grey2_key"].write_bytes(_png(*SIZE, depth=2, rows=packed, key=struct.pack(">H", 2), color=0))
    paths["grey12_tiff"] = folder / "grey12.tif"
    paths["grey12_tiff"].write_bytes(_grey12_tiff((_grey16() // 16).astype(np.uint16)))

    # Camera data that are damaged or odd, and good pixels
    plain = _jpeg_bytes(colour)
    segments = {
        "exif_cut_short": b"Exif\0\0II*\0\x08\0",
        "exif_orientation_text": b"Exif\0\0" + _ifd((0x0112, 2, b"1\0\0\0")),
        "exif_gps_text": b"Exif\0\0" + _ifd((0x0112, 3, struct.pack("<HH", 1, 0)), (0x8825, 2, b"no\0\0")),
        "exif_without_end": b"Exif\0\0" + _ifd((0x0112, 3, struct.pack("<HH", 1, 0)))[:-9],
    }
    for name, segment in segments.items():
        paths[name] = folder / f"{name}.jpg"
        paths[name].write_bytes(plain[:2] + _segment(0xE1, segment) + plain[2:])
    paths["icc_misnumbered"] = folder / "icc.jpg"
    paths["icc_misnumbered"].write_bytes(plain[:2] + _segment(0xE2, b"ICC_PROFILE\0") + plain[2:])
    paths["exif_garbage_png"] = folder / "exif_garbage.png"
    rows = [row.tobytes() for row in _rgb()]
    paths["exif_garbage_png"].write_bytes(_png(*SIZE, depth=8, rows=rows, exif=b"\xff" * 8))
    return paths


def write_broken(folder: Path) -> dict[str, Path]:
    """Write one file of every kind that cannot be read; ``no_permission`` is left out for root, who may read it."""
    folder.mkdir(parents=True, exist_ok=True)
    colour = _colour()
    paths: dict[str, Path] = {}

    def write(name: str, file: str, content: bytes) -> None:
        paths[name] = folder / file
        paths[name].write_bytes(content)

    jpeg, png = folder / "whole.tmp", folder / "whole.png.tmp"
    colour.save(jpeg, "JPEG", quality=95)
    colour.save(png, "PNG")
    jpeg_bytes, png_bytes = jpeg.read_bytes(), png.read_bytes()
    jpeg.unlink()
    png.unlink()
    middle = len(png_bytes) // 2

    write("truncated_jpeg", "truncated.jpg", jpeg_bytes[: len(jpeg_bytes) // 2])
    write("truncated_png", "truncated.png", png_bytes[:middle])
    write(
        "flipped_png",
        "flipped.png",
        png_bytes[:middle] + bytes(b ^ 255 for b in png_bytes[middle:][:8]) + png_bytes[middle + 8 :],
    )
    write("empty", "empty.jpg", b"")
    write("text", "notes.jpg", b"These are the notes\nof the photographer.\n")
    write(
        "error_page", "error.png", b"<!DOCTYPE html>\n<html><title>404 Not Found</title>\n<body>nginx</body></html>\n"
    )
    write("postscript", "eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    write("noise", "noise.jpg", np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes())
    write("bomb", "bomb.png", _png(60_000, 60_000, depth=8, rows=[bytes(3 * 60_000)]))
    paths["float_tiff"] = folder / "float.tif"
    Image.fromarray(_grey().astype(np.float32)).save(paths["float_tiff"])
    paths["folder"] = folder / "folder.jpg"
    paths["folder"].mkdir(exist_ok=True)
    paths["dangling_link"] = folder / "dangling.jpg"
    paths["dangling_link"].symlink_to(folder / "gone.jpg")
    if os.geteuid() != 0:
        write("no_permission", "no_permission.jpg", jpeg_bytes)
        paths["no_permission"].chmod(0)
    return paths


def write_large(path: Path) -> Path:
    """Write a sound image of more than `SMALL_LIMIT` pixels."""
    small("coffee.png", (200, 101)).save(path)
    return path


def _png(
    width: int, height: int, *, depth: int, rows: list[bytes], key: bytes = b"", exif: bytes = b"", color: int = 2
) -> bytes:
    """A PNG by the specification, RGB or with `color` 0 grey, with as many rows as are given, whatever the header says.

    `key` is the value that is transparent, `exif` the camera data.
    """

    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    between = (_chunk(b"tRNS", key) if key else b"") + (_chunk(b"eXIf", exif) if exif else b"")
    return png_file(width, height, pixels=pixels, depth=depth, color=color, between=between)


def png_file(width: int, height: int, *, pixels: bytes, depth: int = 8, color: int, between: bytes = b"") -> bytes:
    """A PNG by the specification from its compressed pixels, of the colour type `color`."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + between + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _ifd(*fields: tuple[int, int, bytes]) -> bytes:
    """A TIFF header and one directory of fields (tag, type, the 4 bytes of its value), each with one value."""
    entries = b"".join(struct.pack("<HHI", tag, kind, 1 if kind == 3 else 2) + value for tag, kind, value in fields)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + entries + bytes(4)


def _segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG file."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _jpeg_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _grey12_tiff(values: NDArray[np.uint16]) -> bytes:
    """An uncompressed TIFF with 12 bits of grey, two pixels in three bytes."""
    height, width = values.shape
    left, right = values[:, ::2].astype(int), values[:, 1::2].astype(int)
    pixels = np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], -1).astype(np.uint8).tobytes()
    fields = [(256, width), (257, height), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    fields += [(279, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    directory = struct.pack("<H", len(fields)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory


PHOTOGRAPHS = (
    "astronaut.png",
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
)


def small(name: str, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A photograph of scikit-image, scaled down."""
    with Image.open(Path(skimage.data.__file__).parent / name) as image:
        return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
