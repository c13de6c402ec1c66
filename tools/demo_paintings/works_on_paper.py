"""Works on paper: prints, washes, drawings and marbled sheets."""

import numpy as np

from demo_paintings.brushes import Easel, Field, Floats, Painting, blur, cover, luma, mixed, ramp


def ukiyo_e(easel: Easel) -> Painting:
    """A print: graded sky, a snow-capped peak, rolling waves with foam, all in flat colours with key lines."""
    colours = easel.palette(  # upper sky, lower sky, sun, peak, far water, near water, foam, key line
        "8fb5c4 f0dfb8 d8412f 3f5f7f 7fa9b8 1f4e79 f3ead3 16233b",
        "d9694a f3d79c f7efd8 4a3f55 b98b73 274b5f f5e6c8 1d1b2a",
        "2c3e6b c9a7b8 f4e3b0 1f2b4d 6d7fa8 16305c e9e4da 0c1426",
        "a9b88f efe3bd c8402b 56704f 8fb0a0 2f6f74 f6edd4 22301f",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    sky, dusk, sun, peak, far, near, foam, key = colours
    grain = easel.streaks((easel.noise(160) - 0.5) * 0.5, 110, 1.6)
    horizon = high * easel.between(0.45, 0.62)
    painting = ramp(easel.y / horizon, np.stack([sky * 0.75, sky, dusk, dusk, dusk * 0.92]))
    cloud = easel.noise(34, 2, stretch=7)
    for level in (0.66, 0.8):
        bank = np.clip((cloud - level) * 40, 0, 1) * (easel.y < horizon)
        painting = cover(painting, foam * (1.15 - level * 0.25), bank * 0.85)
    x, y, size = wide * easel.between(0.12, 0.88), horizon * easel.between(0.25, 0.7), unit * easel.between(30, 62)
    painting = cover(painting, sun, np.clip(size - np.hypot(easel.x - x, easel.y - y) + 0.5, 0, 1))
    top, foot = horizon * easel.between(0.18, 0.5), wide * easel.between(0.2, 0.8)
    flank = abs(easel.x - foot) / unit
    slope = top + unit * (flank * 0.35 + 90 * (1 - np.exp(-flank / 110))) + easel.profile(30)[None] * 8 * unit
    depth = easel.y - slope
    mountain = ramp(depth / horizon / 0.8, np.stack([peak, peak * 0.8 + far * 0.2, 0.5 * (peak + dusk)]))
    snow = depth < unit * (26 + 42 * np.abs(np.sin(easel.x / unit / 11 + easel.noise(30) * 2)) - flank * 0.25)
    mountain = np.where(snow[..., None], foam, mountain)
    painting = cover(painting, mountain, np.clip(depth, 0, 1))
    painting = cover(painting, key, np.clip(1.4 * unit - abs(depth) + 0.3, 0, 1))
    rows = int(easel.rng.integers(5, 9))
    for row in range(rows):
        share = row / (rows - 1)
        span, swell = unit * (60 + 130 * share), unit * (10 + 42 * share)
        turn = easel.x / span + easel.between(0, 6.3) + 0.5 * np.sin(easel.x / span * 0.37 + row)
        turn = turn - 0.55 * (easel.y / span)
        crest = 1 - np.abs(np.sin(turn)) ** 0.75
        spray = easel.profile(16, 2)[None] * 5 * unit * share
        line = horizon + (high - horizon) * 0.92 * share**1.15 - swell * crest + spray
        under = easel.y - line
        stripe = 0.5 + 0.5 * np.cos(under / (unit * (3.5 + 5 * share)) + np.sin(turn) * 1.5)
        water = easel.flat(far + (near - far) * share)
        water = cover(water, far + (foam - far) * 0.35, np.clip((stripe - 0.6) * 6, 0, 1))
        water = cover(water, near * 0.6, np.clip(under / (high * 0.25), 0, 0.75))
        fringe = unit * (3 + 15 * share * crest * (0.5 + easel.noise(8)))
        water = cover(water, foam, np.clip(fringe - under, 0, 1))
        water = cover(water, key, np.clip(unit * 1.1 - abs(under - fringe) + 0.3, 0, 1))
        painting = cover(painting, water, np.clip(under + 0.5, 0, 1))
        painting = cover(painting, key, np.clip(unit * (0.9 + share) - abs(under) + 0.4, 0, 1))
    mottle = 0.035 * grain + 0.08 * (easel.noise(3) - 0.5) + 0.06 * (easel.noise(150, 2) - 0.5)
    painting = painting * (1 + mottle)[..., None]
    fibres = np.clip(easel.noise(3, stretch=9) + easel.noise(120) * 0.1 - 0.93, 0, 1)
    return cover(painting, mixed("faf0d9"), fibres * 2)


def watercolour(easel: Easel) -> Painting:
    """Transparent washes with dark rims, blooms and granulation on rough paper."""
    colours = easel.palette(
        "2f6f9f 7ab2c9 e59a5f c4456b 6c9a4f 3c5a3a 4b3b63",
        "d1495b edae49 00798c 30638e 66a182 8d3b72 5b2a3c",
        "5c7f67 a3b18a d9ae61 c06c4e 3a6073 7a4b6a 2d3a4a",
        "7b4fa3 c46bae f0a6a0 f2c14e 3fa7a0 2b5d8a 1f2f55",
    )
    high, wide, unit = easel.height, easel.width, easel.unit
    tooth = easel.noise(3.2, 2)
    painting = easel.flat(mixed("f7f2e6")) * (0.96 + 0.06 * easel.noise(200, 2))[..., None]
    feather = (easel.noise(60, 4) - 0.5) * 60 * unit
    pools = [0.45 + 0.75 * easel.noise(90, 3) for _ in range(3)]
    for pool in pools:
        rim = easel.noise(70, 3) - 0.62
        pool += 0.55 * np.exp(-((rim * 40) ** 2)) - 0.35 * np.clip(rim * 8, 0, 1)

    def wash(depth: Field, colour: Floats, strength: float) -> None:
        """Lay one wash where `depth`, the pixels inside its rim, is positive; it is darkest at the rim."""
        wet = depth > 0
        inside = depth[wet] / unit
        pooled = np.clip(pools[easel.rng.integers(3)][wet] + 0.9 * np.exp(-inside / 3.5), 0.08, 1.7)
        density = np.clip(inside / 1.5, 0, 1) * pooled * strength * (0.72 + 0.55 * tooth[wet])
        painting[wet] *= np.maximum(colour, 0.03) ** density[:, None]

    sky = np.clip(1 - easel.y / high * easel.between(1.0, 1.6), 0, 1) * easel.noise(120, 3) * 1.1
    painting *= ramp(easel.noise(150, 2), colours[:4]) ** sky[..., None]
    if easel.chance(0.5):
        for ridge in range(5):
            line = high * (0.3 + 0.15 * ridge) - easel.profile(200 - 25 * ridge, 4) * high * 0.25
            wash(easel.y - line + feather * 0.35, colours[(ridge + 2) % len(colours)] * 0.9 + 0.08, 0.45 + 0.13 * ridge)
    else:
        for flower in range(int(easel.rng.integers(7, 12))):
            x, y, size = wide * easel.between(0.05, 0.95), high * easel.between(0.1, 0.8), unit * easel.between(38, 90)
            distance, turn = easel.polar(x, y)
            stem = unit * 4.5 - np.abs(easel.x - x - 14 * unit * np.sin((easel.y - y) / unit / 60)) + feather * 0.08
            wash(np.where(easel.y > y, stem, -9.0), colours[[4, 5][flower % 2]], 0.8)
            petals, shift = int(easel.rng.integers(4, 8)), easel.between(0, 6)
            for share, colour in ((1.0, flower), (0.62, flower + 1), (0.25, 6)):
                edge = size * share * (0.72 + 0.28 * np.cos(petals * turn + shift + share))
                wash(edge - distance + feather * 0.3 * share, colours[colour % len(colours)], 0.75)
        for _ in range(9):
            x, y, lean = wide * easel.between(0, 1), high * easel.between(0.5, 1.05), easel.between(-1.2, 1.2)
            u = (easel.x - x) * np.sin(lean) - (easel.y - y) * np.cos(lean)
            v = (easel.x - x) * np.cos(lean) + (easel.y - y) * np.sin(lean)
            leaf = unit * 22 * (1 - (u / unit / 80 - 1) ** 2) - np.abs(v) + feather * 0.15
            wash(leaf, easel.pick(colours[4:6], 1, 0.05)[0], 0.8)
    drops = easel.scatter(70)
    sizes = unit * 7 * easel.rng.random(len(drops)) ** 4
    near, _, number = easel.cells(drops)
    wash(sizes[number] - near, colours[3], 0.8)
    return easel.relief(painting, tooth, 0.16)


def woodcut(easel: Easel) -> Painting:
    """Cut lines only: rays about a sun, furrowed hills and water, one ink on paper with at most one tint block."""
    colours = easel.palette(  # paper, ink, tint
        "efe3c8 17130f b5402a",
        "e9dcc2 1d2430 8fa5a0",
        "f2e8d5 2a1610 d9a23f",
        "d9cfb4 121714 5f7f5a",
    )
    paper, black, tint = colours
    high, wide, unit = easel.height, easel.width, easel.unit
    sway = (easel.noise(50, 2) - 0.5) * 5 * unit
    horizon = high * easel.between(0.4, 0.6)
    x, y, size = wide * easel.between(0.2, 0.8), horizon * easel.between(0.3, 0.9), unit * easel.between(32, 60)
    away, turn = easel.polar(x, y)
    if easel.chance(0.5):
        cuts = np.cos(turn * easel.rng.integers(50, 90) + 0.6 * np.sin(away / unit / 20))
    else:
        cuts = np.cos((away + sway) * 2 * np.pi / 9 / unit)
    drift = (easel.noise(70, 3, stretch=2.5) - 0.5) * 0.9
    tone = np.clip(0.95 - away / unit / easel.between(260, 400) + drift, 0.06, 0.95)
    tinted = np.ones_like(tone) * (away > size)
    tone = np.where(away < size, 1.2, np.where(away < size + 4 * unit, 0.0, tone))
    for ridge in range(int(easel.rng.integers(4, 7))):
        line = horizon + (high - horizon) * 0.17 * ridge - easel.profile(170, 4) * high * easel.between(0.1, 0.3)
        depth = easel.y - line
        lean = easel.between(-1.2, 1.2)
        aside = depth * np.cos(lean) + (easel.x - wide / 2) * np.sin(lean) * 0.7 + sway * 2
        slope = np.gradient(blur(np.asarray(line, np.float32)[None], 12 * unit)[0])
        light = 0.52 + 0.9 * slope + (easel.noise(60, 3) - 0.5) * 0.8 - 0.12 * ridge + 0.5 * np.exp(-depth / unit / 22)
        inside = depth > 0
        cuts = np.where(inside, np.cos(aside * 2 * np.pi / unit / easel.between(6, 11)), cuts)
        tone = np.where(inside, np.where(depth < 3.2 * unit, 0.0, np.clip(light, 0.02, 0.93)), tone)
        tinted = np.where(inside, easel.between(0, 1) > 0.6, tinted)
    for _ in range(int(easel.rng.integers(2, 7))):
        trunk, reach = wide * easel.between(0, 1), unit * easel.between(5, 15)
        foot = high * easel.between(0.75, 1.1)
        bend = 16 * unit * np.sin(easel.y / unit / 70 + easel.between(0, 6)) + sway
        aside = easel.x - trunk - bend
        bole = (np.abs(aside) < reach * (0.45 + easel.y / high)) & (easel.y < foot)
        cuts = np.where(bole, np.cos((easel.y + aside**2 / reach / 1.5 + sway * 2) * 2 * np.pi / unit / 6), cuts)
        tone = np.where(bole, np.clip(0.35 - aside / reach * 0.5, 0.0, 0.8), tone)
    swell = easel.noise(4) * 0.35 - 0.17
    edge = (np.cos(np.pi * np.clip(tone + swell * 0.6, 0, 1)) - cuts) * 3.2 * unit
    white = np.clip(0.5 - edge, 0, 1)
    base = cover(easel.flat(paper), tint, tinted * np.clip(1.15 - easel.y / high * 0.9, 0.2, 1) * 0.9)
    rolled = np.clip(0.9 + 0.25 * (easel.noise(2) - 0.62) + 0.12 * easel.noise(90, 2), 0, 1)
    printed = cover(base, black, (1 - white) * rolled)
    return easel.relief(printed * (0.95 + 0.07 * easel.noise(2.5))[..., None], easel.noise(4) + white * 0.8, 0.09)


def charcoal(easel: Easel) -> Painting:
    """Cross-hatched folds and spheres in sepia, sanguine or charcoal on toned laid paper."""
    colours = easel.palette(  # paper, chalk, highlight
        "d8c3a0 3a1f12 fbf3e0",
        "cfc8bb 17171a f7f4ec",
        "e6cfae 8a2f1c fff5e2",
        "aeb7b5 1b2430 f3f6f2",
    )
    paper, chalk, white = colours
    high, wide, unit = easel.height, easel.width, easel.unit
    folds = easel.noise(150, 3, stretch=easel.between(0.5, 2))
    slope_y, slope_x = np.gradient(folds * 100 * unit)
    facing = (slope_x + slope_y) / (0.6 + np.hypot(slope_x, slope_y))
    light = np.clip(0.55 - 0.42 * facing + (easel.y / high - 0.6) * 0.4, 0, 1)
    contour = np.arctan2(slope_y, slope_x) + np.pi / 2
    for _ in range(int(easel.rng.integers(3, 7))):
        size = unit * easel.between(40, 115)
        x, y = wide * easel.between(0.1, 0.9), high * easel.between(0.3, 0.85)
        u, v = (easel.x - x) / size, (easel.y - y) / size
        cast = np.hypot((u - 0.75) / 1.5, (v - 0.75) / 0.42)
        light = light * (1 - 0.75 * np.clip(1.2 - cast, 0, 1))
        ball = np.hypot(u, v)
        dome = np.sqrt(np.clip(1 - ball**2, 0, 1))
        lit = np.clip(0.42 * dome - 0.5 * u - 0.55 * v + 0.18, 0.0, 1) + 0.12 * np.clip(ball - 0.75, 0, 1)
        light = np.where(ball < 1, lit, light)
        contour = np.where(ball < 1, np.arctan2(v, u) + np.pi / 2, contour)
    tooth = easel.noise(2.4, 2)
    dark = 1 - light
    image, draw = easel.sheet(easel.flat(np.ones(3)))
    lean = easel.between(0.5, 1.0)
    for turn, level in ((contour, 0.12), (lean, 0.3), (lean + 1.1, 0.48), (-lean, 0.66)):
        course = turn + (easel.noise(120) - 0.5) * 0.4
        starts = easel.scatter(5.5)
        starts = starts[easel.rng.random(len(starts)) < np.clip((easel.at(dark, starts) - level) * 1.5, 0, 0.42)]
        paths = easel.walk(starts, course, easel.between(22, 34), 4)
        pressure = np.clip(0.7 - easel.at(dark, paths[:, 2]) * 0.7, 0, 0.6)
        easel.strokes(draw, paths, np.repeat(pressure[:, None], 3, axis=1), width=0.8, bristles=1, spread=0.12)
    mark = 1 - easel.lift(image)[..., 0]
    smudge = blur(np.asarray(dark, np.float32), 7 * unit) * 0.38
    grip = np.clip(0.75 + 0.9 * (tooth - 0.5), 0.1, 1)
    laid = 0.5 + 0.5 * np.cos(easel.y * 2 * np.pi / max(4 * unit, 3))
    ground = easel.flat(paper) * (0.9 + 0.12 * easel.noise(120, 3) + 0.03 * laid + 0.05 * (tooth - 0.5))[..., None]
    painting = cover(ground, chalk, np.clip(smudge * (0.6 + 0.5 * tooth) + mark * grip, 0, 0.97))
    strokes = easel.streaks(lean + 0.2, 22, 2)
    painting = cover(painting, white, np.clip((light - 0.78) * 5, 0, 1) * np.clip(0.45 + 0.4 * strokes, 0, 1) * grip)
    return easel.relief(painting, tooth, 0.12)


def marbling(easel: Easel) -> Painting:
    """Floating inks dropped in rings, then combed and stirred, as on book papers."""
    colours = easel.palette(
        "1d3557 457b9d f1faee e63946 a8dadc 0b1a2b d9a441",
        "5f0f40 9a031e fb8b24 f3e3c3 0f4c5c e36414 1b1b1e",
        "283618 606c38 fefae0 dda15e bc6c25 7f2f1d 1a2a3a",
        "231942 5e548e 9f86c0 f2d6e0 e0b1cb 1f7a8c f4d58d",
    )
    unit = easel.unit
    x, y = easel.x / unit, easel.y / unit
    for comb in range(3):
        pitch, pull, lean = easel.between(36, 80), easel.between(30, 75), easel.between(-0.2, 0.2)
        tooth = np.abs((x + lean * y) / pitch % 1 - 0.5) * 2
        y = y + pull * (np.sqrt(tooth + 0.02) - 0.6)
        if comb < 2 and easel.chance(0.5):
            x, y = y, x
    for _ in range(int(easel.rng.integers(1, 5))):
        swirl_x, swirl_y = easel.between(0, 640), easel.between(0, 512)
        away_x, away_y = x - swirl_x, y - swirl_y
        turn = easel.between(-3.2, 3.2) * np.exp(-np.hypot(away_x, away_y) / easel.between(50, 110))
        x = swirl_x + away_x * np.cos(turn) - away_y * np.sin(turn)
        y = swirl_y + away_x * np.sin(turn) + away_y * np.cos(turn)
    x = x + (easel.noise(130, 2) - 0.5) * 60
    y = y + (easel.noise(130, 2) - 0.5) * 60
    period = easel.between(9, 17)
    dyes = easel.pick(colours, 900, 0.02)
    number = (np.floor((y + period * np.sin(y / period / 2.3)) / period).astype(int) * 4) % 800
    for drop in range(26):
        middle_x, middle_y, size = easel.between(0, 640), easel.between(0, 512), easel.between(14, 60)
        share = np.hypot(x - middle_x, y - middle_y) / size
        number = np.where(share < 1, 800 + drop * 3 + (share < 0.7) + (share < 0.4), number)
    painting = dyes[number]
    veins = np.clip((0.035 - np.abs(easel.noise(40, 3) - 0.5)) * 40, 0, 1)
    painting = cover(blur(painting, 0.7), colours[2], veins * 0.35)
    speckle = 1 + 0.14 * (easel.noise(2.5) - 0.5) + 0.16 * (easel.noise(70, 2) - 0.5)
    return easel.relief(painting * speckle[..., None], luma(blur(painting, 1.0)) * 1.5 + easel.noise(3), 0.1)
