"""Images in rows and columns with labels, as the figures of a paper show them."""

from collections.abc import Sequence
from itertools import zip_longest

from PIL import Image, ImageDraw

from adain_lit.reports.captions import caption_font, widest_part, wrap_text

GAP = 6
"""White pixels between images."""
DPI = 300
"""Resolution that grids are printed at, unless they are scaled."""
LETTERS_PER_PAGE = 65
"""Font size as a part of the grid's width: 8 pt if it is printed 7.2 inches wide."""
LEAST_LETTERS = 9
"""Font sizes that fit into the narrowest column, so that words stay in one piece."""
LEAST_FONT = 10
"""In pixels."""


def image_grid(
    rows: Sequence[Sequence[Image.Image | None]],
    *,
    side: int | None = None,
    columns: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Image.Image:
    """Arrange images in rows and columns on white, each centred in its place.

    Args:
        rows: the images; None leaves a place empty.
        side: each image is scaled so that its longer side has this many pixels; None keeps their sizes.
        columns: labels above the columns; long ones are wrapped, and shrunk where a word would be cut.
        names: labels to the left of the rows, which are read from below.

    Example:
        >>> wide, tall = Image.new("RGB", (40, 20)), Image.new("RGB", (10, 20))
        >>> image_grid([[wide, tall], [None, wide]], side=60).size  # columns of 60, rows of 60 and 30 pixels, 3 gaps
        (138, 108)
        >>> image_grid([[wide, tall]], side=90, columns=["content", "style"]).size  # labels of 10 pixels, and a gap
        (153, 121)
    """
    fitted = [[image and (fit(image, side) if side else image) for image in row] for row in rows]
    widths = [max(image.width if image else 0 for image in column) for column in zip_longest(*fitted)]
    heights = [max(image.height if image else 0 for image in row) for row in fitted]
    font = max(LEAST_FONT, min(sum(widths) // LETTERS_PER_PAGE, min(filter(None, widths), default=0) // LEAST_LETTERS))
    above = [_label(text, font, width) for text, width in zip(columns, widths, strict=False)]
    beside = [_label(text, font, height).rotate(90, expand=True) for text, height in zip(names, heights, strict=False)]
    top = max((label.height + GAP for label in above), default=0)
    left = max((label.width + GAP for label in beside), default=0)
    size = (left + sum(widths) + GAP * (len(widths) + 1), top + sum(heights) + GAP * (len(heights) + 1))
    grid = Image.new("RGB", size, "white")
    xs = [left + GAP + sum(widths[:i]) + GAP * i for i in range(len(widths))]
    ys = [top + GAP + sum(heights[:i]) + GAP * i for i in range(len(heights))]
    for label, x in zip(above, xs, strict=False):
        grid.paste(label, (x, top - label.height))
    for label, y in zip(beside, ys, strict=False):
        grid.paste(label, (left - label.width, y))
    for row, y, height in zip(fitted, ys, heights, strict=True):
        for image, x, width in zip(row, xs, widths, strict=False):
            if image:
                grid.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
    return grid


def fit(image: Image.Image, side: int) -> Image.Image:
    """Scale an image so that its longer side has `side` pixels.

    Example:
        >>> fit(Image.new("RGB", (640, 480)), 320).size
        (320, 240)
    """
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _label(text: str, size: int, width: int) -> Image.Image:
    """Text in black on white, centred and wrapped at `width` pixels, smaller where a word would be cut."""
    while size > LEAST_FONT and widest_part(text, caption_font(size)) > width:
        size -= 1
    font = caption_font(size)
    wrapped = wrap_text(text, font, width)
    lines = wrapped.count("\n") + 1 if wrapped else 0
    label = Image.new("RGB", (width, round(lines * 1.3 * size)), "white")
    draw = ImageDraw.Draw(label)
    for i, line in enumerate(wrapped.splitlines()):
        draw.text((width / 2, (i + 0.5) * 1.3 * size), line, fill="black", font=font, anchor="mm")
    return label
