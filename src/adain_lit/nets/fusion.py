"""Fusions of content and style features between encoder and decoder; a new one is a function and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm, concatenate, style_statistics
from adain_lit.functional.matching import histogram_matching, style_swap, whitening_coloring
from adain_lit.user_code import import_object, is_dotted


@dataclass(frozen=True)
class Fusion:
    """A fusion of features and its properties.

    Attributes:
        function: fuses content (N, C, H, W) with style (N, C, H', W') within an optional mask (N, 1, H, W) to
            (N, channels * C, H, W); outside the mask as if content were its own style.
        channels: output channels for each input channel.
        content_target: target of the content loss: the fused features t (Eq. 12), or f(c) if the fused features do not
            lie in the encoder's feature space.
        style_statistics: reduces a style's features to what the function needs of them; None keeps them all.
        tileable: whether a tile of the content can be fused alone, given the statistics of the whole content, which
            the function then takes as ``content_stats``.
        exportable: whether exported graphs (ONNX) support the operations of the function.

    Example:
        >>> import torch
        >>> content, style = torch.rand(1, 16, 8, 8), torch.rand(1, 16, 6, 5)
        >>> FUSIONS["adain"].fuse(content, style).shape, FUSIONS["concat"].fuse(content, style).shape
        (torch.Size([1, 16, 8, 8]), torch.Size([1, 32, 8, 8]))
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
    """Look up a fusion by its name in `FUSIONS`, or import a function or a `Fusion` by its dotted name.

    Raises:
        InputError: for an unknown name, or an object of another kind.

    Example:
        >>> named_fusion("concat").channels
        2
    """
    if is_dotted(name):
        found = import_object(name, "fusion")
        if not isinstance(found, Fusion) and not callable(found):
            raise InputError(f"fusion {name} is a {type(found).__name__}; needed is a function or a Fusion")
        return found if isinstance(found, Fusion) else Fusion(found)
    if name not in FUSIONS:
        raise InputError(f"unknown fusion {name!r}; known are {', '.join(FUSIONS)}, and my_module.my_fusion")
    return FUSIONS[name]
