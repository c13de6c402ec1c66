"""Landscapes in oil, each in the hand of one school."""

import numpy as np

from demo_paintings.brushes import OVERSAMPLE, Colours, Easel, Field, Painting, blur, cover, luma, mixed, ramp


def _landscape(easel: Easel, colours: Colours, ridges: int = 5) -> tuple[Painting, Field, Field]:
    """Sky, sun, hills and trees: the colour, the direction of the brush and the number of the layer per pixel.

    `colours` runs from the top of the sky over the far hills to the foreground; the last one is the sun's.
    """
    high, wide = easel.height, easel.width
    horizon = high * easel.between(0.25, 0.5)
    half = len(colours) // 2
    sky = ramp(easel.y / horizon * 0.8 + (easel.noise(90, 3, stretch=3) - 0.5) * 0.9, colours[:half])
    away, turn = easel.polar(wide * easel.between(0.15, 0.85), horizon * easel.between(0.25, 0.9))
    distance = away / easel.unit / easel.between(28, 50)
    glow = np.clip(1.3 - distance, 0, 1) + 0.5 * np.exp(-((distance / 3) ** 2))
    painting = cover(sky, colours[-1], glow)
    angle = np.where(distance < 4, turn + np.pi / 2, 0.15) + easel.noise(90) - 0.5
    layer = (distance < 1.0).astype(np.float32)
    for ridge in range(ridges):
        depth = ridge / max(ridges - 1, 1)
        base = horizon + (high - horizon) * 0.9 * depth**1.2
        line = base - easel.profile(220 - 60 * depth) * high * easel.between(0.08, 0.22)
        inside = easel.y > line
        tone = ramp(np.clip(depth * 0.75 + (easel.noise(60, 2, stretch=2) - 0.5) * 0.8, 0, 1), colours[half:-1])
        painting = np.where(inside[..., None], tone, painting)
        angle = np.where(inside, np.arctan(np.gradient(line)) + (easel.noise(70) - 0.5) * 1.2, angle)
        layer = np.where(inside, ridge + 2, layer)
    for tree in range(int(easel.rng.integers(2, 8))):
        size = easel.unit * easel.between(25, 70)
        x, y = wide * easel.between(0, 1), high * easel.between(0.45, 0.85)
        crown = np.hypot((easel.x - x) / size, (easel.y - y) / size / 1.4) + (easel.noise(22) - 0.5) * 0.7
        trunk = (abs(easel.x - x) < size * 0.09) & (easel.y > y) & (easel.y < y + size * 2.2)
        leaf = easel.pick(colours[:-1], 3, 0.05)
        painting = np.where(trunk[..., None], leaf[2] * 0.45, painting)
        shadow = (easel.y - y + easel.x - x) / size / 2 + 0.5 + easel.noise(14) * 0.4
        painting = np.where((crown < 1)[..., None], ramp(shadow, leaf * [[1.1], [0.9], [0.55]]), painting)
        angle = np.where(crown < 1, easel.polar(x, y)[1] + np.pi / 2, np.where(trunk, np.pi / 2, angle))
        layer = np.where((crown < 1) | trunk, 20 + tree, layer)
    return painting, angle, layer


def pointillism(easel: Easel) -> Painting:
    """A landscape of pure dots, each patch answered by dots of its complement."""
    colours = easel.palette(
        "4f86c6 8fb8de f3d9a4 7b8f4b 3f7d58 2e4a7d d98e4a fff2b0",
        "6a4c93 c77dac f7b267 3d5a80 5b8e7d 23395b c8553d ffe066",
        "2a9d8f 8ecae6 fefae0 606c38 a3b18a 283618 bc6c25 ffd166",
        "b56576 e8a598 f5e6ca 6d597a 457b9d 1d3557 e07a5f fff1c1",
    )
    scene, _, _ = _landscape(easel, colours)
    image, draw = easel.sheet(scene * 0.75 + 0.1)
    for radius, spacing in ((5.2, 6.2), (4.0, 5.6), (3.2, 6.4)):
        points = easel.scatter(spacing)
        dots = easel.at(scene, points + easel.rng.normal(0, 2 * easel.unit, points.shape))
        answer = easel.rng.random((len(points), 1)) < 0.25
        complement = np.roll(dots, 1, axis=-1) + (luma(dots) - luma(np.roll(dots, 1, axis=-1)))[:, None]
        dots = np.where(answer, 0.55 * complement + 0.45 * dots, dots * 1.5 - 0.5 * luma(dots)[:, None])
        dots = dots + easel.rng.normal(0, 0.035, dots.shape) + easel.rng.normal(0, 0.05, (len(dots), 1))
        reach = radius * easel.unit * easel.rng.uniform(0.7, 1.15, (len(points), 1))
        boxes = (np.concatenate([points - reach, points + reach], axis=1) * OVERSAMPLE).tolist()
        for box, fill in zip(boxes, (np.clip(dots, 0, 1) * 255).astype(int).tolist(), strict=True):
            draw.ellipse(box, fill=tuple(fill))
    painting = easel.lift(image)
    return easel.relief(painting, luma(painting) * 2 + easel.weave() * 0.4, 0.22)


def impasto(easel: Easel) -> Painting:
    """Thick ropes of paint that swirl about lights in the sky above dark, flame-like trees."""
    colours = easel.palette(
        "0b1d51 1d3f8f 2f6db5 6fb1d6 cfe0c3 f6d743",
        "12343b 1f6f78 4da1a9 a7d3a6 f2e3a0 f29f05",
        "3a0f3d 7b2d5b c8553d f28f3b ffd08a fff3c4",
        "1b2a1b 3d5a2b 7f9c3a c9c05a f1e3a3 e9a23b",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    angle = easel.between(-0.3, 0.3) + (easel.noise(240, 2) - 0.5) * 2.4
    tone = easel.noise(110, 3, stretch=2) * 0.62
    course = np.stack([np.cos(angle), np.sin(angle)])
    for x, y in easel.scatter(easel.between(125, 190), 0.9)[:14] * [1.0, 0.8]:
        reach = unit * easel.between(28, 85)
        away_x, away_y = easel.x - x, easel.y - y
        distance = np.hypot(away_x, away_y) + 1e-3
        pull = np.exp(-((distance / reach / 1.3) ** 2)) * 4
        course += pull * np.stack([-away_y, away_x]) / distance
        rings = 0.5 + 0.5 * np.cos(distance / reach * 7)
        tone = np.maximum(tone, np.exp(-((distance / reach) ** 2)) * (0.7 + 0.45 * rings))
    ridge = high * (0.98 - easel.profile(260) * easel.between(0.15, 0.3))
    land = easel.y > ridge
    lean = wide * easel.between(0.1, 0.9) + np.sin(easel.y / unit / 45 + easel.between(0, 6)) * 12 * unit
    top = high * easel.between(0.05, 0.35)
    flame = abs(easel.x - lean) < np.clip(easel.y - top, 0, None) * 0.16 * (0.8 + 0.4 * easel.noise(30))
    angle = np.arctan2(course[1], course[0])
    angle = np.where(land, np.arctan(np.gradient(ridge)) + np.sin(easel.x / unit / 30) * 0.4, angle)
    angle = np.where(flame, np.pi / 2 + np.sin(easel.y / unit / 28) * 0.5, angle)
    scene = ramp(tone, colours)
    ground = ramp(easel.noise(40, 2) * 0.75, np.stack([colours[0] * 0.6, colours[2], colours[3], colours[-1]]))
    scene = np.where(land[..., None], ground, scene)
    leaves = ramp(easel.noise(16), np.stack([colours[0] * 0.35, colours[1] * 0.8, colours[2] * 0.5]))
    scene = np.where(flame[..., None], leaves, scene)
    image, draw = easel.sheet(scene * 0.6)
    for spacing, width, length in ((11, 8, 48), (9, 6, 36)):
        starts = easel.scatter(spacing)
        paths = easel.walk(starts, angle, length)
        tones = easel.at(scene, paths[:, 4]) + easel.rng.normal(0, 0.06, (len(starts), 3))
        easel.strokes(draw, paths, tones, width=width, bristles=5, spread=0.07)
    painting = easel.lift(image)
    return easel.relief(painting, luma(painting) * 4, 0.3)


def fauvism(easel: Easel) -> Painting:
    """A landscape in loud, unnatural colours, laid on in broad slabs with dark blue contours."""
    colours = easel.palette(
        "2ec4b6 f9c80e ff7f51 d7263d 1b998b 2e294e f46197 f5f1d7",
        "f95738 f4d35e ee964b 7b2cbf 0d9e6e 0a3d91 e01e5a fff3b0",
        "ff99c8 fcf6bd 90dbf4 f3722c 43aa8b 277da1 f94144 ffe45e",
        "4361ee f72585 ffca3a 8ac926 1982c4 d62828 6a4c93 ffd6a5",
    )
    unit = easel.unit
    scene, angle, layer = _landscape(easel, colours, ridges=int(easel.rng.integers(4, 7)))
    vivid = np.clip(scene * 1.4 - 0.4 * luma(scene)[..., None], 0, 1)
    image, draw = easel.sheet(cover(vivid, mixed("f2e6c7"), 0.45))
    for spacing, width, length in ((17, 19, 46), (15, 13, 36)):
        starts = easel.scatter(spacing)
        paths = easel.walk(starts, angle, length, 5)
        middle = paths[:, 2]
        tones = easel.at(vivid, middle) + easel.rng.normal(0, 0.06, (len(starts), 3))
        stray = easel.rng.random((len(starts), 1)) < 0.12
        tones = np.where(stray, easel.pick(colours, len(starts)), tones)
        easel.strokes(draw, paths, tones, width=width, bristles=7, spread=0.045)
    painting = easel.lift(image)
    border = np.hypot(*np.gradient(blur(np.asarray(layer > 0, np.float32) + (layer * 0.618 % 1), 2.2 * unit)))
    contour = np.clip(border * unit * 9 - 0.35 + 0.3 * easel.noise(14), 0, 1)
    painting = cover(painting, mixed("171a4c"), contour * 0.85)
    return easel.relief(painting, luma(painting) * 4 + easel.weave() * 0.5, 0.28)
