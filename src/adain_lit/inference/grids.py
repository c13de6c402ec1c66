"""Contact sheets: every content with every style, the trade-off strip of Fig. 7 and the four-style grid of Fig. 8."""

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Content, Style, Stylizer

GAP = 6
"""Pixels of white between pictures."""
SIDE = 256
"""Longer side in pixels of the pictures of a sheet."""


def table(rows: Sequence[Sequence[Image.Image | None]], *, side: int = SIDE) -> Image.Image:
    """Pictures in rows and columns, the longer side of each scaled to `side` pixels; None leaves a place white.

    Rows are as high and columns as wide as their largest picture; smaller ones lie in the middle.
    """
    fitted = [[picture and fit(picture, side) for picture in row] for row in rows]
    widths = [max(picture.width if picture else 0 for picture in column) for column in zip_longest(*fitted)]
    heights = [max(picture.height if picture else 0 for picture in row) for row in fitted]
    size = (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(heights) + 1))
    sheet = Image.new("RGB", size, "white")
    y = GAP
    for row, height in zip(fitted, heights, strict=True):
        x = GAP
        for picture, width in zip_longest(row, widths):
            if picture:
                sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
            x += width + GAP
        y += height + GAP
    return sheet


def gallery(pictures: Sequence[Image.Image], captions: Sequence[str], *, width: int = 300) -> Image.Image:
    """Pictures scaled to one width, in about as many rows as columns, each with a caption of some lines under it."""
    font = ImageFont.load_default(width / 22)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = [_wrapped(caption, width, font) for caption in captions]
    strip = max(round(probe.multiline_textbbox((0, 0), text, font=font)[3]) for text in texts) + 2 * GAP
    scaled = [p.resize((width, max(1, round(p.height * width / p.width))), Image.Resampling.LANCZOS) for p in pictures]
    height = max(picture.height for picture in scaled) + strip
    columns = math.ceil(math.sqrt(len(pictures) * height / width))
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (picture, text) in enumerate(zip(scaled, texts, strict=True)):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)
        sheet.paste(picture, (x, y))
        draw.multiline_text((x, y + picture.height + GAP), text, fill="black", font=font)
    return sheet


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text with its lines broken between words where they would be wider than `width` pixels."""
    lines: list[str] = []
    for line in text.splitlines():
        lines.append("")
        for word in line.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
    return "\n".join(lines)


def fit(picture: Image.Image, side: int) -> Image.Image:
    """The picture scaled so that its longer side is `side` pixels."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def trade_off(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = SIDE, **controls: Any
) -> Image.Image:
    """The content-style trade-off: alpha from 0 to 1 in `steps` pictures (Fig. 7)."""
    alphas = [i / (steps - 1) for i in range(steps)]
    return table([[stylizer(content, styles, alpha=alpha, **controls) for alpha in alphas]], side=side)


def interpolation(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = SIDE, **controls: Any
) -> Image.Image:
    """Four styles in the corners and their mixtures between (Fig. 8)."""
    if len(styles) != 4:
        raise InputError(f"{len(styles)} styles for the four corners of the interpolation grid; give four")
    rows = []
    for i in range(steps):
        row = []
        for j in range(steps):
            down, right = i / (steps - 1), j / (steps - 1)
            weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
            row.append(stylizer(content, styles, weights=weights, **controls))
        rows.append(row)
    return table(rows, side=side)


SHEETS: dict[str, Callable[..., Image.Image]] = {"trade_off": trade_off, "interpolate": interpolation}
"""Sheets of one content, by the option that makes them."""
SET_BY_SHEETS = {"trade_off": ("alpha",), "interpolate": ("weights", "masks")}
"""Controls that a sheet sets itself."""
