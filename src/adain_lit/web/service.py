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
MAX_ASPECT_RATIO = 16
"""Narrower styles are refused: their shorter side is scaled to `STYLE_SIZE`, and the longer would fill the memory."""
CANVAS = 560
"""Longer side in pixels of the image that users paint on."""
KEPT = 12
"""Number of earlier results that a session shows, and of encoded styles that are kept."""


class StylizeService:
    """Stylises uploaded files. Its errors are sentences for the user of the page.

    Args:
        stylizer: the network.
        folder: each result is written to a new folder below it.
        max_pixels: larger images and larger results are refused.
    """

    def __init__(self, stylizer: Stylizer, folder: Path, *, max_pixels: int) -> None:
        self.stylizer = stylizer
        self.folder = folder
        self.max_pixels = max_pixels
        self._styles: dict[str, Style] = {}

    def canvas(self, content: str | None) -> Image.Image | None:
        """A small copy of the content to paint on; None without a content.

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
            content: file of the content image.
            styles: file of each style image; None for an empty place.
            weights: weight of each place.
            painted: greyscale mask in the content's aspect ratio: white takes the first style, black the others, or
                stays content if there is one style. None mixes all styles everywhere.
            alpha: 0 is the content, 1 the style.
            color: ``none``, ``coral`` or ``luminance``.
            size: shorter side of the result in pixels; 0 keeps the content's.

        Returns:
            The result, a PNG file in a folder with an unguessable name.

        Raises:
            InputError: if something is missing, unreadable or too large.
        """
        if content is None:
            raise InputError("Add your image first.")
        given = [(place, path, w) for place, (path, w) in enumerate(zip(styles, weights, strict=True), 1) if path]
        if not given:
            raise InputError("Add at least one style image.")
        used = [weight for *_, weight in given] if len(given) > 1 else None  # the slider of a single style is hidden
        if used is not None and not any(used):
            raise InputError("All styles have weight 0; raise at least one.")
        image = self._read(content, "Your image")
        width, height = resized_size(*image.size, size or min(image.size))
        if width * height > self.max_pixels:
            raise InputError(f"The result would be too large ({width}x{height} pixels); choose a smaller size.")
        masks = None
        if painted is not None:
            masks = [painted, *[ImageChops.invert(painted)] * (len(given) - 1)]
        try:
            result = self.stylizer(
                image,
                [self._style(path, f"Style {place}") for place, path, _ in given],
                alpha=alpha,
                weights=used,
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
        """Encode each file once; the path of an upload contains its checksum."""
        if path not in self._styles:
            image = self._read(path, name)
            if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
                size = f"{image.width}x{image.height}"
                raise InputError(f"{name} ({Path(path).name}) is too narrow ({size} pixels); crop it.")
            self._styles[path] = self.stylizer.encode_style(image, size=STYLE_SIZE)
            while len(self._styles) > KEPT:
                self._styles.pop(next(iter(self._styles)))
        return self._styles[path]

    def _read(self, path: str, name: str) -> Image.Image:
        try:
            return read_image(path, max_pixels=self.max_pixels)
        except ImageReadError as error:
            raise InputError(f"{name} ({Path(path).name}) cannot be used: {error.reason}.") from error
