"""``python experiments/beyond_paper/run.py scale=SCALE``: the paper's outlook, each item against AdaIN."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from adain_evidence import Claim, Setting, in_every_seed, run_claim
from adain_evidence.figures import new_figure, save_figure, save_grid
from adain_evidence.images import demo_pairs, demo_rows
from adain_evidence.outcomes import by_seed, selected
from adain_evidence.session import found_images
from adain_evidence.systems import Systems
from adain_lit.data.demo import noise_image
from adain_lit.data.pairs import HeldOutPairs, collate
from adain_lit.evaluation.metrics import measure, summarise
from adain_lit.io.images import read_image, to_image, to_tensor
from adain_lit.losses import PerceptualLoss
from adain_lit.reports.image_grid import image_grid
from adain_lit.reports.style import COLOURS, MARKERS, label_axes
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "The paper's outlook",
    "Correlation alignment or histogram matching in place of AdaIN could further improve quality; so could a residual "
    "architecture or skip connections from the encoder; the Gram matrix loss can produce similar results; AdaIN can be "
    "applied to texture synthesis",
    "Secs. 6.2 and 8",
)
SYSTEMS = Systems(
    {
        "enc_adain_dec": "AdaIN",
        "outlook_whitening": "whitening and colouring",
        "outlook_histogram": "histogram matching",
        "ablation_gram": "Gram loss",
        "outlook_skips": "skip connections",
        "outlook_residual": "residual decoder",
    },
    800,
)
IMPROVES = ("whitening and colouring", "histogram matching", "skip connections", "residual decoder")
TOTAL = "loss of Eq. 11"
QUANTITIES = {
    "loss": TOTAL,
    "content_loss": "content loss",
    "style_loss": "style loss",
    "ssim": "SSIM to content",
}
SIMILAR = 1.25
"""Losses that differ by no more than this factor are similar."""
TEXTURE, NOISE = "texture out of noise by AdaIN", "noise itself"
jobs = SYSTEMS.jobs


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge every item and draw losses and images."""
    found = SYSTEMS.measured(setting, QUANTITIES)
    textures = selected(
        by_seed({seed: _textures(setting, seed) for seed in setting.seeds}), {"style_loss": "style loss"}
    )
    ours, gram = found["AdaIN"], found["Gram loss"]
    checks = [in_every_seed(f"{name} improves on AdaIN: {TOTAL}", found[name][TOTAL], ours[TOTAL]) for name in IMPROVES]
    checks += [
        in_every_seed(
            f"Gram loss gives similar results: {name} within a factor of {SIMILAR} of AdaIN's",
            gram[name],
            ours[name],
            lambda a, b: 1 / SIMILAR <= a / b <= SIMILAR,
        )
        for name in ("content loss", "style loss")
    ]
    checks += [
        in_every_seed(
            "texture synthesis: style loss of the textures at most 1.5 times that of stylised photographs",
            textures[TEXTURE]["style loss"],
            ours["style loss"],
            lambda a, b: a <= 1.5 * b,
        ),
    ]
    _draw(setting, {name: found[name] for name in SYSTEMS.names.values()})
    _show(setting)
    return {"values": found | textures, "checks": checks, **SYSTEMS.record(setting)}


def _textures(setting: Setting, seed: int) -> dict[str, dict[str, float]]:
    """Style losses of textures for ten held-out paintings, each out of four pieces of noise, and of the noise."""
    net = load_network(SYSTEMS.checkpoint(setting, "enc_adain_dec", seed))
    size = setting.pick(small=96, medium=256, paper=256)
    styles = found_images(setting).held_out_pairs(contents=1, styles=10, size=size).styles
    pairs = HeldOutPairs(_noise(4, size), styles)
    methods = {TEXTURE: net, NOISE: lambda content, style: content}
    batches = DataLoader(pairs, batch_size=8, collate_fn=collate)
    results = summarise(measure(methods, batches, net.encoder, PerceptualLoss()))
    return {name: {"style_loss": rows["style_loss"]["mean"]} for name, rows in results.items()}


def _noise(count: int, size: int) -> torch.Tensor:
    """Pieces of the noise image, (count, 3, size, size), bytes."""
    noise = to_tensor(read_image(noise_image()))
    across = noise.shape[2] // size
    places = [divmod(i, across) for i in range(count)]
    return torch.stack([noise[:, i * size : (i + 1) * size, j * size : (j + 1) * size] for i, j in places])


def _draw(setting: Setting, values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> None:
    figure, axes = new_figure(2, height=2.9)
    for ax, quantity in zip(axes, ("content loss", "style loss"), strict=True):
        for i, (_, row) in enumerate(values.items()):
            losses = [*row[quantity].values()]
            ax.plot(losses, [-i] * len(losses), linestyle="", marker=".", markersize=5, color=COLOURS[i])
            ax.plot(statistics.fmean(losses), -i, linestyle="", marker=MARKERS[i], markersize=7, color=COLOURS[i])
        ax.axvline(statistics.fmean(values["AdaIN"][quantity].values()), color="0.5", linewidth=0.8, zorder=0)
        label_axes(ax, f"{quantity} on held-out pairs (no unit)", "")
        ax.set_yticks([-i for i in range(len(values))], list(values), fontsize=8)
    axes[1].set_yticklabels([])
    caption = (
        f"Each item of the outlook beside AdaIN (grey line), scale={setting.scale}: dots are seeds, marks their means; "
        f'less is better. The paper: "{CLAIM.statement}".'
    )
    save_figure(figure, CLAIM.folder / setting.named("figure.png"), caption=caption)


@torch.inference_mode()
def _show(setting: Setting) -> None:
    seed = setting.seeds[0]
    nets = {name: load_network(SYSTEMS.checkpoint(setting, key, seed)) for key, name in SYSTEMS.names.items()}
    rows, columns = demo_rows(nets, 4, size=192)
    _, styles = demo_pairs(4, size=192)
    textures = nets["AdaIN"](_noise(4, 192)[: len(styles)].float() / 255, styles)
    rows = [[*row, to_image(texture)] for row, texture in zip(rows, textures, strict=True)]
    save_grid(
        image_grid(rows, columns=[*columns, "texture out of noise"], side=128),
        CLAIM.folder / setting.named("sheet.jpg"),
    )


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
