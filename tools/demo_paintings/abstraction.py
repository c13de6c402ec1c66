"""Forms that show no thing, or take one apart: planes, facets, fields, discs and skeins."""

import numpy as np

from demo_paintings.brushes import OVERSAMPLE, Easel, Field, Painting, blur, cover, ink, luma, mixed, ramp


def de_stijl(easel: Easel) -> Painting:
    """Black bars and blocks of a few plain colours, brushed by hand."""
    colours = easel.palette(
        "f2efe4 f2efe4 e8e4d6 d62718 1b3f94 f6c915 c9ccd0",
        "efe7d2 e6dcc0 efe7d2 b5401f 2c5a7a d9a520 1d1d1b",
        "f4f1ea dfe5e8 f4f1ea e4572e 17667f ffc914 76b041",
        "d8d2c4 bfc4c2 e9e2cf 8c2f2b 26456b c98b1b 50584f",
        spread=0.015,
    )
    tilt = np.pi / 4 if easel.chance(0.25) else 0.0
    x = easel.x * np.cos(tilt) + easel.y * np.sin(tilt)
    y = easel.y * np.cos(tilt) - easel.x * np.sin(tilt)
    painting = easel.flat(mixed("0f0f12") * easel.between(0.8, 1.6))
    thick, fine = easel.unit * easel.between(5, 13), easel.unit * easel.between(45, 105)
    brush_along = np.zeros_like(x)
    pending = [(float(x.min()) - fine, float(y.min()) - fine, float(x.max()) + fine, float(y.max()) + fine, 0)]
    while pending:
        left, top, right, bottom, depth = pending.pop()
        wide, high = right - left, bottom - top
        if max(wide, high) > fine * 1.6 and (depth < 3 or easel.chance(0.78)):
            cut = easel.between(0.28, 0.72)
            if wide * easel.between(0.7, 1.4) > high:
                middle = left + wide * cut
                pending += [(left, top, middle, bottom, depth + 1), (middle, top, right, bottom, depth + 1)]
            else:
                middle = top + high * cut
                pending += [(left, top, right, middle, depth + 1), (left, middle, right, bottom, depth + 1)]
            continue
        edge = np.minimum.reduce([x - left, right - x, y - top, bottom - y])
        colour = easel.pick(colours, 1, 0.02)[0]
        block = edge > 0
        painting[block] += (colour - painting[block]) * np.clip(edge[block] - thick / 2 + 0.5, 0, 1)[:, None]
        brush_along[block] = (np.pi / 2 if high > wide else 0.0) + tilt
    painting = easel.wobble(painting, 2.2, 30)
    marks = easel.streaks(brush_along + (easel.noise(50) - 0.5) * 0.35, 60, 1.8)
    painting = painting * (1 + 0.035 * marks + 0.09 * (easel.noise(120, 3) - 0.5))[..., None]
    painting = cover(painting, mixed("403326"), easel.crackle() * 0.5)
    return easel.relief(painting, marks, 0.07)


def cubism(easel: Easel) -> Painting:
    """Shaded facets and broken arcs of a still life in a narrow scale of earths."""
    colours = easel.palette(
        "2b2620 5b4a36 8a6f4a b99d6b d9c79a 6f7566 3d4a4f",
        "1f2a36 3c5166 7d93a0 c9c3ae a8794f 5e3c2b e4d7b8",
        "2a1f2d 5a3e4f 94675d c99b72 e8cfa0 61707d 3f5a54",
        "26302a 4f6048 8d9467 cfc08a a65e3a 6b2f2a e9dcc0",
    )
    unit = easel.unit
    number = np.zeros((easel.height, easel.width), np.intp)
    shade: Field = np.zeros(number.shape, np.float32)
    along: Field = np.zeros_like(shade)
    outline: Field = np.zeros_like(shade)
    lean = easel.between(-0.5, 0.5)
    for facet in range(1, 56):
        part = number == np.bincount(number[::4, ::4].ravel()).argmax()
        middle = np.array([easel.x[part].mean(), easel.y[part].mean()]) + easel.rng.normal(0, 14 * unit, 2)
        turn = lean + easel.rng.choice([0.0, np.pi / 2, np.pi / 4, -np.pi / 3]) + easel.rng.normal(0, 0.18)
        aside = (easel.x - middle[0]) * np.cos(turn) + (easel.y - middle[1]) * np.sin(turn)
        fall = np.exp(-np.abs(aside) / unit / easel.between(16, 48))
        shade = np.where(part, shade + np.where(aside > 0, -0.3 * fall, 0.2 * fall), shade)
        along = np.where(part & (aside > 0), turn + np.pi / 2, along)
        rule = np.clip(unit * easel.between(0.7, 2.0) - np.abs(aside) + 0.4, 0, 1) * easel.between(0.3, 1)
        outline = np.where(part, np.maximum(outline, rule), outline)
        number = np.where(part & (aside > 0), facet, number)
    tint = easel.pick(colours, 56, 0.03)
    light = np.exp(-(np.hypot(easel.x / easel.width - 0.5, easel.y / easel.height - 0.45) ** 2) * 3.5)
    for _ in range(int(easel.rng.integers(5, 9))):
        x, y = easel.width * easel.between(0.2, 0.8), easel.height * easel.between(0.15, 0.85)
        reach, start = unit * easel.between(30, 120), easel.between(-np.pi, np.pi)
        away = np.hypot(easel.x - x, (easel.y - y) * easel.between(0.7, 1.3)) - reach
        turn = np.arctan2(easel.y - y, easel.x - x)
        sector = (np.abs((turn - start + np.pi) % (2 * np.pi) - np.pi) < easel.between(0.8, 2.0)) & (number % 4 != 0)
        shade += np.where(sector, 0.32 * np.exp(-np.abs(away) / unit / 18) * np.sign(away), 0)
        outline = np.maximum(outline, sector * np.clip(unit * 1.7 - np.abs(away) + 0.4, 0, 1) * 0.9)
    painting: Painting = blur(tint[number], 0.7) * (0.72 + 0.5 * light + shade)[..., None]
    sheet, draw = easel.sheet(painting)
    starts = easel.scatter(7)
    paths = easel.walk(starts, along + (easel.noise(30) - 0.5) * 0.5, 20, 4)
    tones = easel.at(painting, starts) + easel.rng.normal(0, 0.045, (len(starts), 1))
    easel.strokes(draw, paths, tones, width=6, bristles=4, spread=0.045)
    painting = cover(easel.lift(sheet), painting, 0.25)
    painting = cover(painting, colours[0] * 0.35, outline * (0.5 + 0.5 * easel.noise(12)))
    return easel.relief(painting, luma(painting) * 2 + easel.weave() * 0.6, 0.3)


def suprematism(easel: Easel) -> Painting:
    """Plain shapes that float along one slant on a thickly painted ground."""
    colours = easel.palette(
        "efe6d2 151515 c8281f 1f3f8c e3b01f 3f6b4a 8a8a86",
        "e6dcc3 1c1a1a b8321c d98c1f 2d2f5e a7a294 6d1f1a",
        "d9d4c7 20242b e0552b 0f6d78 f0c552 b59aa8 4b2e56",
        "b3241c 151313 efe3c8 e9b43a 2b2b2b d9cdb0 5d1512",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    image, draw = easel.sheet(easel.flat(colours[0]))
    slant = easel.between(-0.9, 0.9)
    along = np.full((high, wide), slant + 1.3, np.float32) + np.round(easel.noise(45, 2) * 5) * 0.5
    sizes = np.repeat([190, 70, 18], [4, 11, 26]) * easel.rng.uniform(1, 2.7, 41)
    for order, size in enumerate(sizes * unit):
        turn = slant + easel.rng.choice([0, 0, 0, np.pi / 2, 0.5]) + easel.rng.normal(0, 0.04)
        middle = np.array([wide, high]) * (0.5 + easel.rng.normal(0, 0.15 + 0.004 * order, 2))
        half = size / 2 * np.array([1, easel.rng.choice([1.0, 0.55, 0.16, 0.07, 0.05])])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        form = easel.rng.random()
        if form < 0.14:
            ring = np.linspace(0, 2 * np.pi, 72)
            corners = np.stack([np.cos(ring), np.sin(ring)], axis=-1) * size * 0.42
        elif form < 0.26:
            corners = corners[:3]
        elif form < 0.4:
            corners = corners * np.array([[1, 1], [1, 0.35], [1, 0.35], [1, 1]])
        spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        outline = (corners @ spin + middle) * OVERSAMPLE
        draw.polygon(outline.ravel().tolist(), fill=ink(easel.pick(colours[1:], 1, 0.025)[0]))
    painting = easel.wobble(easel.lift(image), 1.6, 22)
    marks = easel.streaks(along, 26, 2.2)
    broad = easel.streaks(along, 40, 6)
    dark = 1 - luma(painting)
    painting = (
        painting * (1 + (0.05 + 0.05 * dark) * marks + 0.05 * broad)[..., None] + (0.02 * dark * broad)[..., None]
    )
    painting = (
        painting * ramp(easel.noise(90, 2), mixed("fff7e6 ffffff")) * (0.93 + 0.12 * easel.noise(150, 3))[..., None]
    )
    painting = cover(painting, mixed("4c3d2e"), easel.crackle(20) * 0.55)
    return easel.relief(painting, marks + 1.5 * broad, 0.13)


def drip(easel: Easel) -> Painting:
    """Skeins and splashes of thrown paint, layer over layer."""
    colours = easel.palette(
        "cdbb95 15130f f1ecdf 8c8f91 b5652a 2f5d62 c9a227",
        "2b2d33 f4f1e8 0b0b0d d9a441 b3262c 3d6fa3 8fa3a0",
        "b9a58a 1b1a17 e8e2d0 6b2d1f d9822b 4b6043 f2d680",
        "1f3a4d e9e3cf 0d1117 e76f51 f4a261 2a9d8f 8ab6c9",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    ground = easel.flat(colours[0]) * (0.85 + 0.3 * easel.noise(60, 4))[..., None]
    image, draw = easel.sheet(ground)
    for layer in range(12):
        colour = colours[1 + layer % (len(colours) - 1)]
        fill, count, steps = ink(colour), 15, 130
        bend = easel.rng.normal(0, 0.35, (count, steps)) + easel.rng.normal(0, 0.07, (count, 1))
        kernel = np.hanning(9) / np.hanning(9).sum()
        bend = np.apply_along_axis(np.convolve, 1, bend, kernel, "same")
        course = easel.rng.uniform(0, 2 * np.pi, (count, 1)) + np.cumsum(bend, axis=1) * 1.3
        pace = unit * easel.rng.uniform(6, 12, (count, 1))
        start = easel.rng.uniform(-0.1, 1.1, (count, 1, 2)) * [wide, high]
        paths = start + np.cumsum(np.stack([np.cos(course), np.sin(course)], axis=-1) * pace[..., None], axis=1)
        weight = np.abs(np.cumsum(easel.rng.normal(0, 0.3, (count, steps)), axis=1)) * 0.9 + 0.6
        weight = np.clip(weight * unit * easel.between(0.7, 1.9), 0.5, 8 * unit) * OVERSAMPLE
        for path, widths in zip((paths * OVERSAMPLE).tolist(), weight.tolist(), strict=True):
            for begin, end, thick in zip(path, path[1:], widths, strict=False):
                draw.line((*begin, *end), fill=fill, width=max(1, round(thick)))
                draw.circle(end, thick / 2, fill=fill)
        for x, y in (easel.rng.random((330, 2)) * [wide, high] * OVERSAMPLE).tolist():
            size = OVERSAMPLE * unit * (0.6 + 5 * easel.rng.random() ** 5)
            draw.circle((x, y), size, fill=ink(colour * easel.between(0.85, 1.1)))
    painting = easel.lift(image)
    thickness = blur(luma(painting), 0.8) * 5 + easel.noise(4)
    return easel.relief(painting, thickness + easel.weave() * 0.5, 0.22)


def colour_field(easel: Easel) -> Painting:
    """Two to four glowing fields with feathered edges, scumbled over a stained ground."""
    colours = easel.palette(
        "5a0f12 c1121f f77f00 fcbf49 7d1128 3a0a0d",
        "12213f 27476e c8553d e7a977 6b2d3a 0b1220",
        "3c2a4d d4a5c9 f2c14e e4572e 2f4858 1a1423",
        "203a2b 6a994e f2e8cf bc4749 386641 101f18",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    sweep = easel.streaks((easel.noise(90, 2) - 0.5) * 0.9, 90, 3)
    broad = easel.streaks((easel.noise(120, 2) - 0.5) * 1.6, 150, 10)
    stain = (easel.noise(130, 3) - 0.5) * 0.4
    order = easel.rng.permutation(len(colours))
    ground, *fields = colours[order]
    painting = easel.flat(ground) * (0.9 + stain + 0.07 * broad)[..., None]
    bands = int(easel.rng.integers(2, 5))
    cuts = np.linspace(0.04, 0.97, bands + 1)
    cuts[1:-1] += easel.rng.normal(0, 0.05, bands - 1)
    inset = wide * easel.between(0.035, 0.08)
    for top, bottom, colour in zip(cuts, cuts[1:], np.array(fields), strict=False):
        gap = high * easel.between(0.008, 0.022)
        sides = np.minimum(easel.x, wide - easel.x) - inset
        inside = np.minimum(sides, np.minimum(easel.y - top * high, bottom * high - easel.y) - gap)
        rough = inside / unit + (easel.noise(36, 3) - 0.5) * 26 + 5 * sweep + 4 * broad
        veil = np.clip(rough / 16, 0, 1) * np.clip(0.88 + 0.1 * sweep + 0.1 * broad + stain, 0.15, 1)
        glow = 0.92 + 0.22 * (easel.noise(170, 2) - 0.3) + 0.05 * sweep
        under = fields[int(easel.rng.integers(len(fields)))]
        painting = cover(painting, under, np.clip((rough + 8) / 14, 0, 1) * 0.55)
        painting = cover(painting, colour * glow[..., None], veil)
    return easel.relief(painting, 0.7 * sweep + broad + easel.weave() * 2.2, 0.1)


def orphism(easel: Easel) -> Painting:
    """Interlocking discs cut into arcs of pure contrasting colour, brushed along their rings."""
    colours = easel.palette(
        "e63946 f4a261 e9c46a 2a9d8f 264653 f1faee 457b9d 8d5a97",
        "ff595e ffca3a 8ac926 1982c4 6a4c93 f7e7ce 14213d f79256",
        "780000 c1121f fdf0d5 003049 669bbc f2a541 3a5a40 b56576",
        "f94144 f9844a f9c74f 90be6d 43aa8b 277da1 3d2c5a f6e8ea",
    )
    unit = easel.unit
    painting = easel.flat(colours[0])
    nearest = np.full((easel.height, easel.width), 9.0, np.float32)
    for x, y in easel.scatter(easel.between(170, 230), 0.9):
        away_x, away_y = easel.x - x, easel.y - y
        share = np.hypot(away_x, away_y) / (unit * easel.between(130, 260))
        wins = share < nearest
        nearest = np.where(wins, share, nearest)
        bands = np.hypot(away_x[wins], away_y[wins]) / unit / easel.between(18, 32)
        turn = np.arctan2(away_y[wins], away_x[wins]) / (2 * np.pi) + easel.between(0, 1)
        ring = bands.astype(int) % 60
        parts, shift = easel.rng.choice([2, 4, 4, 4, 6, 8], 60), easel.rng.random(60) * 0.25
        sector = ((turn + shift[ring]) % 1 * parts[ring]).astype(int)
        painting[wins] = easel.pick(colours, 480, 0.03)[ring * 8 + sector] * (0.86 + 0.28 * (bands % 1))[:, None]
    painting = easel.wobble(blur(painting, 0.8), 2.0, 26)
    image, draw = easel.sheet(painting)
    starts = easel.scatter(7.5)
    course = np.arctan2(*np.gradient(blur(nearest, 2))) + np.pi / 2
    paths = easel.walk(starts, course, 20, 4)
    tones = easel.at(painting, paths[:, 2]) + easel.rng.normal(0, 0.05, (len(starts), 3))
    easel.strokes(draw, paths, tones, width=7, bristles=5, spread=0.04)
    painting = cover(easel.lift(image), painting, 0.2)
    return easel.relief(painting, luma(painting) * 3 + easel.weave() * 0.6, 0.28)
