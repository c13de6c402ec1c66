"""Paintings rendered from a seed in many manners: style pictures where no collection of paintings is at hand.

Every manner is one function on an `Easel`; it takes its palette and its composition from the easel's random numbers,
so the pictures of one manner differ in colour and layout while the hand stays the same.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from adain_lit.data.paintings import abstraction, landscapes, ornament, works_on_paper
from adain_lit.data.paintings.brushes import Easel, Picture, to_image
from adain_lit.errors import InputError

Painter = Callable[[Easel], Picture]

MANNERS: dict[str, Painter] = {
    paint.__name__: paint
    for paint in (
        landscapes.pointillism,
        landscapes.impasto,
        abstraction.de_stijl,
        ornament.stained_glass,
        ornament.mosaic,
        works_on_paper.ukiyo_e,
        abstraction.cubism,
        works_on_paper.watercolour,
        abstraction.suprematism,
        abstraction.drip,
        works_on_paper.woodcut,
        abstraction.colour_field,
        landscapes.fauvism,
        ornament.art_nouveau,
        works_on_paper.charcoal,
        abstraction.orphism,
        works_on_paper.marbling,
    )
}


def render_painting(manner: str, seed: int, *, size: tuple[int, int] = (640, 512)) -> Image.Image:
    """An RGB painting of `size` (width, height) pixels; the same manner, seed and size give the same picture.

    Raises:
        InputError: no manner has this name.
    """
    if manner not in MANNERS:
        raise InputError(f"unknown manner {manner!r}; known manners: {', '.join(MANNERS)}")
    key = int.from_bytes(hashlib.sha256(f"{manner}:{seed}".encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.Philox(key=key))
    return to_image(MANNERS[manner](Easel(rng, *size)))
