"""Animated GIF, WebP and PNG: frames with their durations in, and out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically
from adain_lit.io.formats import IMAGE_FORMATS, decoding_bytes, load, loaded_frames, upright_turn
from adain_lit.io.images import ImageReadError, frame_count, opacity, to_rgb
from adain_lit.io.memory import DECODE_BYTES, DECODING

ANIMATION_SUFFIXES = (".gif", ".webp", ".png", ".apng")
"""Suffixes of animations that are read and written."""
_LEAST, _USUAL = 10, 100
"""Durations in milliseconds below the first are shown as the second by browsers, and read as it here."""
_WEBP_SIDE = 16_383


@dataclass(frozen=True)
class AnimationInfo:
    """What an animation is besides its frames.

    Attributes:
        frames: the number of frames.
        plays: how often it is played; 0 is without end.
    """

    frames: int
    plays: int


@dataclass(frozen=True)
class Frame:
    """A frame of an animation.

    Attributes:
        image: the upright frame in RGB, transparency composited over white.
        duration: how long it is shown, in milliseconds.
        alpha: its opacity in mode ``L``; None if it is opaque, or if it was not asked for.
    """

    image: Image.Image
    duration: int
    alpha: Image.Image | None = None


def is_animation(path: Path) -> bool:
    """Whether a file is an animated GIF, WebP or PNG. Its header is read, not its frames.

    Example:
        >>> from adain_lit.data.demo import STYLE_FOLDER
        >>> is_animation(STYLE_FOLDER / "mosaic-0.webp"), is_animation(Path("clip.mp4"))
        (False, False)
    """
    return path.suffix.lower() in ANIMATION_SUFFIXES and frame_count(path) > 1


def animation_info(path: Path) -> AnimationInfo:
    """Number of frames of an animation, and how often it is played.

    Raises:
        ImageReadError: if the file cannot be read.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            frames, loop = loaded_frames(image) - getattr(image, "default_image", False), image.info.get("loop")
            gif = image.format == "GIF"
    except Exception as error:  # as in `adain_lit.io.images.read_image`
        raise ImageReadError(path, " ".join(str(error).split()) or type(error).__name__) from error
    # a GIF without the entry is played once, and otherwise the entry counts the repetitions
    plays = (1 if loop is None else loop and loop + 1) if gif else loop or 0
    return AnimationInfo(frames, int(plays))


def read_frames(path: Path, *, max_bytes: int = DECODE_BYTES, keep_alpha: bool = False) -> Iterator[Frame]:
    """The frames of an animation in order, decoded one at a time.

    Args:
        path: an animated GIF, WebP or PNG.
        max_bytes: a file whose decoding takes more memory for one frame, in bytes, is refused.
        keep_alpha: whether to keep the opacity.

    Raises:
        ImageReadError: if the file or a frame cannot be read; the frame is named, counted from 1.
    """
    number = 0
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            first = int(getattr(image, "default_image", False))  # a PNG's picture for viewers without animation
            for number in range(first, loaded_frames(image)):
                yield _decode(image, number, path, max_bytes, keep_alpha)
    except (ImageReadError, MemoryError):
        raise
    except Exception as error:  # Pillow's plug-ins raise nearly every type on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageReadError(path, f"frame {number + 1}: {reason}") from error


def _decode(image: Image.Image, number: int, path: Path, max_bytes: int, keep_alpha: bool) -> Frame:
    needed = decoding_bytes(image)
    if needed > max_bytes:
        raise ImageReadError(path, f"a frame of {image.width}x{image.height} pixels takes too much memory")
    with warnings.catch_warnings(), DECODING.reserve(needed):
        warnings.simplefilter("ignore")
        image.seek(number)
        load(image)
        turn, rgb = upright_turn(image), to_rgb(image)
        alpha = opacity(image) if keep_alpha else None
    if turn is not None:
        rgb, alpha = rgb.transpose(turn), alpha and alpha.transpose(turn)
    rgb.info.clear()
    duration = round(image.info.get("duration") or 0)
    return Frame(rgb, duration if duration >= _LEAST else _USUAL, alpha)


def write_animation(frames: Sequence[Frame], path: Path, *, plays: int = 0) -> None:
    """Write an animation atomically in the format of the path's suffix, one of `ANIMATION_SUFFIXES`.

    WebP is written at quality 95. GIF has 256 colours for each frame and counts time in 10 ms: durations are rounded so
    that no frame is off by more. GIF and PNG store equal frames that follow each other as one.

    Args:
        frames: the frames, of one size; their alphas are scaled to it.
        path: the file to write.
        plays: how often it is played; 0 is without end.

    Raises:
        InputError: for another suffix, or if the format does not hold images of that size.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "blinking.gif"
        >>> write_animation([Frame(Image.new("RGB", (4, 4), color), 45) for color in ("red", "blue")], path)
        >>> [frame.duration for frame in read_frames(path)], animation_info(path)
        ([40, 50], AnimationInfo(frames=2, plays=0))
    """
    suffix = path.suffix.lower()
    if suffix not in ANIMATION_SUFFIXES:
        raise InputError(f"cannot write an animation to {path}; known are {', '.join(ANIMATION_SUFFIXES)}")
    size = frames[0].image.size
    if suffix == ".webp" and max(size) > _WEBP_SIDE:
        raise InputError(f"cannot write {path}: webp allows {_WEBP_SIDE} pixels on a side; write png")
    images = [_with_alpha(frame) for frame in frames]
    unit = 10 if suffix == ".gif" else 1
    ends = [unit * round(end / unit) for end in accumulate((frame.duration for frame in frames), initial=0)]
    options: dict[str, Any] = {
        "format": {".gif": "GIF", ".webp": "WEBP"}.get(suffix, "PNG"),
        "duration": [end - start for start, end in pairwise(ends)],
    }
    if suffix != ".gif":
        options["loop"] = plays
    elif plays != 1:
        options["loop"] = plays and plays - 1
    if suffix == ".webp":
        options["quality"] = 95
    elif any(frame.alpha for frame in frames):  # what is transparent must not show the frame before
        options |= {"disposal": 2} if suffix == ".gif" else {"disposal": 1, "blend": 0}

    def save(temporary: Path) -> None:
        images[0].save(temporary, save_all=True, append_images=images[1:], **options)

    write_atomically(path, save)


def _with_alpha(frame: Frame) -> Image.Image:
    if frame.alpha is None:
        return frame.image
    image = frame.image.copy()
    image.putalpha(frame.alpha.resize(image.size, Image.Resampling.LANCZOS))
    return image
