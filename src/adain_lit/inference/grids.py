"""Contact sheets: every content with every style, the trade-off strip of Fig. 7 and the four-style grid of Fig. 8."""

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Content, Style, Stylizer

GAP = 6
"""Pixels of white between images."""
SIDE = 256
"""Longer side in pixels of the images of a sheet."""


def table(rows: Sequence[Sequence[Image.Image | None]], *, side: int = SIDE) -> Image.Image:
    """Images in rows and columns, the longer side of each scaled to `side` pixels; None leaves a place white.

    Rows are as high and columns as wide as their largest image; smaller ones lie in the middle.
    """
    fitted = [[image and fit(image, side) for image in row] for row in rows]
    widths = [max(image.width if image else 0 for image in column) for column in zip_longest(*fitted)]
    heights = [max(image.height if image else 0 for image in row) for row in fitted]
    size = (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(heights) + 1))
    sheet = Image.new("RGB", size, "white")
    y = GAP
    for row, height in zip(fitted, heights, strict=True):
        x = GAP
        for image, width in zip_longest(row, widths):
            if image:
                sheet.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
            x += width + GAP
        y += height + GAP
    return sheet


def gallery(images: Sequence[Image.Image], captions: Sequence[str], *, width: int = 300) -> Image.Image:
    """Images scaled to one width, in about as many rows as columns, each with a caption of some lines under it."""
    font = ImageFont.load_default(width / 22)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = [_wrapped(caption, width, font) for caption in captions]
    strip = max(round(probe.multiline_textbbox((0, 0), text, font=font)[3]) for text in texts) + 2 * GAP
    scaled = [p.resize((width, max(1, round(p.height * width / p.width))), Image.Resampling.LANCZOS) for p in images]
    height = max(image.height for image in scaled) + strip
    columns = math.ceil(math.sqrt(len(images) * height / width))
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for i, (image, text) in enumerate(zip(scaled, texts, strict=True)):
        x, y = GAP + i % columns * (width + GAP), GAP + i // columns * (height + GAP)
        sheet.paste(image, (x, y))
        draw.multiline_text((x, y + image.height + GAP), text, fill="black", font=font)
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


def fit(image: Image.Image, side: int) -> Image.Image:
    """The image scaled so that its longer side is `side` pixels."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def trade_off(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = SIDE, **controls: Any
) -> Image.Image:
    """The content-style trade-off: alpha from 0 to 1 in `steps` images (Fig. 7)."""
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
