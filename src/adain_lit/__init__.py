"""Arbitrary style transfer with adaptive instance normalisation (Huang & Belongie, ICCV 2017)."""

import os
from typing import Any

__version__ = "0.1.0"

# torch's threads spin while they wait for each other; on busy cores (loader workers, a browser) that makes a step
# several times slower. It has to be said before torch is loaded, and whoever sets it otherwise is heeded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """`load` and `Stylizer` when they are first asked for: with them comes torch, which takes seconds."""
    if name in ("load", "Stylizer"):
        from adain_lit.inference import stylizer

        return getattr(stylizer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
