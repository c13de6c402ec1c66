"""The training modules: ``LightningModule``s configured by dataclasses of strings and numbers."""

from adain_lit.tasks.distillation import DistillationModule
from adain_lit.tasks.fixed_style import FixedStyleModule
from adain_lit.tasks.inversion import InversionModule
from adain_lit.tasks.style_transfer import StyleTransferModule

__all__ = ["DistillationModule", "FixedStyleModule", "InversionModule", "StyleTransferModule"]
