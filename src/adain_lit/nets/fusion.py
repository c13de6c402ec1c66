"""How content and style features meet between encoder and decoder. A new way is one function and one entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional import adaptive_instance_norm, concatenate, condense


class FuseFunction(Protocol):
    """Fuses content (N, C, H, W) with style (N, C, H', W') within an optional mask (N, 1, H, W)."""

    def __call__(
        self,
        content: Tensor,
        style: Tensor,
        mask: Tensor | None = None,
        *,
        content_stats: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Give the fused features, (N, channels * C, H, W); outside the mask as if content were its own style."""
        ...


@dataclass(frozen=True)
class Fusion:
    """A way to fuse features.

    Attributes:
        fuse: the function.
        channels: channels out for each channel in.
        content_target: what the content loss compares with: the fused features t themselves (Eq. 12), or f(c) where
            the fused features do not lie in the encoder's space.
        condense: what of a style's features is kept for later use; None keeps them all.
        tileable: whether a part of the content can be fused alone, given the statistics of the whole.
    """

    fuse: FuseFunction
    channels: int = 1
    content_target: Literal["fused", "content"] = "fused"
    condense: Callable[[Tensor], Tensor] | None = None
    tileable: bool = False


FUSIONS: dict[str, Fusion] = {
    "adain": Fusion(adaptive_instance_norm, condense=condense, tileable=True),
    "concat": Fusion(concatenate, channels=2, content_target="content"),
}


def named_fusion(name: str) -> Fusion:
    """Look up a fusion by its name in `FUSIONS`."""
    if name not in FUSIONS:
        raise InputError(f"unknown fusion {name!r}; known are {', '.join(FUSIONS)}")
    return FUSIONS[name]
