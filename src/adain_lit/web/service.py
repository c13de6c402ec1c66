"""What the controls of the web page do, without the page."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageChops

from adain_lit.errors import InputError
from adain_lit.inference.stylizer import Content, Style, Stylizer
from adain_lit.io.images import ImageReadError, read_image, resized_size, write_image

STYLE_SIZE = 512
"""Default of the shorter side in pixels that styles are scaled to."""
MAX_ASPECT_RATIO = 16
"""Narrower styles are refused: their shorter side is scaled, and the longer would fill the memory."""
CANVAS = 560
"""Longer side in pixels of the image that users paint on."""
PREVIEW = 256
"""Longer side in pixels of a preview, which takes about 0.1 s on two cores."""
KEPT = 12
"""Number of earlier results that a session shows, and of encoded styles that are kept."""
COLOR_NAMES = {"none": "", "coral": "colours from the image", "luminance": "colours of the image"}


class Controls(NamedTuple):
    """The controls of the page.

    Attributes:
        alpha: 0 is the content, 1 the style.
        style_size: shorter side in pixels that the styles are scaled to: the larger, the coarser the strokes.
        color: ``none``, ``coral`` or ``luminance``.
        size: shorter side of the result in pixels; 0 keeps the content's.
    """

    alpha: float = 1.0
    style_size: int = STYLE_SIZE
    color: str = "none"
    size: int = 512


DEFAULTS = Controls()


class Result(NamedTuple):
    """A stylised image in files.

    Attributes:
        path: the result, a PNG file whose name holds the settings, in a folder with an unguessable name.
        before: the content in the same size, a JPEG file.
        caption: the settings in words.
        controls: the settings.
        inputs: what it was made from, to recognise it (`inputs`).
    """

    path: str
    before: str
    caption: str
    controls: Controls
    inputs: tuple[Any, ...]


class _Small(NamedTuple):
    """The content of previews: its file, a small copy, the shorter side of the file's image, and the encoded copy."""

    path: str
    image: Image.Image
    size: int
    encoded: Content


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
        self._styles: dict[tuple[str, int], Style] = {}
        self._small: _Small | None = None

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
        controls: Controls = DEFAULTS,
    ) -> Result:
        """Stylise an image.

        Args:
            content: file of the content image.
            styles: file of each style image; None for an empty place.
            weights: weight of each place.
            painted: greyscale mask in the content's aspect ratio: white takes the first style, black the others, or
                stays content if there is one style. None mixes all styles everywhere.
            controls: the other settings.

        Raises:
            InputError: if something is missing, unreadable or too large.
        """
        if content is None:
            raise InputError("Add your image first.")
        used = _used(styles, weights)
        image = self._read(content, "Your image")
        width, height = resized_size(*image.size, controls.size or min(image.size))
        if width * height > self.max_pixels:
            raise InputError(f"The result would be too large ({width}x{height} pixels); choose a smaller size.")
        encoded = [self._style(path, f"Style {place}", controls.style_size) for place, path, _ in used]
        try:
            result = self.stylizer(image, encoded, size=controls.size or None, **_options(used, painted, controls))
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise InputError("There is not enough memory for an image of this size; choose a smaller one.") from error
        folder = self.folder / secrets.token_hex(16)
        path, before = folder / file_name(content, [path for _, path, _ in used], controls), folder / "before.jpg"
        write_image(result, path)
        write_image(image.resize(result.size, Image.Resampling.LANCZOS), before)
        made_from = inputs(content, styles, weights, painted=painted, controls=controls)
        return Result(str(path), str(before), _caption([path for _, path, _ in used], controls), controls, made_from)

    def preview(
        self,
        content: str | None,
        styles: Sequence[str | None],
        weights: Sequence[float],
        *,
        painted: Image.Image | None = None,
        controls: Controls = DEFAULTS,
    ) -> tuple[Image.Image, Image.Image] | None:
        """The content and the result at small size, in a fraction of a second; None if something is missing.

        Styles are scaled down as much as the content is, so that strokes keep their share of the image.

        Raises:
            InputError: as `make`.
        """
        if content is None or not any(styles) or not any(w for path, w in zip(styles, weights, strict=True) if path):
            return None
        used = _used(styles, weights)
        if self._small is None or self._small[0] != content:
            full = self._read(content, "Your image")
            image = full.copy()
            image.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
            self._small = _Small(content, image, min(full.size), self.stylizer.encode_content(image))
        _, image, own_size, small = self._small
        scale = min(1.0, min(image.size) / (controls.size or own_size))
        style_size = max(1, round(controls.style_size * scale))
        encoded = [self._style(path, f"Style {place}", style_size) for place, path, _ in used]
        return image, self.stylizer(small, encoded, **_options(used, painted, controls))

    def check_style(self, path: str | None, name: str) -> None:
        """Raise an InputError if an uploaded style cannot be used."""
        if path:
            self._read_style(path, name)

    def _style(self, path: str, name: str, size: int) -> Style:
        """Encode each file once in each size; the path of an upload contains its checksum."""
        key = path, size
        if key not in self._styles:
            self._styles[key] = self.stylizer.encode_style(self._read_style(path, name), size=size)
            while len(self._styles) > KEPT:
                self._styles.pop(next(iter(self._styles)))
        return self._styles[key]

    def _read_style(self, path: str, name: str) -> Image.Image:
        image = self._read(path, name)
        if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            size = f"{image.width}x{image.height}"
            raise InputError(f"{name} ({Path(path).name}) is too narrow ({size} pixels); crop it.")
        return image

    def _read(self, path: str, name: str) -> Image.Image:
        try:
            return read_image(path, max_pixels=self.max_pixels)
        except ImageReadError as error:
            raise InputError(f"{name} ({Path(path).name}) cannot be used: {error.reason}.") from error


Used = Sequence[tuple[int, str, float]]
"""Place, file and weight of each style that is given."""


def inputs(
    content: str | None,
    styles: Sequence[str | None],
    weights: Sequence[float],
    *,
    painted: Image.Image | None = None,
    controls: Controls = DEFAULTS,
) -> tuple[Any, ...]:
    """All that a result depends on: equal for equal results.

    Example:
        >>> mine = inputs("cat.jpg", ["wave.png", None], [1.0, 1.0])
        >>> mine == inputs("cat.jpg", ["wave.png", None], [1.0, 0.5])  # the weight of an empty place says nothing
        True
        >>> mine == inputs("cat.jpg", ["wave.png", None], [1.0, 1.0], controls=Controls(alpha=0.8))
        False
    """
    used = [(path, weight) for path, weight in zip(styles, weights, strict=True) if path]
    used = used if len(used) > 1 else [(path, 1.0) for path, _ in used]
    return content, tuple(used), painted and (painted.size, painted.tobytes()), controls


def file_name(content: str, styles: Sequence[str], controls: Controls) -> str:
    """Name of a result: content, styles and settings.

    Example:
        >>> file_name("up/cat.jpg", ["up/wave.png", "up/dots.webp"], Controls(alpha=0.8, color="coral"))
        'cat_wave+dots_strength-0.8_style-512_coral_512px.png'
    """
    names = _clipped(Path(content).stem, 80), _clipped("+".join(Path(path).stem for path in styles), 80)
    settings = [f"strength-{controls.alpha:g}", f"style-{controls.style_size}"]
    settings += [controls.color] if controls.color != "none" else []
    return "_".join([*names, *settings, f"{controls.size}px" if controls.size else "full"]) + ".png"


def _clipped(text: str, most: int) -> str:
    """At most so many bytes of a file name: file systems allow 255."""
    return text.encode()[:most].decode(errors="ignore")


def _caption(styles: Sequence[str], controls: Controls) -> str:
    parts = [
        "+".join(Path(path).stem for path in styles),
        f"strength {controls.alpha:g}",
        f"style {controls.style_size}",
    ]
    parts += [COLOR_NAMES.get(controls.color, ""), f"{controls.size} px" if controls.size else "full size"]
    return ", ".join(filter(None, parts))


def _used(styles: Sequence[str | None], weights: Sequence[float]) -> Used:
    used = [(place, path, w) for place, (path, w) in enumerate(zip(styles, weights, strict=True), 1) if path]
    if not used:
        raise InputError("Add at least one style image.")
    if len(used) > 1 and not any(weight for *_, weight in used):
        raise InputError("All styles have weight 0; raise at least one.")
    return used


def _options(used: Used, painted: Image.Image | None, controls: Controls) -> dict[str, Any]:
    """The controls as a `Stylizer` takes them."""
    masks = None
    if painted is not None:
        masks = [painted, *[ImageChops.invert(painted)] * (len(used) - 1)]
    return {
        "alpha": controls.alpha,
        "weights": [weight for *_, weight in used] if len(used) > 1 else None,  # the slider of one style is hidden
        "masks": masks,
        "preserve_color": None if controls.color == "none" else controls.color,
    }
