"""How content and style features meet between encoder and decoder. A new way is one function and one entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm, concatenate, style_statistics
from adain_lit.functional.matching import histogram_matching, style_swap, whitening_coloring


@dataclass(frozen=True)
class Fusion:
    """A way to fuse features.

    Attributes:
        function: fuses content (N, C, H, W) with style (N, C, H', W') within an optional mask (N, 1, H, W) to
            (N, channels * C, H, W); outside the mask as if content were its own style.
        channels: channels out for each channel in.
        content_target: what the content loss compares with: the fused features t themselves (Eq. 12), or f(c) where
            the fused features do not lie in the encoder's space.
        style_statistics: reduces a style's features to what the function needs of them; None keeps them all.
        tileable: whether a part of the content can be fused alone, given the statistics of the whole, which the
            function then takes as ``content_stats``.
        exportable: whether the operations of the function exist in exported graphs (ONNX).
    """

    function: Callable[..., Tensor]
    channels: int = 1
    content_target: Literal["fused", "content"] = "fused"
    style_statistics: Callable[[Tensor], Tensor] | None = None
    tileable: bool = False
    exportable: bool = True

    def fuse(
        self,
        content: Tensor,
        style: Tensor,
        mask: Tensor | None = None,
        *,
        content_stats: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Fused features, (N, channels * C, H, W); only a tileable fusion takes statistics of the whole content."""
        if content_stats is None:
            return self.function(content, style, mask)
        return self.function(content, style, mask, content_stats=content_stats)


FUSIONS: dict[str, Fusion] = {
    "adain": Fusion(adaptive_instance_norm, style_statistics=style_statistics, tileable=True),
    "concat": Fusion(concatenate, channels=2, content_target="content"),
    "wct": Fusion(whitening_coloring, exportable=False),
    "histogram": Fusion(histogram_matching, exportable=False),
    "style_swap": Fusion(style_swap, exportable=False),
}


def named_fusion(name: str) -> Fusion:
    """Look up a fusion by its name in `FUSIONS`."""
    if name not in FUSIONS:
        raise InputError(f"unknown fusion {name!r}; known are {', '.join(FUSIONS)}")
    return FUSIONS[name]
