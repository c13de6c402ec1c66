"""``python experiments/fig1_instance_norm/run.py scale=SCALE``: batch and instance norm on three data sets."""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adain_evidence import Check, Claim, Job, Setting, in_every_seed, run_claim
from adain_evidence.figures import draw_with_spread, new_figure, save_figure
from adain_evidence.outcomes import logged
from adain_evidence.session import found_images
from adain_lit.config.paths import last_checkpoint
from adain_lit.functional.adain import channel_stats
from adain_lit.nets.config import PAPER_STYLE_LAYERS
from adain_lit.reports.style import label_axes
from adain_lit.tasks import FixedStyleModule

CLAIM = Claim(
    Path(__file__).parent,
    "Why instance normalisation works",
    "The improvement brought by IN remains significant even when all training images are normalized to the same "
    "contrast, but is much smaller when all images are (approximately) normalized to the same style",
    "Fig. 1, Sec. 4",
)
DATA = {"": "original photographs", "_contrast": "of equal contrast", "_stylized": "of one style"}
NORMS = {"bn": "Batch Norm", "in": "Instance Norm"}
STEPS = {"small": 250, "medium": 1500, "paper": 5000}
QUANTITY = "mean style loss of the second half"
SPREAD = "spread of styles at"
"""Variance over photographs of a layer's means and standard deviations, relative to that of the original photographs:
what instance normalisation can remove."""
PHOTOGRAPHS = 64
MUCH_SMALLER = 0.5
"""Fraction of the gap with original photographs below which the gap with stylised ones is much smaller."""


def trainings(setting: Setting) -> Job:
    """The six networks with every seed, as one sweep."""
    experiments = ",".join(f"fig1_{norm}{data}" for data in DATA for norm in NORMS)
    steps = STEPS[setting.scale]
    own = (f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps // 2}")
    common = setting.training(setting.seeds, *own)
    return Job("train", "trainings", (f"experiment={experiments}", *common), setting.folder, multirun=True)


def style_losses(setting: Setting, name: str, seed: int) -> tuple[list[int], list[float]]:
    """Style loss of the training batches against the step."""
    return logged(trainings(setting).run_of(name, seed=seed), "train/style_loss")


def jobs(setting: Setting) -> list[Job]:
    """Only the trainings: their curves are the evidence."""
    return [trainings(setting)]


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge the claim and draw the six curves."""
    means = {
        (data, norm): {seed: _second_half(setting, f"fig1_{norm}{data}", seed) for seed in setting.seeds}
        for data in DATA
        for norm in NORMS
    }
    values = {f"{NORMS[norm]}, {DATA[data]}": {QUANTITY: seeds} for (data, norm), seeds in means.items()}
    photographs = torch.cat(found_images(setting).content_images(PHOTOGRAPHS))
    spreads = {
        data: {seed: _spread(setting, f"fig1_in{data}", seed, photographs) for seed in setting.seeds} for data in DATA
    }
    for data, words in DATA.items():
        values[f"photographs, {words.removesuffix(' photographs')}"] = {
            f"{SPREAD} {layer}": {seed: spreads[data][seed][layer] / spreads[""][seed][layer] for seed in setting.seeds}
            for layer in PAPER_STYLE_LAYERS
        }
    original, contrast, stylized = ({seed: _gap(means, data, seed) for seed in setting.seeds} for data in DATA)
    checks = [
        in_every_seed("(a) original photographs: IN < BN", means["", "in"], means["", "bn"]),
        in_every_seed("(b) photographs of equal contrast: IN < BN", means["_contrast", "in"], means["_contrast", "bn"]),
        Check(
            f"(b) the gap, log(BN / IN), is at least {MUCH_SMALLER} of that with original photographs, in every seed",
            all(contrast[seed] >= MUCH_SMALLER * original[seed] for seed in setting.seeds),
            _shown(contrast, original),
        ),
        Check(
            f"(c) photographs of one style: the gap is below {MUCH_SMALLER} of that with original ones, in every seed",
            all(stylized[seed] < MUCH_SMALLER * original[seed] for seed in setting.seeds),
            _shown(stylized, original),
        ),
        in_every_seed(
            "BN on photographs of one style converges as fast as IN on original ones: its loss is at most 1.1 times",
            means["_stylized", "bn"],
            means["", "in"],
            lambda a, b: a <= 1.1 * b,
        ),
    ]
    _draw(setting)
    steps = style_losses(setting, "fig1_in", setting.seeds[0])[0][-1]
    return {"values": values, "checks": checks, "steps": steps}


def _second_half(setting: Setting, name: str, seed: int) -> float:
    losses = style_losses(setting, name, seed)[1]
    return statistics.fmean(losses[len(losses) // 2 :])


@torch.inference_mode()
def _spread(setting: Setting, name: str, seed: int, photographs: torch.Tensor) -> dict[str, float]:
    """Variance of the style statistics of a training's photographs, as its network is given them, at each layer."""
    checkpoint = last_checkpoint(trainings(setting).run_of(name, seed=seed))
    module = FixedStyleModule.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()
    features = module.loss_network(module.normalizer(photographs), PAPER_STYLE_LAYERS)
    return {
        layer: sum(float(statistic.var(0).sum()) for statistic in channel_stats(features[layer]))
        for layer in PAPER_STYLE_LAYERS
    }


def _gap(means: Mapping[tuple[str, str], Mapping[int, float]], data: str, seed: int) -> float:
    return math.log(means[data, "bn"][seed] / means[data, "in"][seed])


def _shown(first: Mapping[int, float], second: Mapping[int, float]) -> str:
    return ", ".join(f"{first[seed]:.3g} | {second[seed]:.3g}" for seed in first)


def _draw(setting: Setting) -> None:
    figure, axes = new_figure(3, height=2.9)
    for ax, letter, (data, words) in zip(axes, "abc", DATA.items(), strict=True):
        curves = {
            name: [style_losses(setting, f"fig1_{norm}{data}", seed) for seed in setting.seeds]
            for norm, name in NORMS.items()
        }
        draw_with_spread(ax, curves, smooth=True)
        label_axes(ax, "optimiser steps", "style loss (no unit)", title=f"({letter}) {words}", logarithmic=True)
    limits = [limit for ax in axes for limit in ax.get_ylim()]
    for ax in axes:
        ax.set_ylim(min(limits), max(limits))
        ax.label_outer()
    axes[0].legend(fontsize=8, frameon=False)
    caption = (
        f"Style loss of training batches (running mean), scale={setting.scale}: mean of {len(setting.seeds)} seeds, "
        f'bands from the least to the greatest. The paper (Fig. 1): "{CLAIM.statement}".'
    )
    save_figure(figure, CLAIM.folder / setting.named("figure.png"), caption=caption)


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
