"""The perceptual losses of the paper (Eqs. 11 to 13): one value per sample, computed in float32 at least."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from adain_lit.errors import InputError
from adain_lit.functional.adain import channel_stats, gram_matrix
from adain_lit.nets.config import LossConfig
from adain_lit.user_code import import_object, is_dotted

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.flatten(1).mean(1),
    "sum": lambda x: x.flatten(1).sum(1),
}
"""Reduction of squared differences of statistics to one number per sample: ``mean`` over channels (the common PyTorch
code, lambda 10) or ``sum`` (the authors' Torch7 code, lambda 1e-2 or 1e-1). Under ``sum`` a layer of C channels has C
times the weight."""


def content_loss(stylized: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference between features of the output and the target (Eq. 12), (N, C, H, W) to (N,).

    Differs from the paper: the mean square instead of the Euclidean norm, as in the authors' code.

    Example:
        >>> content_loss(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
        tensor([1., 1.])
    """
    dtype = torch.promote_types(stylized.dtype, torch.float32)
    return (stylized.to(dtype) - target.to(dtype)).square().flatten(1).mean(1)


def style_loss(stylized: Tensor, style: Tensor, *, reduction: str = "mean") -> Tensor:
    """Squared differences of channel means and standard deviations at one layer (a term of Eq. 13), to (N,).

    Args:
        stylized: features of the output, (N, C, H, W).
        style: features of the style image, (N, C, H', W').
        reduction: ``mean`` or ``sum`` over the channels, see `REDUCTIONS`.

    Example:
        >>> x = torch.rand(1, 8, 5, 5)
        >>> style_loss(x, x.flip(3))  # the same statistics
        tensor([0.])
    """
    reduce = REDUCTIONS[reduction]
    (mean, std), (style_mean, style_std) = channel_stats(stylized), channel_stats(style)
    return reduce((mean - style_mean).square()) + reduce((std - style_std).square())


def gram_loss(stylized: Tensor, style: Tensor, *, reduction: str = "mean") -> Tensor:
    """Squared differences of Gram matrices at one layer (the alternative in Sec. 6.2), to (N,).

    Arguments as for `style_loss`.

    Example:
        >>> gram_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
        tensor([1.])
    """
    return REDUCTIONS[reduction]((gram_matrix(stylized) - gram_matrix(style)).square())


def total_variation(images: Tensor) -> Tensor:
    """Mean squared difference of vertically and horizontally adjacent pixels, (N, C, H, W) to (N,).

    Example:
        >>> total_variation(torch.eye(2).view(1, 1, 2, 2))
        tensor([2.])
    """
    x = images.to(torch.promote_types(images.dtype, torch.float32))
    down, right = x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]
    return down.square().flatten(1).mean(1) + right.square().flatten(1).mean(1)


STATISTICS: dict[str, Callable[..., Tensor]] = {"mean_std": style_loss, "gram": gram_loss}
"""Statistics that the style loss compares: channel means and standard deviations (the paper), or Gram matrices."""


def named_statistic(name: str) -> Callable[..., Tensor]:
    """Look up a style statistic by its name in `STATISTICS`, or import a function like `style_loss` by its dotted name.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> named_statistic("gram").__name__
        'gram_loss'
    """
    if is_dotted(name):
        function: Callable[..., Tensor] = import_object(name, "style_statistic")
        return function
    if name not in STATISTICS:
        known = ", ".join(STATISTICS)
        raise InputError(f"unknown statistic {name!r} of the style loss; known are {known}, and my_module.my_statistic")
    return STATISTICS[name]


class PerceptualLoss(nn.Module):
    """L = L_c + lambda L_s (Eq. 11), with the value of each term.

    Args:
        config: the options, see `LossConfig`.
        **options: fields of `LossConfig` that replace those of `config`.

    Raises:
        InputError: for an unknown reduction or statistic, a negative or infinite weight, or no style layers.

    Example:
        >>> PerceptualLoss(style_weight=1.0, style_layers=["relu2_1"]).layers
        ('relu2_1', 'relu4_1')
    """

    def __init__(self, config: LossConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config = replace(config or LossConfig(), **options)
        if config.reduction not in REDUCTIONS:
            raise InputError(
                f"unknown reduction {config.reduction!r} of the style loss; known are {', '.join(REDUCTIONS)}"
            )
        self.statistic = named_statistic(config.style_statistic)
        if not 0 <= config.style_weight < float("inf"):
            raise InputError(f"style_weight is {config.style_weight}; it must be 0 or more")
        if not config.style_layers:
            raise InputError("no style layers were given; the style loss needs at least one")
        self.style_layers = tuple(config.style_layers)
        self.content_layer = config.content_layer

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers at which features of the output are needed."""
        return tuple(dict.fromkeys((*self.style_layers, self.content_layer)))

    def forward(self, stylized: Mapping[str, Tensor], target: Tensor, style: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            stylized: features of the output at `layers`, each (N, C, H, W).
            target: content target t, (N, C, H, W), features of the content layer.
            style: features of the style images at the style layers.

        Returns:
            ``loss``, ``content_loss``, ``style_loss`` (without lambda) and ``style_loss/<layer>``, each (N,).
        """
        content = content_loss(stylized[self.content_layer], target)
        per_layer = {
            name: self.statistic(stylized[name], style[name], reduction=self.config.reduction)
            for name in self.style_layers
        }
        total_style = torch.stack(list(per_layer.values())).sum(0)
        losses = {
            "loss": content + self.config.style_weight * total_style,
            "content_loss": content,
            "style_loss": total_style,
        }
        return losses | {f"style_loss/{name}": value for name, value in per_layer.items()}
