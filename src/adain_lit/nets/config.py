"""Options of the style transfer network: one field each, with its default and its explanation."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

Config = TypeVar("Config")


@dataclass
class NetConfig:
    """What a `StyleTransferNet` is made of.

    Every option of the decoder is a field here. From here it reaches the command line (``model.FIELD=VALUE``), the
    hyper-parameters of checkpoints and the metadata of .safetensors files; files written before a field existed get
    its default.

    Example:
        >>> NetConfig(fusion="concat", residual=True).decoder_slope
        0.0
    """

    fusion: str = "adain"
    """adain, concat (Enc-Concat-Dec), wct, histogram or style_swap, see `adain_lit.nets.FUSIONS`; or a function of a
    module of your own, my_module.my_fusion"""
    norm: str = "none"
    """normalisation in the decoder: none (Sec. 6.1), batch (BNDec) or instance (INDec, Sec. 7.2)"""
    content_layer: str = "relu4_1"
    """layer that is fused, where the decoder begins (Sec. 6.1)"""
    skip_layers: list[str] = field(default_factory=list)
    """further layers to fuse and pass to the decoder, at most one of each lower block, such as
    [relu1_1, relu2_1, relu3_1]; none in the paper"""
    decoder_widths: list[int] | None = None
    """channels of the decoder's blocks, from block 1 on, such as [24, 64, 120, 128]; null: the encoder's (Sec. 6.1)"""
    residual: bool = False
    """shortcuts around the decoder's convolutions that keep the number of channels (He et al. 2016), the outlook of
    Sec. 8; none in the paper"""
    decoder_slope: float = 0.0
    """negative slope of the decoder's ReLUs; 0 in the paper, above 0 no channel can die (Maas et al. 2013)"""


def select(config: type[Config], settings: Mapping[str, Any]) -> Config:
    """Build a configuration from those of `settings` that it has fields for; missing ones get their defaults.

    Example:
        >>> select(NetConfig, {"fusion": "wct", "lr": 1e-4}).fusion
        'wct'
    """
    names = [f.name for f in fields(config)]  # type: ignore[arg-type]
    return config(**{name: settings[name] for name in names if name in settings})
