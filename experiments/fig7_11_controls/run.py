"""``python experiments/fig7_11_controls/run.py scale=SCALE``: the controls at run time, Figs. 7 to 11."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from adain_evidence import Check, Claim, Job, Setting, run_claim
from adain_evidence.baselines import held_out, squares
from adain_evidence.composition import composed
from adain_evidence.control_grids import draw_alpha, grids, strips
from adain_evidence.figures import save_grid
from adain_evidence.systems import paper_system
from adain_lit.devices import choose_device
from adain_lit.evaluation.metrics import similarity
from adain_lit.functional.adain import channel_stats
from adain_lit.functional.color import match_color
from adain_lit.losses import PerceptualLoss, content_loss
from adain_lit.nets import StyleTransferNet
from adain_lit.weights.encoders import load_loss_network
from adain_lit.weights.networks import load_network

CLAIM = Claim(
    Path(__file__).parent,
    "Controls at run time",
    "One network, without another training, reconstructs the content at alpha 0 and moves smoothly to the style at "
    "alpha 1; blends any styles by convex weights; keeps the content's colours if the style image is given them first; "
    "gives different regions different styles; and does so for every content with every style",
    "Figs. 7 to 11, Sec. 7.3",
)
ALPHAS = tuple(i / 10 for i in range(11))
EQUAL = 1e-4
"""Tolerance below which float32 images and features count as equal: far below a step of 1/255."""
REACH = 48
"""Distance in pixels from the edge of a region within which its image may depend on the other region: the decoder's 30,
rounded up to whole spatial positions."""


def counts(setting: Setting) -> tuple[int, int, int]:
    """Number of contents and of styles, and the side of the test images in pixels."""
    return setting.pick(small=(3, 4, 160), medium=(5, 5, 256), paper=(10, 10, 512))


def jobs(setting: Setting) -> list[Job]:
    """None at small scale, which uses the bundled network; else the paper's system."""
    return [] if setting.small else [paper_system(setting, setting.seeds[0])[0]]


class Bench:
    """The network under test, the test images and the losses.

    Attributes:
        net: the network.
        contents: each (1, 3, H, W), RGB in [0, 1].
        styles: likewise.
    """

    def __init__(self, setting: Setting) -> None:
        device = choose_device(None)
        source = "compact" if setting.small else paper_system(setting, setting.seeds[0])[1]
        self.net: StyleTransferNet = load_network(source).eval().to(device)
        model = composed("train", ["experiment=enc_adain_dec", *setting.training(0)]).model
        self.criterion = PerceptualLoss()
        self.loss_network = load_loss_network(
            model.encoder,
            layers=self.criterion.layers,
            widths=model.encoder_widths,
            preprocessing=model.encoder_preprocessing,
        )
        self.loss_network.requires_grad_(False).to(device)
        contents, styles, size = counts(setting)
        content_files, style_files = held_out(setting)
        self.loss_network.normalize(x.to(device) for x in squares(content_files[:24], size))
        self.contents = [x.to(device) for x in squares(content_files[:contents], size)]
        self.styles = [x.to(device) for x in squares(style_files[:styles], size)]

    def pairs(self, what: str) -> Any:
        """Every content with every style."""
        every = [(content, style) for content in self.contents for style in self.styles]
        return tqdm(every, desc=what, unit="pair")

    def style_loss(self, image: Tensor, style: Tensor) -> float:
        """Eq. 13, mean over channels."""
        layers = self.criterion.layers
        features = self.loss_network(image, layers)
        target = features[self.criterion.content_layer]
        return float(self.criterion(features, target, self.loss_network(style, layers))["style_loss"])

    def content_distance(self, image: Tensor, content: Tensor) -> float:
        """Mean squared difference of the features of the deepest layer."""
        layer = self.criterion.content_layer
        first, second = (self.loss_network(x, (layer,))[layer] for x in (image, content))
        return float(content_loss(first, second))


def far(a: Tensor, b: Tensor) -> float:
    """Mean absolute difference."""
    return float((a - b).abs().mean())


def most(a: Tensor, b: Tensor) -> float:
    """Greatest absolute difference."""
    return float((a - b).abs().max())


def trade_off(bench: Bench) -> tuple[list[Check], dict[str, list[float]]]:
    """Fig. 7: alpha from 0 to 1."""
    curves: dict[str, list[list[float]]] = {"style loss": [], "content loss": [], "SSIM to content": []}
    steps, ends, reconstructions = [], [], []
    for content, style in bench.pairs("alpha"):
        images = [bench.net(content, style, alpha=alpha) for alpha in ALPHAS]
        curves["style loss"].append([bench.style_loss(image, style) for image in images])
        curves["content loss"].append([bench.content_distance(image, content) for image in images])
        curves["SSIM to content"].append([float(similarity(image, content)) for image in images])
        steps.append([far(a, b) for a, b in pairwise(images)])
        ends.append((far(images[0], content), far(images[-1], content)))
        reconstructions.append(images[0])
    count = len(bench.styles)
    own = max(most(image, reconstructions[i // count * count]) for i, image in enumerate(reconstructions))
    mean = {name: np.mean(rows, 0).tolist() for name, rows in curves.items()}
    near, away = np.mean(ends, 0).tolist()
    fractions = np.mean([np.array(step) / sum(step) for step in steps], 0)
    rising = {"style loss": -1, "content loss": 1}
    monotone = {name: np.diff(mean[name]) * sign > 0 for name, sign in rising.items()}
    each = {name: np.mean(np.diff(curves[name], axis=1) * sign > 0) for name, sign in rising.items()}
    return [
        Check("at alpha 0 the image is the same whatever the style", own < EQUAL, f"greatest difference {own:.1e}"),
        Check("at alpha 0 the pixels differ from the content by at most half of what they do at alpha 1",
              near <= away / 2, f"mean absolute difference {near:.4f} | {away:.4f}; SSIM "
              f"{mean['SSIM to content'][0]:.3f} | {mean['SSIM to content'][-1]:.3f}"),
        Check("with every step of 0.1 in alpha the style loss falls and the content loss rises, in the mean",
              all(bool(steps.all()) for steps in monotone.values()),
              ", ".join(f"{name}: {steps.sum()} of {len(steps)} steps, of single pairs {each[name]:.0%}"
                        for name, steps in monotone.items())),
        Check("the transition is smooth: each of the ten steps covers 5 to 20 % of the way in pixels",
              bool((fractions >= 0.05).all() and (fractions <= 0.2).all()),
              f"{fractions.min():.1%} to {fractions.max():.1%}"),
    ], mean  # fmt: skip


def interpolation(bench: Bench) -> list[Check]:
    """Fig. 8: convex combinations of styles."""
    net, styles = bench.net, bench.styles[:4]
    corners, mixed, toward = [], [], []
    weights = [0.4, 0.3, 0.2, 0.1]
    for content in tqdm(bench.contents, desc="interpolation", unit="content"):
        features = [net.encode(style) for style in styles]
        own = net.encode(content)
        for k, style in enumerate(styles):
            one = [float(i == k) for i in range(len(styles))]
            corners.append(most(net(content, styles, weights=one), net(content, style)))
        for i, layer in enumerate(net.fuse(own, features, weights=weights)):
            parts = [w * net.fuse(own, [f])[i] for w, f in zip(weights, features, strict=True)]
            mixed.append(most(layer, torch.stack(parts).sum(0)) / float(layer.abs().max()))
        for first, second in zip(styles, [*styles[1:], styles[0]], strict=True):
            images = [net(content, [first, second], weights=[1 - i / 4, i / 4]) for i in range(5)]
            toward.append([[bench.style_loss(x, s) for x in images] for s in (first, second)])
    leaving, coming = np.mean(toward, 0)
    return [
        Check("all weight on one of four styles gives the image of that style alone", max(corners) < EQUAL,
              f"greatest difference {max(corners):.1e}"),
        Check("the features of a blend are the weighted sum of AdaIN's for each style (Eq. 15)", max(mixed) < EQUAL,
              f"greatest difference {max(mixed):.1e} of the greatest value"),
        Check("from one style to another in four steps, the loss against the first rises and against the second falls",
              bool((np.diff(leaving) > 0).all() and (np.diff(coming) < 0).all()),
              f"{' '.join(f'{x:.3g}' for x in leaving)} | {' '.join(f'{x:.3g}' for x in coming)}"),
    ]  # fmt: skip


def colors(bench: Bench) -> list[Check]:
    """Fig. 9: the content's colours are kept."""
    rows = []
    for content, style in bench.pairs("colour"):
        aligned = match_color(style, content)
        without, kept = bench.net(content, style), bench.net(content, aligned.clamp(0, 1))
        losses = [bench.style_loss(x, aligned.clamp(0, 1)) for x in (kept, content)]
        rows.append([*colour_distance(aligned, content), *colour_distance(without, content),
                     *colour_distance(kept, content), *losses])  # fmt: skip
    exact = max(max(row[:2]) for row in rows)
    mean = np.mean(rows, 0).tolist()
    brushed = sum(row[6] < row[7] for row in rows)
    return [
        Check("the colour-aligned style image has the content's mean colour and covariance, before it is clipped",
              exact < EQUAL, f"greatest difference {exact:.1e}"),
        Check("colour control at least halves the difference of the result's mean colour and of its covariance to the "
              "content's", mean[4] <= mean[2] / 2 and mean[5] <= mean[3] / 2,
              f"mean colour {mean[2]:.4f} without, {mean[4]:.4f} with; covariance {mean[3]:.4f} without, "
              f"{mean[5]:.4f} with"),
        Check("it is stylised all the same: in every pair the style loss against the aligned style is below that of "
              "the content image", brushed == len(rows),
              f"{brushed} of {len(rows)}; in the mean {mean[6]:.4g} | {mean[7]:.4g}"),
    ]  # fmt: skip


def colour_distance(image: Tensor, reference: Tensor) -> tuple[float, float]:
    """Euclidean distance of the mean colours, and Frobenius distance of the colour covariances."""
    (a, b) = (x.double().flatten(2)[0] for x in (image, reference))
    return float((a.mean(1) - b.mean(1)).norm()), float((a.cov(correction=0) - b.cov(correction=0)).norm())


def regions(bench: Bench) -> list[Check]:
    """Fig. 10: a style for the left half, another for the right."""
    net = bench.net
    alone, statistics, cropped = [], [], []
    for k, content in enumerate(tqdm(bench.contents, desc="regions", unit="content")):
        size = content.shape[-1]
        middle = size // 2
        left = torch.zeros_like(content[:, :1])
        left[..., :middle] = 1
        masks = [left, 1 - left]
        styles = [bench.styles[k % len(bench.styles)], bench.styles[(k + 1) % len(bench.styles)]]
        both = net(content, styles, masks=masks)
        for style, mask, inside, half in zip(
            styles, masks, (slice(0, middle - REACH), slice(middle + REACH, size)),
            (slice(0, middle), slice(middle, size)), strict=True,
        ):  # fmt: skip
            single = net(content, style, masks=[mask])
            alone.append(most(both[..., inside], single[..., inside]))
            cropped.append(far(both[..., half], net(content[..., half], style)))
        fused = net.fuse(net.encode(content), [net.encode(style) for style in styles], masks=masks)
        for i, style in enumerate(styles):
            for layer, plain, of_style in zip(fused, net.encode(content), net.encode(style), strict=True):
                positions = slice(0, layer.shape[-1] // 2) if i == 0 else slice(layer.shape[-1] // 2, None)
                (mean, std), (_, own), (_, raised) = (
                    channel_stats(layer[..., positions], eps=0.0),
                    channel_stats(plain[..., positions], eps=0.0),
                    channel_stats(plain[..., positions]),
                )
                style_mean, style_std = channel_stats(of_style)
                statistics += [most(mean, style_mean), most(std, style_std * own / raised)]
    return [
        Check("each region has the channel means and standard deviations of its own style at every fused layer (of a "
              "channel that hardly varies in the content Eq. 8's eps takes a part)", max(statistics) < EQUAL,
              f"greatest difference {max(statistics):.1e}"),
        Check(f"further than {REACH} pixels from the other region, each equals that region stylised alone",
              max(alone) < EQUAL, f"greatest difference {max(alone):.1e}; to the region cut out and stylised as an "
              f"image of its own, borders included, {np.mean(cropped):.4f} in the mean"),
    ]  # fmt: skip


def every_pair(bench: Bench) -> Check:
    """Fig. 11: every content with every style."""
    losses = [(bench.style_loss(bench.net(c, s), s), bench.style_loss(c, s)) for c, s in bench.pairs("every pair")]
    better = sum(stylized < plain for stylized, plain in losses)
    stylized, plain = np.mean(losses, 0).tolist()
    return Check("in every pair the style loss is below that of the content image", better == len(losses),
                 f"{better} of {len(losses)}; in the mean {stylized:.4g} | {plain:.4g}")  # fmt: skip


@torch.inference_mode()
def conclude(setting: Setting) -> dict[str, Any]:
    """Measure each control, and draw what it does to the demo's images."""
    bench = Bench(setting)
    checks, curves = trade_off(bench)
    checks += [*interpolation(bench), *colors(bench), *regions(bench), every_pair(bench)]
    draw_alpha(CLAIM.folder / setting.named("alpha.png"), ALPHAS, curves, len(bench.contents) * len(bench.styles))
    save_grid(strips(bench.net), CLAIM.folder / setting.named("controls.jpg"))
    save_grid(grids(bench.net), CLAIM.folder / setting.named("grids.jpg"))
    contents, styles, size = counts(setting)
    values = {f"alpha {alpha:g}": {name: {0: curve[i]} for name, curve in curves.items()}
              for i, alpha in enumerate(ALPHAS)}  # fmt: skip
    network = "the bundled network" if setting.small else "Enc-AdaIN-Dec"
    return {
        "values": values,
        "checks": checks,
        "notes": [f"{network}; {contents} held-out photographs with each of {styles} held-out paintings, {size} px."],
        "seeds": [] if setting.small else [setting.seeds[0]],
        "precision": "32-true",
    }


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
