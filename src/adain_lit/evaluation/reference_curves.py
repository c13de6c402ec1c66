"""Judge a training by its losses: compare them with those of a sound training after as many steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

WITHIN = "within the spread of the pairs"
SLACK = 1.35
"""Tolerated ratio of a loss to the curve: other images, another crop size and the seed change it by less."""

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Method, metric, ``mean`` and ``std``, as `adain_lit.evaluation.metrics.summarise` returns them."""


@dataclass(frozen=True)
class ReferenceCurve:
    """Losses on held-out pairs by optimiser step.

    Attributes:
        name: what was trained.
        style_weight: lambda of that training, with losses averaged over the channels.
        content: (step, content loss).
        style: (step, style loss without lambda).
        source: origin of the values.
    """

    name: str
    style_weight: float
    content: Sequence[tuple[int, float]]
    style: Sequence[tuple[int, float]]
    source: str

    def at(self, step: int) -> tuple[float, float]:
        """Content and style loss after `step` steps: interpolated in the logarithms, constant beyond the ends.

        Example:
            >>> VGG19.at(160_000)
            (1.29, 0.417)
        """
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
    """The reference curve for the losses of a training; None if there is none for its settings.

    Args:
        settings: hyper-parameters of a LightningModule.

    Example:
        >>> losses = {"loss_encoder": None, "reduction": "mean", "style_statistic": "mean_std"}
        >>> curve_for({"encoder": "torchvision"} | losses).name
        'normalised VGG-19, lambda 10'
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
    """Judge a training by its losses.

    Args:
        results: with the rows ``stylised``, ``content image`` and ``style image``.
        step: optimiser steps so far; None if not known.
        settings: hyper-parameters of the LightningModule; empty if not known.

    Returns:
        One or two sentences that start with ``broken``, ``on track``, ``too early``, ``style weight too low``,
        ``style weight too high`` or ``no reference``.

    Example:
        >>> loss = {"content_loss": {"mean": 1.3}, "style_loss": {"mean": 0.42}}
        >>> plain = {"content_loss": {"mean": 9.0}, "style_loss": {"mean": 9.0}}
        >>> results = {"stylised": loss, "content image": plain, "style image": plain}
        >>> verdict(results, step=None, settings={})
        'no reference curve for these settings; the style loss is 5% of that of the unchanged content image'
    """
    content, style = (results["stylised"][f"{name}_loss"]["mean"] for name in ("content", "style"))
    unchanged = results["content image"]["style_loss"]["mean"]
    replaced = results["style image"]["content_loss"]["mean"]
    if not (math.isfinite(content) and math.isfinite(style)):
        return "broken: the losses are not finite; train again with a lower model.lr, and not with 16-mixed"
    early = step is not None and step < 1000
    if not early and style > 0.8 * unchanged and content > 0.8 * replaced:
        return (
            f"broken: the images have neither the style (style loss {style:.3g}; the unchanged content image has "
            f"{unchanged:.3g}) nor the content (content loss {content:.3g}; the style image itself has {replaced:.3g})"
        )
    curve = curve_for(settings)
    if curve is None or step is None:
        return (
            f"no reference curve for these settings; the style loss is {style / unchanged:.0%} of that of the "
            "unchanged content image"
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
        return f"too early: on track so far, but the images will improve; {beside}"
    if content <= wanted_content and style > SLACK * wanted_style:
        weight = f"model.style_weight={settings['style_weight']:g}, the curve has {curve.style_weight:g}"
        return f"style weight too low: {beside} ({weight})"
    if style <= wanted_style and content > SLACK * wanted_content:
        weight = f"model.style_weight={settings['style_weight']:g}, the curve has {curve.style_weight:g}"
        return f"style weight too high: {beside} ({weight})"
    if step < final // 10:
        return f"too early: above the curve, which depends on the seed after so few steps; {beside}"
    return f"broken: both losses are above the curve; {beside}"


def changed(now: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> str:
    """Compare the losses of a network with those at the start of its training, pair by pair.

    A mean difference counts if it is more than twice its standard error over the pairs. Pairs share images, so it is a
    rule of thumb.

    Args:
        now: values of each pair, (N,), by loss; the first one decides.
        before: the same at the start.

    Returns:
        One sentence that starts with ``better``, ``worse`` or ``no clear change``.

    Example:
        >>> import torch
        >>> now, before = torch.tensor([0.5, 0.6, 0.4]), torch.tensor([0.9, 1.1, 0.8])
        >>> changed({"total": now}, {"total": before})
        'better than at the start of the training: total 0.5 instead of 0.933 (-46 %, better)'
    """
    words = {name: _change(now[name], before[name]) for name in now}
    parts = []
    for name, word in words.items():
        after, start = float(now[name].mean()), float(before[name].mean())
        percent = f"{after / start - 1:+.0%}".replace("%", " %") if start else "from 0"
        parts.append(f"{name} {after:.3g} instead of {start:.3g} ({percent}, {word})")
    first = next(iter(words.values()))
    head = "no clear change since" if first == WITHIN else f"{first} than at"
    return f"{head} the start of the training: {', '.join(parts)}"


def _change(now: Tensor, before: Tensor) -> str:
    """``better``, ``worse`` or `WITHIN`, for the values (N,) of a loss that should fall."""
    differences = now - before
    mean = float(differences.mean())
    if not math.isfinite(mean):
        return "worse"
    rounding = 1e-4 * float(before.mean())
    if len(now) < 2 or abs(mean) <= max(rounding, 2 * float(differences.std()) / math.sqrt(len(now))):
        return WITHIN
    return "worse" if mean > 0 else "better"


def _interpolate(points: Sequence[tuple[int, float]], step: int) -> float:
    """Linear in the logarithms, constant beyond the ends."""
    if step <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in pairwise(points):
        if step <= x1:
            weight = (math.log(step) - math.log(max(x0, 1))) / (math.log(x1) - math.log(max(x0, 1)))
            return math.exp(math.log(y0) + weight * (math.log(y1) - math.log(y0)))
    return points[-1][1]
