"""Options of the style transfer network and of its losses: one field each, with its default and its explanation.

Nothing here needs torch: ``--help`` and the check of a command line read these fields before it is imported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from adain_lit.errors import InputError

Config = TypeVar("Config")

PAPER_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
"""Layers of the style loss (Sec. 6.2)."""


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


@dataclass
class LossConfig:
    """What the losses of Eqs. 11 to 13 compare, and their balance.

    Example:
        >>> LossConfig(reduction="sum", style_weight=0.01).content_layer
        'relu4_1'
    """

    content_layer: str = "relu4_1"
    """layer that the content loss compares and, where there is a fusion, that is fused (Sec. 6.1)"""
    style_layers: list[str] = field(default_factory=lambda: list(PAPER_STYLE_LAYERS))
    """layers of the style loss, equally weighted (Sec. 6.2)"""
    style_weight: float = 10.0
    """lambda of Eq. 11; not in the paper: 10 is the common PyTorch code's for reduction=mean"""
    style_statistic: str = "mean_std"
    """what the style loss compares: mean_std (Eq. 13), gram, or a function of a module of your own,
    my_module.my_statistic"""
    reduction: str = "mean"
    """of the style loss, over channels: mean, or sum (the authors' code, with style_weight 0.01 or 0.1)"""


def select(config: type[Config], settings: Mapping[str, Any]) -> Config:
    """Build a configuration from those of `settings` that it has fields for; missing ones get their defaults.

    Raises:
        InputError: if a value has another type than its field, as in a file that was damaged or made by hand.

    Example:
        >>> select(NetConfig, {"fusion": "wct", "lr": 1e-4}).fusion
        'wct'
    """
    own = {f.name: settings[f.name] for f in fields(config) if f.name in settings}  # type: ignore[arg-type]
    hints = get_type_hints(config)
    for name, value in own.items():
        if not _fits(value, hints[name]):
            raise InputError(f"{name} is {value!r:.60}; needed is {getattr(hints[name], '__name__', hints[name])}")
    return config(**own)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field is annotated with."""
    parts = get_args(hint)
    if hint is Any:
        return True
    if get_origin(hint) is list:
        return isinstance(value, list | tuple) and all(_fits(part, parts[0]) for part in value)
    if parts:  # a union
        return any(_fits(value, part) for part in parts)
    if hint in (int, float):  # true is an int to Python, and 1 a fine float to a person
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, hint)
