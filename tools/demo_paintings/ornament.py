"""Decorative styles: glass, stones and gilded scrolls."""

import numpy as np

from demo_paintings.brushes import OVERSAMPLE, Easel, Ink, Painting, cover, ink, luma, mixed, ramp


def stained_glass(easel: Easel) -> Painting:
    """Glowing panes about a rose of rings and rays, held by lead."""
    colours = easel.palette(
        "0d2c84 1f6fd1 b3122a e8471c f4b41a f8e58c 1c7a4b 5a1d7c",
        "063b3f 0f8b8d 17b890 f2c14e f78154 b4436c 5b2a86 d9e5d6",
        "5e0b15 90323d bc4b51 f4a259 f4e285 5b8e7d 1e4e8c 8cb369",
        "1a1f4b 3a2e8c 7548c9 c77dff ffb3d9 ffd670 1f9ed1 0a5c6b",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    centre = np.array([wide * easel.between(0.3, 0.7), high * easel.between(0.3, 0.7)])
    step, petals = unit * easel.between(34, 52), int(easel.rng.integers(6, 11))
    sites = [centre[None]]
    rose = int(easel.rng.integers(3, 6))
    for ring in range(1, rose + 1):
        turn = np.arange(petals * (1 + (ring > 2))) + 0.5 * (ring % 2)
        turn = turn * 2 * np.pi / len(turn)
        sites.append(centre + ring * step * np.stack([np.cos(turn), np.sin(turn)], axis=-1))
    outside = easel.scatter(easel.between(48, 66), 0.9)
    sites.append(outside[np.hypot(*(outside - centre).T) > (rose + 0.75) * step])
    points = np.concatenate(sites).astype(np.float32)
    first, second, number = easel.cells(points)
    radius = np.hypot(*(points - centre).T) / step
    ring_number = np.minimum(np.round(radius), rose + 1 + np.round(easel.rng.random(len(radius)) * 2)).astype(int)
    order = easel.rng.permutation(len(colours))
    hue = colours[order[(ring_number + easel.rng.integers(0, 2, len(points))) % len(order)]]
    hue = np.clip(hue * easel.rng.uniform(0.75, 1.25, (len(points), 1)), 0, 1)
    rim = second - first
    marks = easel.streaks(easel.between(0, 3) + easel.noise(120) * 2, 40, 3)
    glow = 0.62 + 0.55 * np.clip(rim / (step * 0.8), 0, 1) + 0.5 * (easel.noise(140, 2) - 0.5) + 0.07 * marks
    painting = hue[number] * glow[..., None]
    painting = painting + 0.35 * np.clip(easel.noise(9) - 0.86, 0, 1)[..., None]
    painting = easel.relief(painting, marks, 0.05)
    far = np.abs(easel.polar(*centre)[0] - (rose + 0.6) * step)
    lead = np.maximum(np.clip(3.4 * unit - rim / 2 + 0.5, 0, 1), np.clip(5 * unit - far + 0.5, 0, 1))
    bulge = np.clip(np.maximum(3.4 * unit - rim / 2, 5 * unit - far), 0, 4 * unit)
    came = easel.flat(mixed("1c1c1f")) * (0.7 + 0.7 * easel.noise(5))[..., None]
    return cover(painting, easel.relief(came, bulge, 0.3), lead)


def mosaic(easel: Easel) -> Painting:
    """Small stones laid in rings about a medallion and in winding rows around it."""
    colours = easel.palette(
        "16425b 2f6690 3a7ca5 d9dcd6 c9a227 8f2d1e e8d8b0",
        "3b1f2b 83243b c1666b e6c79c d4b483 48a9a6 1c4d4d",
        "1b4332 40916c 95d5b2 f1e3c6 d9a441 a4442a 2d2a32",
        "10204f 224f9c 6fa8dc f5f0dc e2b13c c8641e 5c1a1b",
    )
    unit, stone = easel.unit, easel.unit * easel.between(9, 11.5)
    x, y = easel.width * easel.between(0.3, 0.7), easel.height * easel.between(0.35, 0.65)
    distance, turn = easel.polar(x, y)
    reach = unit * easel.between(150, 215)
    petals, twist = int(easel.rng.integers(5, 13)), easel.between(-2.5, 2.5)
    flower = np.cos(petals * turn + twist * distance / reach * 2)
    rings = distance / reach * easel.between(3, 5) + 0.42 * flower
    motif = colours[(np.floor(np.clip(rings, 0, 20)).astype(int) + (flower > 0.55)) % len(colours)]
    swell = 22 * np.sin(easel.x / unit / easel.between(25, 50) + easel.between(0, 6)) + 50 * easel.noise(200)
    wave = easel.y + unit * swell
    band = np.floor(wave / stone / 3).astype(int)
    field = colours[np.where(band % 3 == 0, 2, np.where(band % 3 == 1, 3, (band // 3) % len(colours)))]
    border = (distance > reach) & (distance < reach + 2 * stone)
    inside = distance < reach + 2 * stone
    medallion = np.where(border[..., None], colours[-1 - (np.floor(turn * 14) % 2).astype(int)], motif)
    scene = np.where(inside[..., None], medallion, field)
    ring = np.floor(distance / stone)
    count = np.maximum(np.round(2 * np.pi * (ring + 0.5)), 1)
    around = (turn / 2 / np.pi + 0.5) * count
    row = np.floor(wave / stone)
    across = easel.x / stone / 1.1 + 0.5 * (row % 2) + 0.3 * np.sin(row * 12.9)
    u, v = np.where(inside, around, across), np.where(inside, distance / stone, wave / stone)
    _, number = np.unique((inside * 5000 + np.floor(v)) * 5000 + np.floor(u), return_inverse=True)
    number = number.reshape(u.shape)
    size = np.bincount(number.ravel())
    tint = np.stack([np.bincount(number.ravel(), scene[..., c].ravel()) / size for c in range(3)], axis=-1)
    tint = tint * easel.rng.uniform(0.72, 1.22, (len(tint), 1)) + easel.rng.normal(0, 0.035, tint.shape)
    margin = np.minimum.reduce([u % 1, 1 - u % 1, v % 1, 1 - v % 1]) + (easel.noise(5) - 0.5) * 0.1
    stones = np.clip((margin - 0.09) * stone + 0.5, 0, 1)
    tilt = easel.rng.normal(0, 0.5, (2, len(tint)))
    slant = tilt[0][number] * (u % 1) + tilt[1][number] * (v % 1)
    dome = np.clip(margin, 0, 0.25) * 14 + slant + easel.noise(3) * 0.6
    grout = easel.flat(easel.pick(mixed("bfb399 332e2b 807366"), 1)[0])
    return easel.relief(cover(grout * (0.7 + 0.5 * easel.noise(3))[..., None], tint[number], stones), dome, 0.22)


def art_nouveau(easel: Easel) -> Painting:
    """Gold ground and curling branches above a robe of eyes, rings and little tiles."""
    colours = easel.palette(  # gold, dark gold, line, then the jewels of the robe
        "d4a72c 9c6b17 2b1a0e 1f3c5a b5392b f1e4b8 3f7d5a 6b3f78",
        "c9a24a 8a5a22 1f1712 a6243c e9dfc2 24594f d98032 2b2f5b",
        "b9b08a 6f6a4a 20231f 2f5d73 d9c27a 7d2f4f e8e2cc 3f6b3a",
        "e0b04a a8481f 33130f f3dfa2 7a1f2b 1f5a6b d9662f 4b2a4f",
    )
    gold, umber, line, *rest = colours
    jewels = np.array(rest)
    high, wide, unit = easel.height, easel.width, easel.unit
    leaf = np.floor(easel.x / unit / 24) * 7.1 + np.floor(easel.y / unit / 24) * 3.7
    sheen = easel.noise(5, 2) * 0.5 + easel.noise(80, 2) * 0.5 + 0.12 * np.sin(leaf * 5)
    image, draw = easel.sheet(ramp(sheen, np.stack([umber * 0.8, umber, gold, gold * 1.18 + 0.04])))

    def disc(x: float, y: float, size: float, fill: Ink) -> None:
        """One filled circle; lengths in pixels."""
        draw.circle((x * OVERSAMPLE, y * OVERSAMPLE), size * OVERSAMPLE, fill=fill)

    def eye(x: float, y: float, size: float) -> None:
        """Nested rings of jewels about a dark or light core."""
        disc(x, y, size + 1.6 * unit, ink(line))
        for share, colour in zip((1, 0.74, 0.5, 0.26), easel.pick(jewels, 4, 0.04), strict=True):
            disc(x, y, size * share, ink(colour))

    def curl(x: float, y: float, heading: float, size: float, way: float, depth: int) -> None:
        """A branch that winds into a spiral and sends out smaller ones on its way."""
        steps = 90
        bend = way * (0.5 + 5.2 * np.linspace(0, 1, steps) ** 2.2) / size * 2.2
        stride = size * 0.055
        turns = heading + np.cumsum(bend * stride)
        path_x, path_y = x + np.cumsum(np.cos(turns)) * stride, y + np.cumsum(np.sin(turns)) * stride
        for rim, colour in ((1.5 * unit, line), (0.0, jewels[depth % 2] if depth % 2 else umber * 0.7)):
            fill = ink(colour)
            for step in range(steps):
                disc(path_x[step], path_y[step], size * 0.05 * (1 - 0.75 * step / steps) + rim, fill)
        if depth < 3:
            for at in (16, 34, 50):
                curl(path_x[at], path_y[at], turns[at] - way * 0.5, size * easel.between(0.5, 0.68), -way, depth + 1)
        eye(path_x[-1], path_y[-1], size * 0.07)

    for _ in range(int(easel.rng.integers(3, 5))):
        way = 1.0 if easel.chance(0.5) else -1.0
        x, y, size = wide * easel.between(0.05, 0.95), high * easel.between(0.7, 1), unit * easel.between(100, 150)
        curl(x, y, -np.pi / 2 - way * 0.5, size, way, 0)
    branches = easel.lift(image)
    image, draw = easel.sheet(ramp(easel.noise(70), np.stack([jewels[0], jewels[2] * 0.8, gold * 0.9])))
    for x, y in easel.scatter(13, 0.5).tolist():
        tile = unit * np.array([easel.between(3, 7), easel.between(3, 9)])
        corners = (np.array([x, y]) + np.array([-tile, tile])) * OVERSAMPLE
        draw.rectangle(corners.ravel().tolist(), fill=ink(easel.pick(colours, 1, 0.05)[0]), outline=ink(line))
    for x, y in easel.scatter(46, 0.9).tolist():
        eye(x, y, unit * easel.between(8, 25))
    robe = easel.lift(image)
    middle, spread = wide * easel.between(0.2, 0.8), wide * easel.between(0.2, 0.36)
    top = high * easel.between(0.2, 0.5)
    bell = spread * np.clip((easel.y - top) / (high - top), 0, 1) ** 0.6 + 12 * unit * np.sin(easel.y / unit / 30)
    inside = bell - np.abs(easel.x - middle) - np.where(easel.y < top, 60 * unit, 0)
    painting = cover(branches, line, np.clip(inside + 3 * unit, 0, 1))
    painting = cover(painting, robe, np.clip(inside, 0, 1))
    painting = easel.wobble(painting, 1.3, 14)
    return easel.relief(painting, luma(painting) * 1.6 + easel.noise(3.5, 2) * 1.6, 0.3)
