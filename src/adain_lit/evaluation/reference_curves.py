"""Is a training where it should be? Losses held against those that a sound training has after as many steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

SLACK = 1.35
"""How far above the curve a loss may lie: other images, another crop size and the seed move it by less."""

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Method, value, ``mean`` and ``std``, as `summarise` gives them."""


@dataclass(frozen=True)
class ReferenceCurve:
    """Losses on held-out pairs against the step.

    Attributes:
        name: what was trained.
        style_weight: lambda of that training, with means over the channels.
        content: (step, content loss).
        style: (step, style loss, not times lambda).
        source: where the figures are from.
    """

    name: str
    style_weight: float
    content: Sequence[tuple[int, float]]
    style: Sequence[tuple[int, float]]
    source: str

    def at(self, step: int) -> tuple[float, float]:
        """Content and style loss after `step` steps."""
        return _interpolate(self.content, step), _interpolate(self.style, step)


VGG19 = ReferenceCurve(
    name="normalised VGG-19, lambda 10",
    style_weight=10.0,
    content=((0, 2.90), (20_000, 1.55), (40_000, 1.43), (80_000, 1.36), (120_000, 1.30), (160_000, 1.29)),
    style=((15_000, 0.71), (24_000, 0.59), (53_000, 0.50), (81_000, 0.45), (160_000, 0.417)),
    source="VITA-Group/Sandwich-Batch-Normalization, the validation plots of its AdaIN baseline",
)

COMPACT = ReferenceCurve(
    name="experiment=compact_adain, lambda 2",
    style_weight=2.0,
    content=((1000, 0.421), (1900, 0.384), (3600, 0.353), (7500, 0.297), (10_500, 0.289)),
    style=((1000, 0.693), (1900, 0.502), (3600, 0.432), (7500, 0.260), (10_500, 0.223)),
    source="the bundled network's own training, docs/model_card.md: batches of 16 training pairs, and 100 held-out "
    "pairs at the last step",
)


def curve_for(settings: Mapping[str, Any]) -> ReferenceCurve | None:
    """The curve that a training's losses compare with, if there is one.

    Args:
        settings: hyper-parameters of a `StyleTransferModule`, or of another module, which has none.
    """
    if settings.get("fusion", "adain") != "adain" or "loss_encoder" not in settings:
        return None
    if settings["reduction"] != "mean" or settings["style_statistic"] != "mean_std":
        return None
    if settings["encoder"] in ("torchvision", "vgg_normalised") and settings["loss_encoder"] is None:
        return VGG19
    if settings["encoder"] == "distilled" and settings["train_encoder"] and settings.get("decoder_widths"):
        return COMPACT
    return None


def verdict(results: Results, *, step: int | None, settings: Mapping[str, Any]) -> str:
    """What the losses say of a training, in words.

    Args:
        results: rows ``stylised``, ``content image`` and ``style image``.
        step: optimiser steps so far; None for a network that does not tell.
        settings: hyper-parameters of a `StyleTransferModule`; empty for a network that does not tell.

    Returns:
        One or two sentences that begin with ``broken``, ``on track``, ``too early``, ``style weight too low``,
        ``style weight too high`` or ``no reference``.
    """
    content, style = (results["stylised"][f"{name}_loss"]["mean"] for name in ("content", "style"))
    untouched = results["content image"]["style_loss"]["mean"]
    painting = results["style image"]["content_loss"]["mean"]
    if not (math.isfinite(content) and math.isfinite(style)):
        return "broken: the losses are not finite; train again with a lower model.lr, and not with 16-mixed"
    early = step is not None and step < 1000
    if not early and style > 0.8 * untouched and content > 0.8 * painting:
        return (
            f"broken: the images have neither the paintings' style (style loss {style:.3g}; the untouched photograph "
            f"has {untouched:.3g}) nor the photographs' content (content loss {content:.3g}; the painting itself has "
            f"{painting:.3g})"
        )
    curve = curve_for(settings)
    if curve is None or step is None:
        return (
            f"no reference curve for this setting; the style loss is {style / untouched:.0%} of the untouched "
            "photograph's"
        )
    wanted_content, wanted_style = curve.at(step)
    last_content, last_style = curve.content[-1][1], curve.style[-1][1]
    final = curve.content[-1][0]
    beside = (
        f"content {content:.3g} and style {style:.3g}; the curve ({curve.name}) has {wanted_content:.3g} and "
        f"{wanted_style:.3g} at step {step}, and ends at {last_content:.3g} and {last_style:.3g} at step {final}"
    )
    if content <= SLACK * wanted_content and style <= SLACK * wanted_style:
        if content <= SLACK * last_content and style <= SLACK * last_style:
            return f"on track: {beside}"
        return f"too early: on track so far, but the images will become better; {beside}"
    if content <= wanted_content and style > SLACK * wanted_style:
        weight = f"model.style_weight={settings['style_weight']:g}, the curve has {curve.style_weight:g}"
        return f"style weight too low: {beside} ({weight})"
    if style <= wanted_style and content > SLACK * wanted_content:
        weight = f"model.style_weight={settings['style_weight']:g}, the curve has {curve.style_weight:g}"
        return f"style weight too high: {beside} ({weight})"
    if step < final // 10:
        return f"too early: above the curve, which at so few steps depends on the seed; {beside}"
    return f"broken: both losses lie above the curve; {beside}"


def _interpolate(points: Sequence[tuple[int, float]], step: int) -> float:
    """Linear in the logarithms, constant beyond the ends."""
    if step <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if step <= x1:
            share = (math.log(step) - math.log(max(x0, 1))) / (math.log(x1) - math.log(max(x0, 1)))
            return math.exp(math.log(y0) + share * (math.log(y1) - math.log(y0)))
    return points[-1][1]
