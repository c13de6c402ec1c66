"""Grids of images: contents x styles, the trade-off of Fig. 7, the four-style grid of Fig. 8, masks as in Fig. 11."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageOps

from adain_lit.errors import InputError, counted
from adain_lit.inference.stylizer import Content, Style, Stylizer
from adain_lit.io.images import to_image
from adain_lit.io.inputs import ImageInput, as_image
from adain_lit.reports.captions import ALPHA
from adain_lit.reports.image_grid import fit, image_grid

SIDE = 256
"""Longer side in pixels of the images of the command's grids, unless it is given a ``--size``."""


def thumbnail(image: ImageInput, size: tuple[int, int]) -> Image.Image:
    """An image as large as fits into `size`, (width, height) in pixels.

    Example:
        >>> thumbnail(Image.new("RGB", (640, 480)), (256, 256)).size
        (256, 192)
    """
    return ImageOps.contain(as_image(image), size, Image.Resampling.LANCZOS)


def trade_off(
    stylizer: Stylizer,
    content: Content,
    styles: Sequence[Style],
    *,
    steps: int = 5,
    side: int | None = None,
    style_images: Sequence[ImageInput] = (),
    labels: bool = False,
    **controls: Any,
) -> Image.Image:
    """The content-style trade-off: `steps` images with alpha from 0 to 1 (Eq. 14, Fig. 7).

    Args:
        stylizer: the network.
        content: the content image.
        styles: the style, or several that are mixed.
        steps: the number of images.
        side: longer side of each image in pixels; None keeps the content's size.
        style_images: the style images, which are shown to the right.
        labels: write alpha above each image.
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
    images = [_scaled(stylizer(content, styles, alpha=alpha, **controls), side) for alpha in alphas]
    shown = [thumbnail(style, images[0].size) for style in style_images]
    columns = [*(f"{ALPHA} = {alpha:g}" for alpha in alphas), *["style"] * len(shown)]
    return image_grid([[*images, *shown]], columns=columns if labels else ())


def interpolation(
    stylizer: Stylizer,
    content: Content,
    styles: Sequence[Style],
    *,
    steps: int = 5,
    side: int | None = None,
    style_images: Sequence[ImageInput] = (),
    labels: bool = False,
    **controls: Any,
) -> Image.Image:
    """Style interpolation: four styles in the corners of a grid and their mixtures between (Eq. 15, Fig. 8).

    Args:
        stylizer: the network.
        content: the content image.
        styles: the styles at the upper left, upper right, lower left and lower right.
        steps: the number of rows and of columns.
        side: longer side of each image in pixels; None keeps the content's size.
        style_images: the style images, which are shown beside their corners.
        labels: write "style" above those.
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
        raise InputError(f"{counted(len(styles), 'style')} for the four corners of the interpolation grid; give four")
    positions = [i / (steps - 1) for i in range(steps)]
    rows: list[list[Image.Image | None]] = [
        [_scaled(stylizer(content, styles, weights=_corners(x, y), **controls), side) for x in positions]
        for y in positions
    ]
    columns: list[str] = []
    if style_images:
        size = _scaled(to_image(content.image[0]), side).size
        upper_left, upper_right, lower_left, lower_right = (thumbnail(style, size) for style in style_images)
        between = [(None, None)] * (steps - 2)
        beside = [(upper_left, upper_right), *between, (lower_left, lower_right)]
        rows = [[left, *row, right] for row, (left, right) in zip(rows, beside, strict=True)]
        columns = ["style", *[""] * steps, "style"]
    return image_grid(rows, columns=columns if labels else ())


def _scaled(image: Image.Image, side: int | None) -> Image.Image:
    return fit(image, side) if side else image


def _corners(x: float, y: float) -> list[float]:
    """Bilinear weights of the styles at the upper left, upper right, lower left and lower right."""
    return [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]


GRIDS: dict[str, tuple[Callable[..., Image.Image], tuple[str, ...]]] = {
    "trade_off": (trade_off, ("alpha",)),
    "interpolate": (interpolation, ("weights", "masks")),
}
"""Grids of one content by the option that makes them, each with the controls that it sets itself."""
