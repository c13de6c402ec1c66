"""What the button of the web page does, without the page."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageChops

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Style, Stylizer
from adain_lit.io.images import ImageReadError, read_image, resized_size, write_image

STYLE_SIZE = 512
NARROW = 16
"""A style with a longer side of more times the shorter one is refused: scaled up, it would fill the memory."""
CANVAS = 560
"""Longer side in pixels of the image that is painted on."""
KEPT = 12
"""Earlier results that a session shows, and styles that are held ready."""


class Studio:
    """Makes images from the files that people hand in, and speaks to them in plain words.

    Args:
        stylizer: the network.
        folder: results go to folders of their own below it.
        max_pixels: larger images are refused, and larger results.
    """

    def __init__(self, stylizer: Stylizer, folder: Path, *, max_pixels: int) -> None:
        self.stylizer = stylizer
        self.folder = folder
        self.max_pixels = max_pixels
        self._styles: dict[str, Style] = {}

    def canvas(self, content: str | None) -> Image.Image | None:
        """A small copy of the content to paint on; None where there is none.

        Raises:
            InputError: if it cannot be read.
        """
        if content is None:
            return None
        image = self._read(content, "Your image")
        image.thumbnail((CANVAS, CANVAS), Image.Resampling.LANCZOS)
        return image

    def make(
        self,
        content: str | None,
        styles: Sequence[str | None],
        weights: Sequence[float],
        *,
        painted: Image.Image | None = None,
        alpha: float = 1.0,
        color: str = "none",
        size: int = 512,
    ) -> Path:
        """Stylise an image.

        Args:
            content: file of the image.
            styles: files of the styles; places without one are None.
            weights: share of each place.
            painted: grey image of the content's shape: white takes the first style, black the others (or stays
                content where there is one). None mixes all styles everywhere.
            alpha: 0 is the content, 1 the style.
            color: ``none``, ``coral`` or ``luminance``.
            size: shorter side of the result in pixels, 0 keeps the content's.

        Returns:
            The result, a PNG file in a folder that nobody can guess.

        Raises:
            InputError: in words for the person who pressed the button.
        """
        if content is None:
            raise InputError("Add your image first.")
        given = [(place + 1, path, w) for place, (path, w) in enumerate(zip(styles, weights, strict=True)) if path]
        if not given:
            raise InputError("Add at least one style image.")
        shares = [share for _, _, share in given] if len(given) > 1 else None
        if shares is not None and not any(shares):
            raise InputError("All styles have the share 0; give at least one of them more.")
        image = self._read(content, "Your image")
        width, height = resized_size(*image.size, size or min(image.size))
        if width * height > self.max_pixels:
            raise InputError(f"The result would have {width}x{height} pixels, too many; choose a smaller size.")
        masks = None
        if painted is not None:
            masks = [painted, *[ImageChops.invert(painted)] * (len(given) - 1)]
        try:
            result = self.stylizer(
                image,
                [self._style(path, f"Style {place}") for place, path, _ in given],
                alpha=alpha,
                weights=shares,
                masks=masks,
                preserve_color=None if color == "none" else color,
                size=size or None,
            )
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise InputError("There is not enough memory for an image of this size; choose a smaller one.") from error
        path = self.folder / secrets.token_hex(16) / f"{Path(content).stem[:80]}_stylized.png"
        write_image(result, path)
        return path

    def _style(self, path: str, name: str) -> Style:
        """Encoded once for each file: an upload's path holds its checksum."""
        if path not in self._styles:
            image = self._read(path, name)
            if max(image.size) > NARROW * min(image.size):
                size = f"{image.width}x{image.height}"
                raise InputError(f"{name} ({Path(path).name}) has {size} pixels, too narrow; cut a part out of it.")
            self._styles[path] = self.stylizer.encode_style(image, size=STYLE_SIZE)
            while len(self._styles) > KEPT:
                self._styles.pop(next(iter(self._styles)))
        return self._styles[path]

    def _read(self, path: str, name: str) -> Image.Image:
        try:
            return read_image(path, max_pixels=self.max_pixels)
        except ImageReadError as error:
            raise InputError(f"{name} ({Path(path).name}) cannot be used: {error.reason}.") from error
