"""The formulas of the paper and of its outlook as functions of tensors. Depends on torch only."""

from adain_lit.functional.adain import (
    adaptive_instance_norm,
    channel_stats,
    concatenate,
    conditional_instance_norm,
    gram_matrix,
)
from adain_lit.functional.color import match_color
from adain_lit.functional.matching import histogram_matching, style_swap, whitening_coloring

__all__ = [
    "adaptive_instance_norm",
    "channel_stats",
    "concatenate",
    "conditional_instance_norm",
    "gram_matrix",
    "histogram_matching",
    "match_color",
    "style_swap",
    "whitening_coloring",
]
