"""Captions in image grids: their font, and how they are wrapped."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

HAS_DEJAVU = find_spec("matplotlib") is not None
ALPHA = "\N{GREEK SMALL LETTER ALPHA}" if HAS_DEJAVU else "alpha"
"""How captions name alpha."""


@cache
def caption_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of captions in image grids; `size` in pixels.

    DejaVu Sans as matplotlib ships it; without matplotlib, which only the extra ``train`` installs, Pillow's own font,
    which has Latin letters only.
    """
    if not HAS_DEJAVU:
        return ImageFont.load_default(size)
    import matplotlib  # takes half a second, and most commands draw no caption

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def wrap_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    r"""Wrap text at `width` pixels. Line breaks are kept.

    Lines end between words, within words that are too long after one of ``_-|/.+``, and between two letters only if a
    part without any of these is too long.

    Example:
        >>> wrap_text("style weight 10", caption_font(10), 70)
        'style weight\n10'
        >>> wrap_text("art_nouveau-1000", caption_font(10), 70)
        'art_nouveau-\n1000'
    """
    lines = []
    for paragraph in text.splitlines() or [""]:
        lines.append("")
        for word in paragraph.split():
            space = " " if lines[-1] else ""
            if font.getlength(lines[-1] + space + word) <= width:
                lines[-1] += space + word
                continue
            if space:
                lines.append("")
            for part in _parts(word):
                for piece in _pieces(part, font, width):
                    if lines[-1] and font.getlength(lines[-1] + piece) > width:
                        lines.append("")
                    lines[-1] += piece
    return "\n".join(lines)


def widest_part(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> float:
    """Width in pixels of the longest part of a text that `wrap_text` leaves in one piece where it fits.

    Example:
        >>> font = caption_font(10)
        >>> widest_part("a fauvism-0", font) == font.getlength("fauvism-")
        True
    """
    return max((font.getlength(part) for word in text.split() for part in _parts(word)), default=0.0)


def _parts(word: str) -> list[str]:
    """A word, divided after the characters that join words in the names of files."""
    return re.findall(r"[^_\-|/.+]*[_\-|/.+]+|[^_\-|/.+]+", word)


def _pieces(part: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A part of a word in pieces of at most `width` pixels."""
    pieces = [""]
    for letter in part:
        if font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
