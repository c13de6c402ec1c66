"""The networks: encoder, fusion, decoder and the three together. Plain ``nn.Module``s, no trainer."""

from adain_lit.nets.config import NetConfig
from adain_lit.nets.decoder import Decoder
from adain_lit.nets.fusion import FUSIONS, Fusion
from adain_lit.nets.loss_network import HeadedEncoder, LossNetwork
from adain_lit.nets.style_transfer import StyleTransferNet
from adain_lit.nets.transformer import ConditionalInstanceNorm, FixedStyleNet, TransformerNet
from adain_lit.nets.vgg import WIDTHS, VGGEncoder

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
