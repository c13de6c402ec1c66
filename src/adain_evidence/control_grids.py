"""Image grids of the controls at run time (Figs. 7 to 11), made from the demo's images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from adain_evidence.baselines import squares
from adain_evidence.figures import new_figure, save_figure
from adain_lit.data.demo import demo_content_images, demo_style_images
from adain_lit.functional.color import match_color
from adain_lit.io.images import to_image
from adain_lit.nets import StyleTransferNet
from adain_lit.reports.image_grid import image_grid
from adain_lit.reports.style import COLOURS, label_axes

SIZE = 256
"""Side in pixels at which the images are stylised."""
CONTENTS = ("chelsea.png", "rocket.jpg", "astronaut.png", "coffee.png")
STYLES = 6
"""Number of style images in the grid of every content with every style."""


def strips(net: StyleTransferNet) -> Image.Image:
    """Figs. 7, 9 and 10: alpha, colour and regions."""
    contents, styles = _contents(net), _styles(net)
    return _stacked(
        {
            "Content-style trade-off (Fig. 7)": _alpha(net, contents[0], styles[2]),
            "Colour control (Fig. 9)": _colour(net, contents[3], styles[1]),
            "Spatial control (Fig. 10)": _regions(net, contents[0], styles[0], styles[2]),
        }
    )


def grids(net: StyleTransferNet) -> Image.Image:
    """Figs. 8 and 11: four styles and their mixtures; every content with every style."""
    contents, styles = _contents(net), _styles(net)
    return _stacked(
        {
            "Between four styles (Fig. 8): the corners have one each": _mixtures(net, contents[2], styles[:4]),
            "Every content with every style (Fig. 11)": _every(net, contents, styles),
        }
    )


def draw_alpha(path: Path, alphas: Sequence[float], curves: Mapping[str, Sequence[float]], pairs: int) -> None:
    """Losses and similarity to the content against alpha.

    Args:
        path: of the PNG.
        alphas: 0 to 1.
        curves: a value for each, by quantity.
        pairs: number of pairs that they are means over.
    """
    figure, axes = new_figure(len(curves), height=2.6)
    for i, (panel, (name, values)) in enumerate(zip(axes, curves.items(), strict=True)):
        panel.plot(alphas, values, color=COLOURS[i], marker="o", markersize=3, linewidth=1.4)
        panel.set_ylim(bottom=0)
        label_axes(panel, "alpha", f"{name} (no unit)")
    caption = (
        f"From the content (alpha 0) to the style (alpha 1) at run time: means of {pairs} held-out pairs. The paper "
        '(Fig. 7): "a smooth transition between content-similarity and style-similarity can be observed".'
    )
    save_figure(figure, path, caption=caption)


def _contents(net: StyleTransferNet) -> list[Tensor]:
    files = {path.name: path for held_out in (True, False) for path in demo_content_images(held_out)}
    return _on(net, squares([str(files[name]) for name in CONTENTS], SIZE))


def _styles(net: StyleTransferNet) -> list[Tensor]:
    files = demo_style_images(held_out=True)
    step = len(files) / STYLES
    return _on(net, squares([str(files[int(i * step)]) for i in range(STYLES)], SIZE))


def _on(net: StyleTransferNet, images: Sequence[Tensor]) -> list[Tensor]:
    device = next(net.parameters()).device
    return [image.to(device) for image in images]


def _image(image: Tensor) -> Image.Image:
    return to_image(image[0].float().clamp(0, 1).cpu())


@torch.inference_mode()
def _alpha(net: StyleTransferNet, content: Tensor, style: Tensor) -> Image.Image:
    alphas = (0.0, 0.25, 0.5, 0.75, 1.0)
    row = [content, *(net(content, style, alpha=alpha) for alpha in alphas), style]
    names = ["content", *(f"alpha {alpha:g}" for alpha in alphas), "style"]
    return image_grid([[_image(x) for x in row]], columns=names, side=150)


@torch.inference_mode()
def _colour(net: StyleTransferNet, content: Tensor, style: Tensor) -> Image.Image:
    aligned = match_color(style, content).clamp(0, 1)
    row = [content, style, net(content, style), aligned, net(content, aligned)]
    names = ["content", "style", "stylised", "style in the content's colours", "stylised with it"]
    return image_grid([[_image(x) for x in row]], columns=names, side=150)


@torch.inference_mode()
def _regions(net: StyleTransferNet, content: Tensor, first: Tensor, second: Tensor) -> Image.Image:
    """The centre in one style, its surroundings in another."""
    place = torch.linspace(-1, 1, content.shape[-1], device=content.device)
    middle = ((place[None] ** 2 + place[:, None] ** 2) < 0.5).to(content)[None, None]
    both = net(content, [first, second], masks=[middle, 1 - middle])
    row = [content, first, second, middle.expand_as(content), both, net(content, first), net(content, second)]
    names = ["content", "style 1", "style 2", "region of style 1", "both", "style 1 alone", "style 2 alone"]
    return image_grid([[_image(x) for x in row]], columns=names, side=150)


@torch.inference_mode()
def _mixtures(net: StyleTransferNet, content: Tensor, styles: Sequence[Tensor], steps: int = 5) -> Image.Image:
    rows = []
    for i in range(steps):
        down = i / (steps - 1)
        corners = [((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right)
                  for right in (j / (steps - 1) for j in range(steps))]  # fmt: skip
        rows.append([_image(net(content, list(styles), weights=list(weights))) for weights in corners])
    rows[0] = [_image(styles[0]), *rows[0], _image(styles[1])]
    rows[-1] = [_image(styles[2]), *rows[-1], _image(styles[3])]
    blank = Image.new("RGB", (8, 8), "white")
    rows = [row if len(row) > steps else [blank, *row, blank] for row in rows]
    return image_grid(rows, columns=["style", *[""] * steps, "style"], side=112)


@torch.inference_mode()
def _every(net: StyleTransferNet, contents: Sequence[Tensor], styles: Sequence[Tensor]) -> Image.Image:
    blank = Image.new("RGB", (8, 8), "white")
    rows = [[blank, *map(_image, contents)]]
    rows += [[_image(style), *(_image(net(content, style)) for content in contents)] for style in styles]
    return image_grid(rows, columns=["style", *["content"] * len(contents)], side=112)


def _stacked(sections: Mapping[str, Image.Image]) -> Image.Image:
    """Grids stacked vertically, each under its title."""
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf"), 15)
    head = 28
    size = (max(grid.width for grid in sections.values()), sum(head + grid.height for grid in sections.values()))
    stacked = Image.new("RGB", size, "white")
    draw, top = ImageDraw.Draw(stacked), 0
    for title, grid in sections.items():
        draw.text((6, top + 6), title, fill="black", font=font)
        stacked.paste(grid, (0, top + head))
        top += head + grid.height
    return stacked
