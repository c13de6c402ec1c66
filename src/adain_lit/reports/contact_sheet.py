"""The contact sheet: the last image grids of several runs side by side, as in Fig. 5 of the paper."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

GRID_COLUMNS = ("content", "style", "stylised")
"""Columns of the image grid that a run writes after each validation; a row for each held-out pair."""
GRID_GAP = 4
"""White pixels around each image of a grid."""
LEAST_SIDE, MOST_SIDE = 128, 256
"""Of an image on the sheet, in pixels."""
COLUMNS_ABREAST = 10
FONT_SIZE = 13

Column = tuple[str, Image.Image]
"""Caption and images."""


def contact_sheet(grids: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Grids side by side, with a caption above each column of images.

    Content and style stand in front of the first run, and again only in front of a run that shows other pairs.

    Args:
        grids: as `adain_lit.callbacks.ImageGrid` writes them.
        captions: one for each grid.
    """
    columns: list[Column] = []
    shown = b""
    for grid, caption in zip(grids, captions, strict=True):
        content, style, stylised = _columns(grid)
        pairs = content.tobytes() + style.tobytes()
        if pairs != shown:
            columns += zip(GRID_COLUMNS, (content, style), strict=False)
        shown = pairs
        columns.append((caption, stylised))
    side = max(LEAST_SIDE, min(MOST_SIDE, max(image.width for _, image in columns)))
    bands = [_band(columns[i : i + COLUMNS_ABREAST], side) for i in range(0, len(columns), COLUMNS_ABREAST)]
    sheet = Image.new("RGB", (max(band.width for band in bands), sum(band.height for band in bands)), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return sheet


def _columns(grid: Image.Image) -> list[Image.Image]:
    """The columns of a grid, each without the white to its sides."""
    step = (grid.width - GRID_GAP) // len(GRID_COLUMNS)
    return [
        grid.crop((GRID_GAP + i * step, GRID_GAP, (i + 1) * step, grid.height)).convert("RGB")
        for i in range(len(GRID_COLUMNS))
    ]


def _band(columns: Sequence[Column], side: int) -> Image.Image:
    """Columns beside each other, each `side` pixels wide, under their captions."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), FONT_SIZE)
    texts = [_wrapped(caption, font, side) for caption, _ in columns]
    head = max(text.count("\n") + 1 for text in texts) * round(1.4 * FONT_SIZE) + GRID_GAP
    scaled = [
        image.resize((side, round(image.height * side / image.width)), Image.Resampling.LANCZOS) for _, image in columns
    ]
    size = (len(columns) * (side + GRID_GAP) + GRID_GAP, head + max(image.height for image in scaled))
    band = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(band)
    for i, (text, image) in enumerate(zip(texts, scaled, strict=True)):
        left = GRID_GAP + i * (side + GRID_GAP)
        draw.multiline_text((left, GRID_GAP), text, fill="black", font=font, spacing=round(0.2 * FONT_SIZE))
        band.paste(image, (left, head))
    return band


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Text in lines of at most `width` pixels, broken between words where that will do."""
    lines = [""]
    for word in text.split():
        for piece in _pieces(word, font, width):
            line = f"{lines[-1]} {piece}".strip()
            if font.getlength(line) <= width:
                lines[-1] = line
            else:
                lines.append(piece)
    return "\n".join(lines)


def _pieces(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """A word, in parts that fit where it is too long."""
    pieces = [""]
    for letter in word:
        if font.getlength(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
