"""``python experiments/table1_speed/run.py scale=SCALE``: seconds for one image, as in Table 1."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from adain_evidence import Check, Claim, Job, Setting, run_claim
from adain_evidence.figures import new_figure, save_figure
from adain_lit.evaluation.speed_table import TABLE_1, published
from adain_lit.functional.matching import style_swap
from adain_lit.nets import StyleTransferNet, TransformerNet
from adain_lit.reports.style import COLOURS, label_axes
from adain_lit.weights.encoders import load_encoder

NAMES = {
    "gatys": "Gatys et al.",
    "style_swap": "Chen & Schmidt",
    "ulyanov": "Ulyanov et al.",
    "dumoulin": "Dumoulin et al.",
    "vgg19": "Huang & Belongie",
    "compact": "bundled network",
}
SIZES = (256, 512)
OURS = "vgg19"


def column(size: int, *, encoding: bool) -> str:
    """A quantity's name."""
    return f"s at {size} px, {'with' if encoding else 'without'} style encoding"


CLAIM = Claim(
    Path(__file__).parent,
    "Speed of all methods",
    "The proposed network is nearly 3 orders of magnitude faster than Gatys et al., 1 to 2 orders faster than Chen & "
    "Schmidt, and the more so the larger the image, and comparable to Ulyanov et al. and Dumoulin et al., who are "
    "limited to a few styles; encoding the content, encoding the style and decoding take a third of the time each",
    "Table 1, Sec. 7.1",
    {
        name: {
            column(size, encoding=encoding): seconds
            for size in SIZES
            for encoding in (False, True)
            if (seconds := published(key, size, style_encoding=encoding)) is not None
        }
        for key, name in NAMES.items()
    },
)
ALIKE = 3
"""Factor by which comparable speeds may differ."""


def jobs(setting: Setting) -> list[Job]:
    """The benchmark: networks of the papers' widths with random weights, on which no time depends."""
    encoder = "{_target_:adain_lit.weights.encoders.load_encoder,weights:random,widths:vgg19,last:relu3_1}"
    settings = (
        "method=[gatys,vgg19,compact]",
        "method.gatys.progress=false",
        f"+method.style_swap={{_target_:adain_lit.nets.StyleTransferNet,encoder:{encoder},fusion:style_swap,norm:batch}}",
        f"+method.ulyanov={few('instance', 1)}",
        f"+method.dumoulin={few('conditional', 32)}",
        f"reference={OURS}",
        f"sizes=[{','.join(map(str, SIZES))}]",
        "images=100",
        "memory=false",
        *(("max_seconds=10", "iterations=3", "warmup=1") if setting.small else ("max_seconds=300", "iterations=100")),
    )
    return [Job("benchmark", "methods", settings, setting.folder)]


def few(norm: str, styles: int) -> str:
    """A network for fixed styles as a setting.

    An image of noise has a grey thumbnail, so it passes for its first style.
    """
    transformer = f"{{_target_:adain_lit.nets.TransformerNet,norm:{norm},styles:{styles}}}"
    thumbnails = f"{{_target_:torch.full,size:[{styles},3,8,8],fill_value:0.5}}"
    return f"{{_target_:adain_lit.nets.FixedStyleNet,transformer:{transformer},thumbnails:{thumbnails}}}"


def conclude(setting: Setting) -> dict[str, Any]:
    """Judge the ratios, and draw our times beside the paper's."""
    benchmark = json.loads((jobs(setting)[0].folder / "benchmark.json").read_text("utf-8"))
    seconds: dict[str, dict[tuple[int, bool], float]] = {}
    images: dict[str, list[int]] = {}
    for case in benchmark["cases"]:
        # methods for fixed styles encode none: their only time is the one without
        fixed = case["method"] in ("ulyanov", "dumoulin")
        encoding = case["style_encoding"] and not fixed
        seconds.setdefault(case["method"], {})[case["size"], encoding] = case["median"]
        images.setdefault(case["method"], []).append(case["images"])
    values = {
        name: {column(size, encoding=encoding): {0: s} for (size, encoding), s in sorted(seconds[key].items())}
        for key, name in NAMES.items()
    }
    operations = {size: multiplications(size) for size in SIZES}
    draw(setting, seconds)
    least = ", ".join(f"{NAMES[key]} {min(counts)}" for key, counts in images.items() if min(counts) < 100)
    return {
        "values": values,
        "checks": checks(seconds, operations),
        "notes": [
            "Medians of 100 images of noise from tensor to tensor, in turns in one run; fewer where they took too "
            f"long: {least or 'none'}. Gatys et al. extrapolated to 500 iterations. VGG-19 and all other networks at "
            "the papers' widths have random weights; the bundled one is small.",
            "The paper's column is of a Pascal Titan X: compare ratios.",
        ],
        "operations": {str(size): found for size, found in operations.items()},
        "benchmark": {"device": benchmark["settings"]["device"], "dtype": benchmark["settings"]["dtype"]},
        "precision": "32-true",
        "seeds": [],
    }


def checks(
    seconds: Mapping[str, Mapping[tuple[int, bool], float]], operations: Mapping[int, Mapping[str, float]]
) -> list[Check]:
    """The parts of the claim."""
    ours = {size: seconds[OURS][size, False] for size in SIZES}
    slower = {size: seconds["gatys"][size, True] / ours[size] for size in SIZES}
    swap = {size: seconds["style_swap"][size, False] / ours[size] for size in SIZES}
    few = {key: {size: ours[size] / seconds[key][size, False] for size in SIZES} for key in ("ulyanov", "dumoulin")}
    with_encoding = {size: seconds[OURS][size, True] / ours[size] for size in SIZES}
    counted = {size: found["style swap alone"] / found["AdaIN network"] for size, found in operations.items()}
    return [
        Check("Gatys et al. take more than 300 times as long, nearly 3 orders of magnitude", min(slower.values()) > 300,
              _times(slower, "Gatys et al.", encoding=True)),
        Check("Chen & Schmidt take 10 to 100 times as long", all(10 <= x <= 100 for x in swap.values()),
              f"{_times(swap, 'Chen and Schmidt')}; multiplications of the swap alone to those of the whole AdaIN "
              f"network: {', '.join(f'{x:.2g} at {size} px' for size, x in counted.items())}"),
        Check("and more times as long at 512 px than at 256 px", swap[512] > swap[256], _times(swap)),
        *(Check(f"ours takes at most {ALIKE} times as long as {NAMES[key]}", max(found.values()) <= ALIKE,
                _times(found, NAMES[key], inverse=True)) for key, found in few.items()),
        Check("with style encoding it takes 1.5 times as long as without, within a fifth: a third each",
              all(1.2 <= x <= 1.8 for x in with_encoding.values()), _times(with_encoding)),
        Check("a smaller network is faster still: the bundled one takes less than half of the time",
              all(seconds["compact"][size, False] < ours[size] / 2 for size in SIZES),
              _times({size: seconds["compact"][size, False] / ours[size] for size in SIZES})),
    ]  # fmt: skip


def _times(found: Mapping[int, float], row: str = "", *, encoding: bool = False, inverse: bool = False) -> str:
    """Ratios by size, and the paper's where `row` names one of Table 1's."""
    parts = []
    for size, ratio in found.items():
        part = f"{ratio:.3g} times at {size} px"
        if row:
            own, theirs = TABLE_1["Huang and Belongie"][str(size)][0], TABLE_1[row][str(size)][encoding]
            assert own is not None
            assert theirs is not None
            part += f" (paper {own / theirs if inverse else theirs / own:.3g})"
        parts.append(part)
    return ", ".join(parts)


@torch.inference_mode()
def multiplications(size: int) -> dict[str, float]:
    """Floating-point operations, in 10^9: multiplications and additions of convolutions, counted, not timed."""
    image = torch.rand(1, 3, size, size)
    network = StyleTransferNet(load_encoder("random"))
    feature = network.encoder(image, ("relu3_1",))["relu3_1"]
    pairs = {
        "AdaIN network": lambda: network.decode(network.encode(image), (size, size)),
        "style swap alone": lambda: style_swap(feature, feature.flip(3)),
        "Ulyanov et al.": lambda: TransformerNet()(image),
    }
    found = {}
    for name, action in pairs.items():
        with FlopCounterMode(display=False) as counter:
            action()
        found[name] = counter.get_total_flops() / 1e9
    return found


def draw(setting: Setting, seconds: Mapping[str, Mapping[tuple[int, bool], float]]) -> None:
    """Our times and the paper's for each method, on one logarithmic axis."""
    figure, axes = new_figure(2, height=3.2)
    for panel, size in zip(axes, SIZES, strict=True):
        rows = list(NAMES)
        for shift, encoding in ((0.12, False), (-0.12, True)):
            found = [(i + shift, seconds[key].get((size, encoding))) for i, key in enumerate(rows)]
            paper = [(i + shift, published(key, size, style_encoding=encoding)) for i, key in enumerate(rows)]
            words = "style encoded too" if encoding else "without style encoding"
            for points, colour, who in ((found, COLOURS[0], "here"), (paper, COLOURS[1], "paper, Titan X")):
                there = [(y, x) for y, x in points if x is not None]
                panel.plot([x for _, x in there], [y for y, _ in there], linestyle="", markersize=6, color=colour,
                           marker="s" if encoding else "o", label=f"{who}, {words}",
                           markerfacecolor="white" if encoding else colour)  # fmt: skip
        panel.set_xscale("log")
        panel.set_yticks(range(len(rows)), [NAMES[key] for key in rows] if size == SIZES[0] else [""] * len(rows))
        label_axes(panel, "seconds for one image", "", title=f"{size} x {size} pixels")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    caption = 'Median times. The paper (Sec. 7.1): "nearly 3 orders of magnitude faster than" Gatys et al. and "1-2 ' \
              'orders of magnitude faster than" Chen & Schmidt.'  # fmt: skip
    save_figure(figure, CLAIM.folder / setting.named("speed.png"), caption=caption)


if __name__ == "__main__":
    run_claim(CLAIM, jobs, conclude)
