"""Render the demo's style images: paintings in seventeen styles, each a pure function of (style, seed, size).

Every style is one function on an `Easel`. It draws its palette and its composition from the easel's random numbers, so
paintings of one style differ in colour and layout and share the brushwork.
"""

import hashlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from demo_paintings import abstraction, landscapes, ornament, works_on_paper
from demo_paintings.brushes import Easel, Painting, to_image

Painter = Callable[[Easel], Painting]

STYLES: dict[str, Painter] = {
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


def render_painting(style: str, seed: int, *, size: tuple[int, int] = (640, 512)) -> Image.Image:
    """Render an RGB painting of `size` (width, height) pixels; the same arguments give the same bytes.

    Raises:
        ValueError: if no style has this name.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; known styles: {', '.join(STYLES)}")
    key = int.from_bytes(hashlib.sha256(f"{style}:{seed}".encode()).digest()[:16], "little")
    rng = np.random.Generator(np.random.Philox(key=key))
    return to_image(STYLES[style](Easel(rng, *size)))
