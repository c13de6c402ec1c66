"""Contact sheets: every content with every style, the trade-off strip of Fig. 7 and the four-style grid of Fig. 8."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from adain_lit.errors import InputError
from adain_lit.stylizer import Content, Style, Stylizer

GAP = 6
"""Pixels of white between pictures."""


def table(rows: Sequence[Sequence[Image.Image | None]], *, side: int = 256) -> Image.Image:
    """Pictures in rows and columns, each fitted into a square of `side` pixels; None leaves a place white."""
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, len(rows) * (side + GAP) + GAP), "white")
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            if picture is None:
                continue
            fitted = fit(picture, side)
            x = GAP + j * (side + GAP) + (side - fitted.width) // 2
            y = GAP + i * (side + GAP) + (side - fitted.height) // 2
            sheet.paste(fitted, (x, y))
    return sheet


def fit(picture: Image.Image, side: int) -> Image.Image:
    """The picture scaled so that its longer side is `side` pixels."""
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def trade_off(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = 256, **controls: Any
) -> Image.Image:
    """The content-style trade-off: alpha from 0 to 1 in `steps` pictures (Fig. 7)."""
    alphas = [i / (steps - 1) for i in range(steps)]
    return table([[stylizer(content, styles, alpha=alpha, **controls) for alpha in alphas]], side=side)


def interpolation(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = 256, **controls: Any
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
