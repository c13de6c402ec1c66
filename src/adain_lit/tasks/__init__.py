"""The training modules: ``LightningModule``s configured by dataclasses of strings and numbers.

The modules are imported when first used: `adain_lit.tasks.config` is read without torch, which takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adain_lit.tasks.distillation import DistillationModule
    from adain_lit.tasks.fixed_style import FixedStyleModule
    from adain_lit.tasks.inversion import InversionModule
    from adain_lit.tasks.style_transfer import StyleTransferModule
else:
    _MODULES = {
        "DistillationModule": "distillation",
        "FixedStyleModule": "fixed_style",
        "InversionModule": "inversion",
        "StyleTransferModule": "style_transfer",
    }

    def __getattr__(name):
        if name in _MODULES:
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["DistillationModule", "FixedStyleModule", "InversionModule", "StyleTransferModule"]
