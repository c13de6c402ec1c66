"""``python experiments/lambda_sweep/run.py scale=SCALE``: content against style loss for several lambdas."""

import itertools
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adain_evidence import Check, Claim, Job, Setting, in_every_seed, run_claim
from adain_evidence.figures import new_figure, save_figure, save_grid
from adain_evidence.images import demo_rows
from adain_evidence.systems import Systems, paper_system
from adain_lit.config.overrides import quoted
from adain_lit.reports.image_grid import image_grid
from adain_lit.reports.style import COLOURS, MARKERS, label_axes
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "The style weight",
    "The degree of style transfer can be controlled during training by adjusting the style weight lambda in Eq. 11",
    "Sec. 7.3",
)
WEIGHTS = {
    "small": ("0.01", "0.03", "0.1", "1", "10"),
    "medium": ("0.5", "2", "8", "32"),
    "paper": ("1", "3", "10", "30", "100"),
}
QUANTITIES = {"content_loss": "content loss", "style_loss": "style loss", "ssim": "SSIM to content"}


def systems(setting: Setting) -> Systems:
    """One system for each lambda; at medium scale all continue one training of the paper's system."""
    names = {weight: f"lambda {weight}" for weight in WEIGHTS[setting.scale]}
    medium = ()
    if setting.scale == "medium":
        _, decoder = paper_system(setting, setting.seeds[0])
        medium = (f"model.decoder={quoted(str(decoder))}", "model.lr=2e-4", "trainer.max_steps=1000")
    return Systems(names, 800, key="model.style_weight", experiment="sweep_lambda", medium=medium)


def jobs(setting: Setting) -> list[Job]:
    """The sweep, then an evaluation for each seed; at medium scale the training that it continues comes first."""
    first = [paper_system(setting, setting.seeds[0])[0]] if setting.scale == "medium" else []
    return [*first, *systems(setting).jobs(setting)]


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge the claim and draw the trade-off and images."""
    weights = WEIGHTS[setting.scale]
    found = systems(setting).measured(setting, QUANTITIES)
    values = {f"lambda {weight}": found[f"lambda {weight}"] for weight in weights}
    first, last = values[f"lambda {weights[0]}"], values[f"lambda {weights[-1]}"]
    checks = [
        in_every_seed(f"style loss at lambda {weights[-1]} < {weights[0]}", last["style loss"], first["style loss"]),
        in_every_seed(
            f"content loss at lambda {weights[0]} < {weights[-1]}", first["content loss"], last["content loss"]
        ),
        _ordered("style loss falls from each lambda to the next", [row["style loss"] for row in values.values()], -1),
        _ordered("content loss rises likewise", [row["content loss"] for row in values.values()], 1),
    ]
    record = systems(setting).record(setting)
    _draw(setting, values, record["pairs"])
    _show(setting)
    return {"values": found, "checks": checks, **record}


def _ordered(rule: str, losses: list[Mapping[int, float]], sign: int) -> Check:
    means = [statistics.fmean(loss.values()) for loss in losses]
    holds = all((b - a) * sign > 0 for a, b in itertools.pairwise(means))
    return Check(f"{rule} (means over seeds)", holds, ", ".join(f"{mean:.4g}" for mean in means))


def _draw(setting: Setting, values: Mapping[str, Mapping[str, Mapping[int, float]]], pairs: int) -> None:
    figure, (ax,) = new_figure(height=3.6)
    points = []
    for i, (name, row) in enumerate(values.items()):
        x, y = row["style loss"], row["content loss"]
        mean = (statistics.fmean(x.values()), statistics.fmean(y.values()))
        points.append(mean)
        ax.plot([*x.values()], [*y.values()], linestyle="", marker=".", markersize=5, color=COLOURS[i])
        ax.plot(*mean, linestyle="", marker=MARKERS[i], markersize=7, color=COLOURS[i], label=name)
    ax.plot(*zip(*points, strict=True), color="0.5", linewidth=0.8, zorder=0)
    label_axes(ax, "style loss (no unit)", "content loss (no unit)", logarithmic=True, logarithmic_x=True)
    ax.legend(fontsize=8, frameon=False)
    caption = (
        f"Content against style loss on {pairs} held-out pairs, scale={setting.scale}: dots are seeds, marks their "
        f'means. The paper (Sec. 7.3): "{CLAIM.statement}".'
    )
    save_figure(figure, CLAIM.folder / setting.named("figure.png"), caption=caption)


def _show(setting: Setting) -> None:
    """One row of images for each lambda."""
    images, names, columns = [], [], []
    for weight in WEIGHTS[setting.scale]:
        net = load_network(systems(setting).checkpoint(setting, weight, setting.seeds[0]))
        rows, _ = demo_rows({weight: net}, 4, size=192)
        if not images:
            images += [[row[i] for row in rows] for i in (0, 1)]
            names += ["content", "style"]
        images.append([row[2] for row in rows])
        names.append(f"lambda {weight}")
        columns = [""] * len(rows)
    save_grid(image_grid(images, columns=columns, names=names, side=144), CLAIM.folder / setting.named("sheet.jpg"))


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
