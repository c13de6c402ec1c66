"""``python experiments/fig3_losses/run.py scale=SCALE``: style and content loss of the methods, as in Fig. 3."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.ticker import StrMethodFormatter
from torch import Tensor
from tqdm import tqdm

from adain_evidence import Check, Claim, Job, Setting, run_claim
from adain_evidence.baselines import held_out, network_for, single_styles, squares
from adain_evidence.figures import new_figure, save_figure
from adain_evidence.jobs import DONE
from adain_evidence.systems import paper_system
from adain_lit.devices import choose_device
from adain_lit.evaluation.metrics import Method
from adain_lit.io.files import write_json
from adain_lit.losses import content_loss
from adain_lit.methods.fixed_styles import load_fixed_styles
from adain_lit.methods.gatys import Gatys
from adain_lit.reports.style import COLOURS, DASHES, label_axes
from adain_lit.tasks import FixedStyleModule
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "Losses beside optimisation and single-style networks",
    "The style losses of the proposed network and of Ulyanov et al. are what Gatys et al. reach between 50 and 100 "
    "iterations; its style and "
    "content losses are slightly higher than, but comparable to, those of Ulyanov et al., trained for each test style; "
    "and its style loss is much smaller than that of the content image",
    "Fig. 3, Sec. 7.1",
)
ULYANOV, COMPACT, OURS, CONTENT = "Ulyanov et al.", "bundled network", "Enc-AdaIN-Dec", "content image"
STARTS = {"content": "Gatys et al. from the content", "noise": "Gatys et al. from noise"}
ITERATIONS = 500
LOOKED_AT = (50, 100, 500)
QUANTITIES = ("content loss", "style loss", "total loss")

Losses = dict[str, float]
"""Means over the pairs, by quantity."""


def counts(setting: Setting) -> tuple[int, int, int]:
    """Number of contents and of styles, and the side of the test images in pixels."""
    return setting.pick(small=(5, 2, 96), medium=(10, 10, 256), paper=(50, 10, 512))


def single(setting: Setting, seed: int) -> Job:
    """A network for each test style."""
    steps = setting.pick(small=200, medium=1000, paper=40000)  # Ulyanov et al. and Dumoulin et al.: 20 000 to 40 000
    more = ("data.batch_size=4", f"trainer.max_steps={steps}", f"trainer.val_check_interval={steps // 2}")
    return single_styles(setting, held_out(setting)[1][: counts(setting)[1]], seed, *more)


def ulyanov(setting: Setting, style: int, seed: int) -> Path:
    """The network for one test style."""
    return network_for(single(setting, seed), held_out(setting)[1][style])


def ours(setting: Setting) -> dict[int, Path]:
    """The paper's system by seed; at small scale only if the ablations have been run."""
    found = {seed: paper_system(setting, seed) for seed in setting.seeds}
    return {seed: path for seed, (job, path) in found.items() if not setting.small or (job.folder / DONE).is_file()}


def jobs(setting: Setting) -> list[Job]:
    """A network for each test style and seed; except at small scale the paper's system too."""
    systems = [] if setting.small else [paper_system(setting, seed)[0] for seed in setting.seeds]
    return [*(single(setting, seed) for seed in setting.seeds), *systems]


class Measure:
    """Losses of images against content and style, with the network that the single-style networks were trained on."""

    def __init__(self, setting: Setting) -> None:
        self.device = choose_device(None)
        module = FixedStyleModule.load_from_checkpoint(
            ulyanov(setting, 0, setting.seeds[0]), map_location=self.device, weights_only=True
        )
        self.loss_network, self.criterion = module.loss_network.eval().requires_grad_(False), module.criterion
        count, styles, size = counts(setting)
        files = held_out(setting)
        self.contents = [x.to(self.device) for x in squares(files[0][:count], size)]
        self.styles = [x.to(self.device) for x in squares(files[1][:styles], size)]

    @torch.no_grad()
    def of(self, image: Tensor, content: Tensor, style: Tensor) -> Losses:
        """Losses of one image; the content loss is the distance to f(c), as in Gatys et al."""
        layer = self.criterion.content_layer
        target = self.loss_network(content, (layer,))[layer]
        features = self.loss_network(image, self.criterion.layers)
        found = self.criterion(features, target, self.loss_network(style, self.criterion.layers))
        return self.total(float(content_loss(features[layer], target)), float(found["style_loss"]))

    def total(self, content: float, style: float) -> Losses:
        """The two losses and their weighted sum (Eq. 11)."""
        values = (content, style, content + self.criterion.config.style_weight * style)
        return dict(zip(QUANTITIES, values, strict=True))

    def mean_of(self, methods: Sequence[Method]) -> Losses:
        """Means over all pairs, with one method for each style."""
        rows = []
        for method, style in zip(methods, self.styles, strict=True):
            for content in self.contents:
                with torch.inference_mode():
                    image = method(content, style).float().clamp(0, 1)
                rows.append(self.of(image.clone(), content, style))
        return {name: float(np.mean([row[name] for row in rows])) for name in QUANTITIES}


def optimised(setting: Setting, measure: Measure, start: str) -> dict[str, list[float]]:
    """Gatys' losses at each iteration, mean over all pairs, each optimised alone; kept in the folder of run data."""
    histories = []
    pairs = [(i, j) for i in range(len(measure.styles)) for j in range(len(measure.contents))]
    for i, j in tqdm(pairs, desc=f"Gatys et al. from {start}", unit="pair"):
        settings = [
            *single(setting, setting.seeds[0]).settings,
            held_out(setting)[1][i],
            held_out(setting)[0][j],
            start,
            str(counts(setting)[2]),
        ]
        digest = hashlib.sha256("\n".join(settings).encode()).hexdigest()[:8]
        kept = setting.folder / "gatys" / f"{start}-{i}-{j}_{digest}.json"
        if not kept.is_file():
            method = Gatys(
                measure.loss_network,
                measure.criterion,
                iterations=ITERATIONS,
                start=start,
                target="content",
                seed=setting.seeds[0],
                progress=False,
            )
            method(measure.contents[j], measure.styles[i])
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json({name: torch.cat(values).tolist() for name, values in method.history.items()}, kept)
        histories.append(json.loads(kept.read_text("utf-8")))
    return {
        name: np.mean([h[name][:ITERATIONS] for h in histories], 0).tolist() for name in ("content_loss", "style_loss")
    }


def reached(curve: Sequence[float], value: float) -> int | None:
    """The first iteration, from 1, at which a curve is at or below a value; None: never."""
    return next((i for i, x in enumerate(curve, 1) if x <= value), None)


def conclude(setting: Setting) -> dict[str, Any]:
    """Measure every method on all pairs, judge and draw."""
    measure = Measure(setting)
    count, styles, size = counts(setting)
    values: dict[str, dict[str, dict[int, float]]] = {}

    def note(system: str, seed: int, losses: Losses) -> None:
        for name, value in losses.items():
            values.setdefault(system, {}).setdefault(name, {})[seed] = value

    curves = {start: optimised(setting, measure, start) for start in STARTS}
    for start, name in STARTS.items():
        for i in LOOKED_AT:
            at = (curves[start][key][i - 1] for key in ("content_loss", "style_loss"))
            note(f"{name}, {i} iterations", 0, measure.total(*at))
    for seed in setting.seeds:
        nets = [load_fixed_styles(ulyanov(setting, i, seed)).to(measure.device) for i in range(styles)]
        note(ULYANOV, seed, measure.mean_of(nets))
    for seed, path in ours(setting).items():
        note(OURS, seed, measure.mean_of([load_network(path).to(measure.device)] * styles))
    note(COMPACT, 0, measure.mean_of([load_network("compact").to(measure.device)] * styles))
    note(CONTENT, 0, measure.mean_of([lambda content, style: content] * styles))
    judged = COMPACT if setting.small else OURS
    notes = [
        f"{count} held-out photographs with each of {styles} held-out paintings, {size} px; the paper: 50 with each of "
        f"10, 512 px. lambda {measure.criterion.config.style_weight:g} in the optimisation and in the single-style "
        "networks."
    ]
    if OURS not in values:
        notes.append("Enc-AdaIN-Dec is missing: the trainings of fig5_6_ablations on the same images were not there.")
    draw(setting, curves, values, f"{count} x {styles} pairs, {size} px")
    return {
        "values": values,
        "checks": checks(values, curves, judged),
        "notes": notes,
        "gatys": {start: {k: [round(x, 5) for x in v] for k, v in curve.items()} for start, curve in curves.items()},
        "reached_style_loss_at": {
            start: {s: reached(curve["style_loss"], mean(values, s, "style loss")) for s in (COMPACT, OURS, ULYANOV)
                    if s in values}
            for start, curve in curves.items()
        },
    }  # fmt: skip


def mean(values: Mapping[str, Mapping[str, Mapping[int, float]]], system: str, name: str) -> float:
    """Over the seeds."""
    return float(np.mean(list(values[system][name].values())))


def checks(values: Any, curves: Mapping[str, Mapping[str, Sequence[float]]], judged: str) -> list[Check]:
    """The parts of the claim, for the network that is judged."""
    last = {start: mean(values, f"{name}, {ITERATIONS} iterations", "total loss") for start, name in STARTS.items()}
    rest = {s: mean(values, s, "total loss") for s in (ULYANOV, COMPACT, OURS, CONTENT) if s in values}
    found = [
        Check(
            f"Gatys et al.'s total loss after {ITERATIONS} iterations, from either start, is below that of every other "
            "method",
            max(last.values()) < min(rest.values()),
            f"{', '.join(f'from {start} {value:.4g}' for start, value in last.items())} | "
            + ", ".join(f"{s} {value:.4g}" for s, value in rest.items()),
        )
    ]
    style = mean(values, judged, "style loss")
    for start, name in STARTS.items():
        for system in (judged, ULYANOV):
            level = mean(values, system, "style loss")
            at = reached(curves[start]["style_loss"], level)
            found.append(
                Check(f"{name}: the style loss of {system} is reached between iterations 50 and 100",
                      at is not None and 50 <= at <= 100,
                      f"{level:.4g} is reached at iteration {at}" if at else f"{level:.4g} is not reached")
            )  # fmt: skip
    for name in ("style loss", "content loss"):
        own, theirs = mean(values, judged, name), mean(values, ULYANOV, name)
        found.append(
            Check(f"the {judged}'s {name} is 1 to 2 times that of {ULYANOV}", 1 <= own / theirs <= 2,
                  f"{own:.4g} | {theirs:.4g}: {own / theirs:.2f} times")
        )  # fmt: skip
    plain = mean(values, CONTENT, "style loss")
    found.append(
        Check(f"the {judged}'s style loss is less than half that of the content image", style < plain / 2,
              f"{style:.4g} | {plain:.4g}")
    )  # fmt: skip
    return found


def draw(setting: Setting, curves: Mapping[str, Mapping[str, Sequence[float]]], values: Any, pairs: str) -> None:
    """Losses against iterations; methods without iterations are horizontal lines."""
    figure, axes = new_figure(2, height=3.6)
    for panel, name in zip(axes, ("style loss", "content loss"), strict=True):
        for i, (start, curve) in enumerate(curves.items()):
            series = curve[name.replace(" ", "_")]
            panel.plot(range(1, len(series) + 1), series, color=COLOURS[i], linestyle=DASHES[i],
                       linewidth=1.4, label=STARTS[start])  # fmt: skip
        for i, system in enumerate(s for s in (ULYANOV, COMPACT, OURS, CONTENT) if s in values):
            level = mean(values, system, name)
            if level > 0:  # the content image's own content loss is 0, which a logarithmic axis cannot show
                panel.axhline(level, color=COLOURS[i + 2], linestyle=DASHES[i % 4], linewidth=1.2,
                              label=system)  # fmt: skip
        label_axes(panel, "iterations (evaluations of the loss)", f"{name} (no unit)", logarithmic=True)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ends = [curve[name.replace(" ", "_")][-1] for curve in curves.values()]
        panel.set_ylim(bottom=min(ends) / 2)  # started from the content, the content loss begins at 0
        panel.axvspan(50, 100, color="0.85", zorder=0, label="50 to 100 iterations")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    save_figure(
        figure,
        CLAIM.folder / setting.named("losses.png"),
        caption="The paper (Fig. 3): ours meets the style loss of Gatys et al. between 50 and 100 iterations (grey), "
        f"slightly above Ulyanov et al. and far below the content image. Mean of {pairs}.",
    )


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
