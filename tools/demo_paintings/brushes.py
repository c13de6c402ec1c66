"""What every painted style shares: an easel with noise, bristles, washes, relief and grain.

Lengths that a painter gives are in *units*: 1/512 of the shorter side, so a painting keeps its look at any size.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage, spatial  # comes with scikit-image

Floats = NDArray[np.floating[Any]]
Field = Floats  # (height, width)
Painting = Floats  # (height, width, 3), RGB in 0..1
Colours = Floats  # (n, 3), RGB in 0..1
Points = Floats  # (..., 2), x and y in pixels
Ink = tuple[int, int, int]

OVERSAMPLE = 2  # what Pillow draws is drawn this much larger, then reduced: its edges come out smooth


def mixed(codes: str) -> Floats:
    """The colour of a hex code, or the palette of several between spaces, in 0..1."""
    colours = np.array([list(bytes.fromhex(code)) for code in codes.split()], np.float32) / 255
    return np.asarray(colours if len(colours) > 1 else colours[0])


def ink(colour: Floats) -> Ink:
    """The 8-bit RGB triple of one colour in 0..1."""
    red, green, blue = (np.clip(colour, 0, 1) * 255).astype(int).tolist()
    return red, green, blue


def ramp(position: Floats, colours: Colours) -> Floats:
    """Colours read off a palette laid out as one gradient; `position` in 0..1, any shape."""
    place = np.clip(position, 0, 1)[..., None] * (len(colours) - 1)
    low = np.minimum(place.astype(np.intp), len(colours) - 2)[..., 0]
    return np.asarray(colours[low] + (colours[low + 1] - colours[low]) * (place - low[..., None]))


def cover(below: Painting, above: Painting | Floats, opacity: Field | float) -> Painting:
    """Paint `above` over `below`; `opacity` in 0..1 per pixel or in all."""
    return np.asarray(below + (above - below) * np.asarray(np.clip(opacity, 0, 1))[..., None])


def luma(painting: Floats) -> Floats:
    """Brightness in 0..1 of colours along the last axis."""
    return np.asarray(painting @ np.array([0.299, 0.587, 0.114], np.float32))


def blur(field: Field, sigma: float) -> Field:
    """Gaussian blur of a field or painting; `sigma` in pixels."""
    smooth: Field = ndimage.gaussian_filter(field, sigma, mode="nearest", truncate=3.0, axes=(0, 1))
    return smooth


class Easel:
    """One empty painting with its random numbers; every painter starts from a fresh easel.

    Args:
        rng: the only source of chance.
        width: in pixels.
        height: in pixels.
    """

    def __init__(self, rng: np.random.Generator, width: int, height: int) -> None:
        self.rng, self.width, self.height = rng, width, height
        self.unit = min(width, height) / 512
        y, x = np.mgrid[:height, :width].astype(np.float32)
        self.x: Field = x
        self.y: Field = y

    def between(self, low: float, high: float) -> float:
        """One uniform random number."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return bool(self.rng.random() < probability)

    def palette(self, *choices: str, spread: float = 0.025) -> Colours:
        """One of the palettes, each given as hex colours between spaces, every colour mixed a little anew."""
        return self._vary(mixed(choices[self.rng.integers(len(choices))]), spread)

    def pick(self, colours: Colours, count: int, spread: float = 0.0) -> Colours:
        """`count` colours drawn from a palette, each off by a normal deviation of `spread`."""
        return self._vary(colours[self.rng.integers(len(colours), size=count)], spread)

    def _vary(self, colours: Colours, spread: float) -> Colours:
        varied: Colours = np.clip(colours + self.rng.normal(0, spread, colours.shape), 0, 1).astype(np.float32)
        return varied

    def polar(self, x: float, y: float) -> tuple[Field, Field]:
        """Distance in pixels and direction in radians of every pixel from a place."""
        return np.hypot(self.x - x, self.y - y), np.arctan2(self.y - y, self.x - x)

    def flat(self, colour: Floats) -> Painting:
        """A painting of one colour."""
        return np.full((self.height, self.width, 3), colour, np.float32)

    def noise(self, scale: float, octaves: int = 1, stretch: float = 1.0) -> Field:
        """Smooth noise filling 0..1: features of `scale` units high and `stretch` times as wide."""
        total = np.zeros((self.height, self.width), np.float32)
        for octave in range(octaves):
            high = max(scale * self.unit / 2**octave, 1.0)
            wide = max(high * stretch, 1.0)
            columns, rows = self.width / wide, self.height / high
            lattice = self.rng.random((int(rows) + 4, int(columns) + 4), dtype=np.float32)
            frame = (1.0, 1.0, 1.0 + columns, 1.0 + rows)
            smooth = Image.fromarray(lattice).resize((self.width, self.height), Image.Resampling.BICUBIC, box=frame)
            total += np.asarray(smooth, np.float32) * 0.5**octave
        darkest, lightest = (np.float32(np.quantile(total[::3, ::3], share)) for share in (0.005, 0.995))
        return np.asarray(np.clip((total - darkest) / (lightest - darkest), 0, 1))

    def profile(self, scale: float, octaves: int = 3) -> Floats:
        """A skyline: one smooth random value in 0..1 for every column."""
        values = np.interp(np.arange(self.width), *self._knots(scale * self.unit))
        for octave in range(1, octaves):
            values = values + np.interp(np.arange(self.width), *self._knots(scale * self.unit / 2**octave)) / 2**octave
        smooth = blur(np.asarray(values / values.max(), np.float32)[None], max(1.0, scale * self.unit / 9))[0]
        return np.asarray((smooth - smooth.min()) / (np.ptp(smooth) + 1e-6), np.float32)

    def _knots(self, step: float) -> tuple[Floats, Floats]:
        places = np.arange(-step, self.width + 2 * step, max(step, 2.0)) + self.rng.uniform(-0.5, 0.5) * step
        return places, self.rng.random(len(places))

    def streaks(self, angle: Field | float, length: float = 24, grain: float = 1.6) -> Field:
        """Bristle marks that follow a direction field in radians (a line integral convolution); mean 0, spread 1."""
        shape = (self.height, self.width)
        course = np.broadcast_to(np.asarray(angle, np.float32), shape)
        grains = self.noise(grain).ravel()
        total = grains.copy()
        stride = max(1.0, min(length / 14, grain) * self.unit)
        for way in (-stride, stride):
            along_x, along_y = (np.cos(course) * way).ravel(), (np.sin(course) * way).ravel()
            x, y = self.x.ravel().copy(), self.y.ravel().copy()
            at = np.arange(x.size)
            for _ in range(max(2, round(length * self.unit / 2 / stride))):
                x += along_x[at]
                y += along_y[at]
                np.clip(x, 0, self.width - 1, out=x)
                np.clip(y, 0, self.height - 1, out=y)
                at = y.astype(np.intp) * self.width + x.astype(np.intp)
                total += grains[at]
        marks = (total - total.mean()) / (total.std() + 1e-6)
        return np.asarray(marks.reshape(shape), np.float32)

    def weave(self, pitch: float = 3.2) -> Field:
        """The threads of a canvas as a height in about 0..1; `pitch` in units, never finer than 3 pixels."""
        turn = np.pi / max(pitch * self.unit, 3.0)
        sway = self.noise(40) * 3
        warp_thread, weft_thread = np.sin(self.x * turn + sway), np.sin(self.y * turn - sway)
        over = np.where((warp_thread > 0) ^ (weft_thread > 0), np.abs(warp_thread), np.abs(weft_thread))
        return np.asarray(over * (0.6 + 0.4 * self.noise(6)))

    def crackle(self, scale: float = 26, width: float = 0.9) -> Field:
        """The fine cracks of old paint: 1 on a crack, 0 elsewhere."""
        first, second, _ = self.cells(self.scatter(scale, 0.9))
        here = np.clip((self.noise(120, 2) - 0.45) * 4, 0, 1)
        return np.asarray(np.clip(1.3 - (second - first) / (width * self.unit), 0, 1) * here)

    def relief(self, painting: Painting, height: Field, strength: float) -> Painting:
        """Light the painting from the top left over a surface; a slope of 1 per unit counts `strength`."""
        slope_y, slope_x = np.gradient(height)
        light = np.asarray(np.clip((slope_x + slope_y) * strength * self.unit, -0.45, 0.45))[..., None]
        lit = np.where(light > 0, painting + light * (0.55 * painting + 0.3), painting * (1 + light))
        return np.asarray(np.clip(lit, 0, 1))

    def wobble(self, painting: Painting, amount: float, scale: float) -> Painting:
        """Displace a painting by smooth noise: ruled edges turn into painted ones; both lengths in units."""
        shift_x, shift_y = ((self.noise(scale, 2) - 0.5) * 2 * amount * self.unit for _ in range(2))
        return self.displace(painting, self.x + shift_x, self.y + shift_y)

    def displace(self, painting: Painting, x: Field, y: Field) -> Painting:
        """A painting whose every pixel is fetched from the place (x, y) of another."""
        moved = [
            ndimage.map_coordinates(channel, [y, x], order=1, mode="nearest") for channel in painting.transpose(2, 0, 1)
        ]
        return np.stack(moved, axis=-1)

    def scatter(self, spacing: float, disorder: float = 1.0) -> Points:
        """Points over the whole painting and a little beyond, `spacing` units apart, in random order."""
        step = spacing * self.unit
        rows, columns = np.mgrid[-step : self.height + step : step, -step : self.width + step : step]
        points = np.stack([columns.ravel(), rows.ravel()], axis=-1)
        points += self.rng.uniform(-0.5, 0.5, points.shape) * step * disorder
        self.rng.shuffle(points)
        return np.asarray(points, np.float32)

    def cells(self, sites: Points) -> tuple[Field, Field, NDArray[np.intp]]:
        """Distance to the nearest and second nearest site in pixels, and the number of the nearest one."""
        distance, nearest = spatial.cKDTree(sites).query(np.stack([self.x.ravel(), self.y.ravel()], axis=-1), k=2)
        shape = (self.height, self.width)
        first, second = (distance[:, rank].reshape(shape).astype(np.float32) for rank in range(2))
        return first, second, nearest[:, 0].reshape(shape)

    def at(self, field: Floats, points: Points) -> Floats:
        """The values of a field or painting under the points (those outside take the border's)."""
        column = np.clip(points[..., 0], 0, self.width - 1).astype(np.intp)
        row = np.clip(points[..., 1], 0, self.height - 1).astype(np.intp)
        return field[row, column]

    def sheet(self, ground: Painting) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """An enlarged sheet to draw on with Pillow, in `OVERSAMPLE` times the pixels."""
        image = to_image(ground).resize((self.width * OVERSAMPLE, self.height * OVERSAMPLE))
        return image, ImageDraw.Draw(image)

    def lift(self, sheet: Image.Image) -> Painting:
        """The painting drawn on a sheet, at its true size."""
        return np.asarray(sheet.reduce(OVERSAMPLE), np.float32) / 255

    def walk(self, starts: Points, angle: Field, length: float, steps: int = 8) -> Points:
        """Paths of `length` units that follow a direction field: (n, steps + 1, 2)."""
        stride = length * self.unit / steps
        places: list[Points] = [starts]
        for _ in range(steps):
            course = self.at(angle, places[-1])
            places.append(places[-1] + stride * np.stack([np.cos(course), np.sin(course)], axis=-1))
        return np.stack(places, axis=1)

    def strokes(
        self,
        draw: ImageDraw.ImageDraw,
        paths: Points,
        colours: Colours,
        *,
        width: float,
        bristles: int = 6,
        spread: float = 0.05,
    ) -> None:
        """Draw paths as brush strokes `width` units wide: side by side bristles with their own tone and ragged ends."""
        thick = width * self.unit
        along = np.gradient(paths, axis=1)
        along /= np.linalg.norm(along, axis=-1, keepdims=True) + 1e-6
        across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
        shape = (len(paths), bristles, 1, 1)
        sideways = np.linspace(-0.5, 0.5, bristles).reshape(1, -1, 1, 1) * thick * self.rng.uniform(0.7, 1.2, shape)
        slip = self.rng.normal(0, 0.5, shape) * thick
        lines = (paths[:, None] + sideways * across[:, None] + slip * along[:, None]) * OVERSAMPLE
        tones = colours[:, None] + self.rng.normal(0, spread, (*shape[:2], 1))
        inks = (np.clip(tones, 0, 1) * 255).astype(np.uint8).reshape(-1, 3).tolist()
        hair = max(1, round(1.5 * thick * OVERSAMPLE / bristles))
        for line, tone in zip(lines.reshape(len(inks), -1).tolist(), inks, strict=True):
            draw.line(line, fill=tuple(tone), width=hair)


def to_image(painting: Painting) -> Image.Image:
    """The Pillow RGB image of a painting in 0..1."""
    return Image.fromarray((np.clip(painting, 0, 1) * 255 + 0.5).astype(np.uint8))
