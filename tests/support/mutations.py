"""Damaged image files by the thousand, from a seed."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, features

from support.images import small

KINDS = ("png", "jpeg", "webp", "gif", "tiff", "bmp", "tiff_deflate", "png_palette", "jpeg_exif", "apng")
KINDS += tuple(kind for kind, library in (("avif", "avif"), ("jpeg2000", "jpg_2000")) if features.check(library))
EXTREME = (0, 1, 0x7F, 0x80, 0xFF)


@cache
def sound(kind: str) -> bytes:
    """A small sound image file of a kind."""
    image, options = small("coffee.png", (48, 36)), {}
    name = kind.split("_")[0].upper()
    match kind:
        case "tiff_deflate":
            options = {"compression": "tiff_deflate"}
        case "png_palette":
            image = image.quantize(16)
            options = {"transparency": bytes(range(0, 256, 16))}
        case "jpeg_exif":
            exif = Image.Exif()
            exif[0x0112], exif[0x010F] = 6, "Camera"
            exif.get_ifd(0x8825)[1] = "N"
            options = {"exif": exif, "icc_profile": bytes(300)}
        case "apng":
            name, options = "PNG", {"save_all": True, "append_images": [image.rotate(180)]}
        case "gif":
            options = {"save_all": True, "append_images": [image.rotate(180)]}
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def require_one_line(error: Exception) -> None:
    """A refusal says something, in one line."""
    assert str(error).strip()
    assert "\n" not in str(error)


def mutate(data: bytes, generator: np.random.Generator) -> bytes:
    """Cut a file short, set bytes of it, mostly in its header, to random or extreme values, or move a part of it."""
    changed = bytearray(data)
    if generator.random() < 0.2:
        del changed[int(generator.integers(len(changed))) :]
    for _ in range(int(generator.integers(1, 9)) if changed else 0):
        # half of the bytes in the first hundred: sizes, offsets and markers
        end = min(len(changed), 100) if generator.random() < 0.5 else len(changed)
        at = int(generator.integers(end))
        changed[at] = int(generator.choice(EXTREME) if generator.random() < 0.5 else generator.integers(256))
    if generator.random() < 0.1 and len(changed) > 20:
        start, stop = sorted(int(value) for value in generator.integers(len(changed), size=2))
        at = int(generator.integers(len(changed)))
        changed[at:at] = changed[start:stop]
    return bytes(changed)


def mutations(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` damaged files, of all kinds in turn, each with its kind."""
    for k in range(count):
        kind = KINDS[k % len(KINDS)]
        yield kind, mutate(sound(kind), np.random.default_rng([seed, k]))


def write_mutations(folder: Path, count: int, seed: int = 0) -> None:
    """Write them as files whose suffix says nothing about their kind."""
    folder.mkdir(parents=True)
    for k, (kind, data) in enumerate(mutations(count, seed)):
        (folder / f"{k:04d}_{kind}.jpg").write_bytes(data)
