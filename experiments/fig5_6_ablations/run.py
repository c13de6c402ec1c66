"""``python experiments/fig5_6_ablations/run.py scale=SCALE``: the four systems of Figs. 5 and 6."""

from pathlib import Path
from typing import Any

from adain_evidence import Check, Claim, Setting, in_every_seed, run_claim
from adain_evidence.figures import draw_with_spread, new_figure, save_figure, save_grid
from adain_evidence.images import demo_rows
from adain_evidence.outcomes import logged
from adain_evidence.systems import ABLATIONS
from adain_lit.reports.image_grid import image_grid
from adain_lit.reports.style import label_axes
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "Ablations of AdaIN and of the decoder",
    "Enc-Concat-Dec reaches a low style loss but fails to decrease the content loss; Enc-AdaIN-BNDec has higher style "
    "and content losses than the proposed architecture, and those of Enc-AdaIN-INDec are even higher",
    "Figs. 5 and 6, Sec. 7.2",
)
QUANTITIES = {"content_loss": "content loss", "style_loss": "style loss", "ssim": "SSIM to content"}
CURVES = {"content_loss": "content loss (no unit)", "style_loss": "style loss (no unit)"}
FALLS = 0.9
"""A loss that stays above this fraction of its first validation has not fallen."""
jobs = ABLATIONS.jobs


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge the claim and draw curves and images."""
    values = ABLATIONS.measured(setting, QUANTITIES)
    ours, concat, bn, inst = (values[name] for name in ABLATIONS.names.values())
    checks = [
        in_every_seed("style loss of Enc-Concat-Dec < Enc-AdaIN-INDec", concat["style loss"], inst["style loss"]),
        _concat_keeps(setting),
        in_every_seed("content loss of Enc-Concat-Dec > Enc-AdaIN-Dec", ours["content loss"], concat["content loss"]),
        *(
            in_every_seed(f"{loss} of {low} < {high}", a[loss], b[loss])
            for low, a, high, b in (
                ("Enc-AdaIN-Dec", ours, "Enc-AdaIN-BNDec", bn),
                ("Enc-AdaIN-BNDec", bn, "Enc-AdaIN-INDec", inst),
            )
            for loss in ("content loss", "style loss")
        ),
    ]
    _draw(setting)
    _show(setting)
    notes = [ABLATIONS.spread(setting, QUANTITIES)]
    return {"values": values, "checks": checks, "notes": notes, **ABLATIONS.record(setting)}


def _concat_keeps(setting: Setting) -> Check:
    """Check that the training content loss of Enc-Concat-Dec (against f(c)) does not fall."""
    ratios = []
    for seed in setting.seeds:
        _, losses = logged(ABLATIONS.run_of(setting, "ablation_concat", seed), "val/content_loss")
        ratios.append(losses[-1] / losses[0])
    rule = f"last held-out content loss of Enc-Concat-Dec in training > {FALLS} of its first, in every seed"
    return Check(rule, min(ratios) > FALLS, ", ".join(f"{ratio:.3g}" for ratio in ratios))


def _draw(setting: Setting) -> None:
    figure, axes = new_figure(2, height=3.4)
    for ax, (quantity, words) in zip(axes, CURVES.items(), strict=True):
        systems = {
            name: [logged(ABLATIONS.run_of(setting, system, seed), f"val/{quantity}") for seed in setting.seeds]
            for system, name in ABLATIONS.names.items()
        }
        draw_with_spread(ax, systems)
        label_axes(ax, "training (optimiser steps)", words, logarithmic=True)
    axes[1].legend(fontsize=8, frameon=False)
    caption = (
        f"Losses on held-out pairs, scale={setting.scale}: mean of {len(setting.seeds)} seeds, bands from the least to "
        "the greatest. The content loss of Enc-Concat-Dec is against f(c), that of the others against AdaIN's t. The "
        f'paper (Fig. 6): "{CLAIM.statement}".'
    )
    save_figure(figure, CLAIM.folder / setting.named("figure.png"), caption=caption)


def _show(setting: Setting) -> None:
    seed = setting.seeds[0]
    methods = {name: load_network(ABLATIONS.checkpoint(setting, key, seed)) for key, name in ABLATIONS.names.items()}
    rows, columns = demo_rows(methods, 4, size=setting.pick(small=192, medium=256, paper=256))
    save_grid(
        image_grid(rows, columns=columns, side=setting.pick(small=160, medium=224, paper=224)),
        CLAIM.folder / setting.named("sheet.jpg"),
    )


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
