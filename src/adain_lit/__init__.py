"""Arbitrary style transfer with adaptive instance normalisation (Huang & Belongie, ICCV 2017).

`load` and `Stylizer` stylise images and videos with a trained network. They are imported when first used: torch, which
comes with them, takes seconds.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Stylizer", "__version__", "load"]

if TYPE_CHECKING:
    from adain_lit.inference.stylizer import Stylizer, load
else:

    def __getattr__(name):
        if name in ("load", "Stylizer"):
            from adain_lit.inference import stylizer

            return getattr(stylizer, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted([*globals(), *__all__])
