"""Methods of style transfer as the configuration describes them, and what some of them can do besides."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from adain_lit.config.instantiate import instantiate
from adain_lit.evaluation.metrics import Method
from adain_lit.losses import PerceptualLoss
from adain_lit.nets import LossNetwork, VGGEncoder

Losses = tuple[VGGEncoder | LossNetwork, PerceptualLoss]
"""The network that measures, and the loss."""


@runtime_checkable
class EncodesStyle(Protocol):
    """A method that can encode a style before it is needed, as `adain_lit.nets.StyleTransferNet` can."""

    def __call__(self, content: Tensor, style: Tensor, /) -> Tensor:
        """Stylise, as every `Method`."""

    def encode(self, images: Tensor) -> Any:
        """Features of images (N, 3, H, W)."""

    def fuse(self, content: Any, styles: Sequence[Any]) -> Any:
        """Features of a content with those of styles."""

    def decode(self, fused: Any, size: tuple[int, int] | torch.Size) -> Tensor:
        """Image of height and width `size`."""


def build_method(node: DictConfig, name: str, *, losses: Callable[[], Losses], device: torch.device) -> Method:
    """Build a method.

    Args:
        node: ``_target_`` and its arguments, as in ``conf/method``.
        name: key of the node, for messages.
        losses: gives what is minimised, for methods that optimise.
        device: where it runs.
    """
    needs = dict(zip(("phi", "criterion"), losses(), strict=True)) if _optimises(node) else {}
    method: Method = instantiate(node, f"method.{name}", **needs)
    return method.to(device) if isinstance(method, nn.Module) else method


def _optimises(node: DictConfig) -> bool:
    return str(node["_target_"]).startswith("adain_lit.methods.gatys.")
