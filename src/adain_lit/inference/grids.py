"""Grids of images: contents x styles, the trade-off strip of Fig. 7 and the four-style grid of Fig. 8."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from PIL import Image

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Content, Style, Stylizer

GAP = 6
"""White pixels between images."""
SIDE = 256
"""Longer side in pixels of the images of a grid."""


def image_grid(rows: Sequence[Sequence[Image.Image | None]], *, side: int = SIDE) -> Image.Image:
    """Arrange images in rows and columns on white, each centred in its place.

    Args:
        rows: the images; None leaves a place empty.
        side: each image is scaled so that its longer side has this many pixels.

    Example:
        >>> wide, tall = Image.new("RGB", (40, 20)), Image.new("RGB", (10, 20))
        >>> image_grid([[wide, tall], [None, wide]], side=60).size  # columns of 60, rows of 60 and 30 pixels, 3 gaps
        (138, 108)
    """
    fitted = [[image and fit(image, side) for image in row] for row in rows]
    widths = [max(image.width if image else 0 for image in column) for column in zip_longest(*fitted)]
    heights = [max(image.height if image else 0 for image in row) for row in fitted]
    grid = Image.new("RGB", (sum(widths) + GAP * (len(widths) + 1), sum(heights) + GAP * (len(heights) + 1)), "white")
    y = GAP
    for row, height in zip(fitted, heights, strict=True):
        x = GAP
        for image, width in zip_longest(row, widths):
            if image:
                grid.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
            x += width + GAP
        y += height + GAP
    return grid


def fit(image: Image.Image, side: int = SIDE) -> Image.Image:
    """Scale an image so that its longer side has `side` pixels.

    Example:
        >>> fit(Image.new("RGB", (640, 480)), 320).size
        (320, 240)
    """
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def trade_off(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = SIDE, **controls: Any
) -> Image.Image:
    """The content-style trade-off: `steps` images with alpha from 0 to 1 (Eq. 14, Fig. 7).

    Args:
        stylizer: the network.
        content: the content image.
        styles: the style, or several that are mixed.
        steps: the number of images.
        side: longer side of each image in pixels.
        controls: as for a call of the stylizer, without ``alpha``.

    Example:
        >>> from adain_lit.inference.stylizer import load
        >>> stylizer = load(device="cpu")
        >>> content = stylizer.encode_content(Image.new("RGB", (48, 32), "teal"))
        >>> style = stylizer.encode_style(Image.new("RGB", (32, 32), "orange"))
        >>> trade_off(stylizer, content, [style], steps=3, side=60).size
        (204, 52)
    """
    alphas = [i / (steps - 1) for i in range(steps)]
    return image_grid([[stylizer(content, styles, alpha=alpha, **controls) for alpha in alphas]], side=side)


def interpolation(
    stylizer: Stylizer, content: Content, styles: Sequence[Style], *, steps: int = 5, side: int = SIDE, **controls: Any
) -> Image.Image:
    """Style interpolation: four styles in the corners of a grid and their mixtures between (Eq. 15, Fig. 8).

    Args:
        stylizer: the network.
        content: the content image.
        styles: the styles at the upper left, upper right, lower left and lower right.
        steps: the number of rows and of columns.
        side: longer side of each image in pixels.
        controls: as for a call of the stylizer, without ``weights`` and ``masks``.

    Raises:
        InputError: if there are not four styles.

    Example:
        >>> from adain_lit.inference.stylizer import load
        >>> stylizer = load(device="cpu")
        >>> content = stylizer.encode_content(Image.new("RGB", (48, 32), "teal"))
        >>> styles = [stylizer.encode_style(Image.new("RGB", (32, 32), c)) for c in ("red", "gold", "green", "blue")]
        >>> interpolation(stylizer, content, styles, steps=2, side=60).size
        (138, 98)
    """
    if len(styles) != 4:
        raise InputError(f"{len(styles)} styles for the four corners of the interpolation grid; give four")
    positions = [i / (steps - 1) for i in range(steps)]
    rows = [
        # bilinear weights of the four corners
        [
            stylizer(content, styles, weights=[(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x], **controls)
            for x in positions
        ]
        for y in positions
    ]
    return image_grid(rows, side=side)


GRIDS: dict[str, tuple[Callable[..., Image.Image], tuple[str, ...]]] = {
    "trade_off": (trade_off, ("alpha",)),
    "interpolate": (interpolation, ("weights", "masks")),
}
"""Grids of one content by the option that makes them, each with the controls that it sets itself."""
