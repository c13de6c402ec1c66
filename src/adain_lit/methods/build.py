"""Build style transfer methods from the configuration."""

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
"""The loss network phi, and the criterion."""


@runtime_checkable
class EncodesStyle(Protocol):
    """A method that can encode a style in advance, as `adain_lit.nets.StyleTransferNet` can."""

    def __call__(self, content: Tensor, style: Tensor, /) -> Tensor:
        """Stylise, like every `Method`."""

    def encode(self, images: Tensor) -> Any:
        """Features of images (N, 3, H, W)."""

    def fuse(self, content: Any, styles: Sequence[Any]) -> Any:
        """Fuse the features of a content with those of styles."""

    def decode(self, fused: Any, size: tuple[int, int] | torch.Size) -> Tensor:
        """Decode to an image of height and width `size`."""


def build_method(node: DictConfig, name: str, *, losses: Callable[[], Losses], device: torch.device) -> Method:
    """Build a method.

    Args:
        node: ``_target_`` and its arguments, as in ``conf/method``.
        name: key of the node, for error messages.
        losses: returns what optimisation-based methods minimise; called for these only.
        device: where the method runs.

    Example:
        >>> from omegaconf import OmegaConf
        >>> node = OmegaConf.create({"_target_": "adain_lit.methods.reference.PlainAdaIN", "widths": "compact"})
        >>> method = build_method(node, "plain", losses=lambda: None, device=torch.device("cpu"))
        >>> method(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """
    needs = dict(zip(("loss_network", "criterion"), losses(), strict=True)) if _optimises(node) else {}
    method: Method = instantiate(node, f"method.{name}", **needs)
    return method.to(device) if isinstance(method, nn.Module) else method


def _optimises(node: DictConfig) -> bool:
    return str(node["_target_"]).startswith("adain_lit.methods.gatys.")
