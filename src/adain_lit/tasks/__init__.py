"""What is trained: ``LightningModule``s of strings and numbers."""

from adain_lit.tasks.style_transfer import StyleTransferModule

__all__ = ["StyleTransferModule"]
