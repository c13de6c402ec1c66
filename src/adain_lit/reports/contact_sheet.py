"""The contact sheet: the last image grids of several runs side by side, as in Fig. 5 of the paper."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from adain_lit.reports.style import caption_font, wrap_text

GRID_COLUMNS = ("content", "style", "stylised")
"""Columns of the image grid that a run writes after each validation; rows are held-out pairs."""
GRID_GAP = 4
"""White border around each image of a grid, in pixels."""
LEAST_SIDE, MOST_SIDE = 128, 256
"""Bounds of the width of an image on the sheet, in pixels."""
COLUMNS_PER_BAND = 10
FONT_SIZE = 13

Column = tuple[str, Image.Image]
"""Caption and images."""


def contact_sheet(grids: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Put image grids side by side, with a caption above each column of images.

    The content and style columns precede the first run, and again only a run that shows other pairs.

    Args:
        grids: as `adain_lit.callbacks.ImageGrid` writes them, at least one.
        captions: one for each grid; long ones are wrapped.

    Example:
        >>> grid = Image.new("RGB", (3 * 36 + 4, 40))
        >>> contact_sheet([grid, grid], ["lambda 1", "lambda 10"]).size
        (532, 166)
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
    bands = [_band(columns[i : i + COLUMNS_PER_BAND], side) for i in range(0, len(columns), COLUMNS_PER_BAND)]
    sheet = Image.new("RGB", (max(band.width for band in bands), sum(band.height for band in bands)), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return sheet


def _columns(grid: Image.Image) -> list[Image.Image]:
    """Split a grid into its columns, without the white borders to their sides."""
    step = (grid.width - GRID_GAP) // len(GRID_COLUMNS)
    return [
        grid.crop((GRID_GAP + i * step, GRID_GAP, (i + 1) * step, grid.height)).convert("RGB")
        for i in range(len(GRID_COLUMNS))
    ]


def _band(columns: Sequence[Column], side: int) -> Image.Image:
    """Columns side by side, each `side` pixels wide, under their captions."""
    font = caption_font(FONT_SIZE)
    texts = [wrap_text(caption, font, side) for caption, _ in columns]
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
