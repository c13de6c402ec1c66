"""``python experiments/fig5_6_ablations/run.py scale=small|paper``: the four systems of Figs. 5 and 6."""

from pathlib import Path
from typing import Any

from adain_lit.config import last_checkpoint
from adain_lit.evidence import Check, Claim, Job, Setting, in_every_seed, run_claim
from adain_lit.evidence.figures import draw_with_spread, label, new_figure, picture_sheet, save_figure, save_sheet
from adain_lit.evidence.outcomes import by_seed, evaluated, evaluation, logged, pair_count, selected
from adain_lit.evidence.pictures import demo_rows
from adain_lit.network_files import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "Ablations of AdaIN and of the decoder",
    "Enc-Concat-Dec reaches a low style loss but fails to decrease the content loss; Enc-AdaIN-BNDec has higher style "
    "and content losses than the proposed architecture, and those of Enc-AdaIN-INDec are even higher",
    "Figs. 5 and 6, Sec. 7.2",
)
SYSTEMS = {
    "enc_adain_dec": "Enc-AdaIN-Dec",
    "ablation_concat": "Enc-Concat-Dec",
    "ablation_bndec": "Enc-AdaIN-BNDec",
    "ablation_indec": "Enc-AdaIN-INDec",
}
SMALL = ("trainer.max_steps=250", "trainer.val_check_interval=50")
QUANTITIES = {"content_loss": "content loss", "style_loss": "style loss", "ssim": "SSIM to content"}
CURVES = {"content_loss": "content loss (no unit)", "style_loss": "style loss (no unit)"}
FALLS = 0.9
"""A loss that does not come below this share of its first validation has not fallen."""


def trainings(setting: Setting) -> Job:
    """The four systems from every seed, one sweep."""
    settings = (f"experiment={','.join(SYSTEMS)}", *setting.training(setting.seeds, *(SMALL if setting.small else ())))
    return Job("train", "trainings", settings, setting.folder, multirun=True)


def run_of(setting: Setting, system: str, seed: int) -> Path:
    """Folder of one training."""
    return trainings(setting).run_of(system, seed=seed)


def comparison(setting: Setting, seed: int) -> Job:
    """The four systems of one seed on the same held-out pairs."""
    networks = {system: last_checkpoint(run_of(setting, system, seed)) for system in SYSTEMS}
    small = ("data.resize=160", "data.crop=96") if setting.small else ()
    return evaluation(setting, f"systems-{seed}", networks, "contents=10", "styles=10", *small)


def jobs(setting: Setting) -> list[Job]:
    """Every training, then every evaluation."""
    return [trainings(setting), *(comparison(setting, seed) for seed in setting.seeds)]


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge the claim and draw curves and pictures."""
    rows = {seed: evaluated(comparison(setting, seed), "enc_adain_dec") for seed in setting.seeds}
    names = SYSTEMS | {"content image": "content image", "style image": "style image"}
    values = {names[key]: row for key, row in selected(by_seed(rows), QUANTITIES).items()}
    ours, concat, bn, inst = (values[name] for name in SYSTEMS.values())
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
    steps = logged(run_of(setting, "enc_adain_dec", setting.seeds[0]), "val/loss")[0][-1]
    return {
        "values": values,
        "checks": checks,
        "steps": steps,
        "pairs": pair_count(comparison(setting, setting.seeds[0])),
    }


def _concat_keeps(setting: Setting) -> Check:
    """Whether the content loss of Enc-Concat-Dec, as it is trained (against f(c)), does not fall."""
    shares = []
    for seed in setting.seeds:
        _, losses = logged(run_of(setting, "ablation_concat", seed), "val/content_loss")
        shares.append(losses[-1] / losses[0])
    rule = f"last held-out content loss of Enc-Concat-Dec in training > {FALLS} of its first, in every seed"
    return Check(rule, min(shares) > FALLS, ", ".join(f"{share:.3g}" for share in shares))


def _draw(setting: Setting) -> None:
    figure, axes = new_figure(2, height=3.4)
    for ax, (quantity, words) in zip(axes, CURVES.items(), strict=True):
        systems = {
            name: [logged(run_of(setting, system, seed), f"val/{quantity}") for seed in setting.seeds]
            for system, name in SYSTEMS.items()
        }
        draw_with_spread(ax, systems)
        label(ax, "training (optimiser steps)", words, logarithmic=True)
    axes[1].legend(fontsize=8, frameon=False)
    caption = (
        f"Losses on held-out pairs, scale={setting.scale}: mean of {len(setting.seeds)} seeds, bands from the least to "
        "the greatest. The content loss of Enc-Concat-Dec is against f(c), that of the others against AdaIN's t. The "
        f'paper (Fig. 6): "{CLAIM.statement}".'
    )
    save_figure(figure, CLAIM.folder / "figure.png", caption=caption)


def _show(setting: Setting) -> None:
    seed = setting.seeds[0]
    methods = {name: load_network(last_checkpoint(run_of(setting, key, seed))) for key, name in SYSTEMS.items()}
    rows, columns = demo_rows(methods, 4, size=192)
    save_sheet(picture_sheet(rows, columns=columns, side=160), CLAIM.folder / "sheet.jpg")


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
