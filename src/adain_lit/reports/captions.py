"""Captions in image grids: their font, and how they are wrapped."""

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
    r"""Wrap text at `width` pixels: between words, or within words that are too long. Line breaks are kept.

    Example:
        >>> wrap_text("style weight 10", caption_font(10), 70)
        'style weight\n10'
    """
    lines = []
    for paragraph in text.splitlines() or [""]:
        lines.append("")
        for word in paragraph.split():
            for piece in _pieces(word, font, width):
                line = f"{lines[-1]} {piece}".strip()
                if font.getlength(line) <= width:
                    lines[-1] = line
                else:
                    lines.append(piece)
    return "\n".join(lines)


def _pieces(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A word in pieces of at most `width` pixels."""
    pieces = [""]
    for letter in word:
        if font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
