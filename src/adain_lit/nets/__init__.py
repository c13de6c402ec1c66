"""The networks: encoder, fusion, decoder and the three together. Plain ``nn.Module``s, no trainer.

The classes are imported when first used: `adain_lit.nets.config` is read without torch, which takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adain_lit.nets.config import NetConfig
    from adain_lit.nets.decoder import Decoder
    from adain_lit.nets.fusion import FUSIONS, Fusion
    from adain_lit.nets.loss_network import HeadedEncoder, LossNetwork
    from adain_lit.nets.style_transfer import StyleTransferNet
    from adain_lit.nets.transformer import ConditionalInstanceNorm, FixedStyleNet, TransformerNet
    from adain_lit.nets.vgg import WIDTHS, VGGEncoder
else:
    _MODULES = {
        "NetConfig": "config",
        "Decoder": "decoder",
        "FUSIONS": "fusion",
        "Fusion": "fusion",
        "HeadedEncoder": "loss_network",
        "LossNetwork": "loss_network",
        "StyleTransferNet": "style_transfer",
        "ConditionalInstanceNorm": "transformer",
        "FixedStyleNet": "transformer",
        "TransformerNet": "transformer",
        "WIDTHS": "vgg",
        "VGGEncoder": "vgg",
    }

    def __getattr__(name):
        if name in _MODULES:
            return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FUSIONS",
    "WIDTHS",
    "ConditionalInstanceNorm",
    "Decoder",
    "FixedStyleNet",
    "Fusion",
    "HeadedEncoder",
    "LossNetwork",
    "NetConfig",
    "StyleTransferNet",
    "TransformerNet",
    "VGGEncoder",
]
