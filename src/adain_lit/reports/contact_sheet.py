"""The contact sheet: the last image grids of several runs side by side, as in Fig. 5 of the paper."""

from collections.abc import Sequence

from PIL import Image

from adain_lit.reports.image_grid import image_grid

GRID_COLUMNS = ("content", "style", "stylised")
"""Columns of the image grid that a run writes after each validation; rows are held-out pairs."""
GRID_GAP = 4
"""White border around each image of a grid, in pixels."""
LEAST_SIDE = 128
"""Smaller images are enlarged to this width in pixels."""
COLUMNS_PER_BAND = 10

Column = tuple[str, Image.Image]
"""Caption and images."""


def contact_sheet(grids: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Put image grids side by side, with a caption above each column of images.

    The content and style columns precede the first run, every run that shows other pairs, and the first run of each
    further band.

    Args:
        grids: as `adain_lit.callbacks.ImageGrid` writes them, at least one.
        captions: one for each grid; long ones are wrapped.

    Example:
        >>> grid = Image.new("RGB", (3 * 36 + 4, 40))
        >>> contact_sheet([grid, grid], ["lambda 1", "lambda 10"]).size
        (542, 159)
    """
    bands: list[list[Column]] = [[]]
    shown = b""
    for grid, caption in zip(grids, captions, strict=True):
        content, style, stylised = _columns(grid)
        pairs = content.tobytes() + style.tobytes()
        new = [(caption, stylised)]
        if pairs != shown or len(bands[-1]) == COLUMNS_PER_BAND:
            new = [*zip(GRID_COLUMNS, (content, style), strict=False), *new]
        if len(bands[-1]) + len(new) > COLUMNS_PER_BAND:
            bands.append([])
        bands[-1] += new
        shown = pairs
    side = max(LEAST_SIDE, *(image.width for band in bands for _, image in band))
    return _stacked([_band(band, side) for band in bands])


def _columns(grid: Image.Image) -> list[Image.Image]:
    """Split a grid into its columns, without the white borders around them."""
    step = (grid.width - GRID_GAP) // len(GRID_COLUMNS)
    return [
        grid.crop((GRID_GAP + i * step, GRID_GAP, (i + 1) * step, grid.height - GRID_GAP)).convert("RGB")
        for i in range(len(GRID_COLUMNS))
    ]


def _band(columns: Sequence[Column], side: int) -> Image.Image:
    """Columns side by side, each `side` pixels wide, under their captions."""
    captions, images = zip(*columns, strict=True)
    scaled = [
        image.resize((side, round(image.height * side / image.width)), Image.Resampling.LANCZOS) for image in images
    ]
    return image_grid([scaled], columns=captions)


def _stacked(bands: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(band.width for band in bands), sum(band.height for band in bands)), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return sheet
