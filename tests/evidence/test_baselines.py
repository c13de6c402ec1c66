"""Trainings of the methods that are compared with, and the images that all are compared on."""

from pathlib import Path

import torch

from adain_evidence import Setting, control_grids
from adain_evidence.baselines import held_out, network_for, single_styles, squares
from adain_evidence.session import found_images
from adain_lit.config.overrides import job_folder
from adain_lit.config.paths import last_checkpoint
from adain_lit.io.images import read_image, to_tensor
from adain_lit.reports.image_grid import GAP
from adain_lit.weights.networks import load_network


def test_networks_of_a_sweep_are_found_by_their_style() -> None:
    """Oracle: the folders that the sweeper makes of what Hydra's parser gives it."""
    styles = ["plain.jpg", "with space.jpg", "it's, two=three.jpg"]
    sweep = single_styles(Setting("claim", content="a", style="b"), styles, 3, "trainer.max_steps=2")
    common, *settings = (dict(text.split("=", 1) for text in combination) for combination in sweep.compositions())
    assert "model.styles" not in common
    assert [each["seed"] for each in settings] == ["3", "3", "3"]
    swept = [{"model.styles": each["model.styles"]} for each in settings]
    folders = [job_folder(sweep.folder, "baseline_ulyanov", values) for values in swept]
    assert [network_for(sweep, style) for style in styles] == [last_checkpoint(folder) for folder in folders]


def test_held_out_files_are_those_of_the_evaluation(photographs: Path, paintings: Path) -> None:
    """Oracle: the data module. Without images there are names, so that jobs can be composed."""
    setting = Setting("claim", content=str(photographs), style=str(paintings))
    data = found_images(setting)
    expected = tuple(map(str, data.held_out_contents)), tuple(map(str, data.held_out_styles))
    assert held_out(setting) == expected
    assert len(held_out(Setting("claim", content="nowhere", style="nowhere"))[1]) == 100


def test_squares_are_the_middle_of_each_image(photographs: Path) -> None:
    """Oracle: an image already square, unchanged."""
    path = min(photographs.glob("*.jpg"))
    whole = to_tensor(read_image(path)).float() / 255
    side = min(whole.shape[1:])
    (square,) = squares([str(path)], side)
    top, left = ((length - side) // 2 for length in whole.shape[1:])
    torch.testing.assert_close(square[0], whole[:, top : top + side, left : left + side])


def test_strip_over_alpha_goes_from_the_content_to_the_style() -> None:
    """Oracle: the network, and the images that it was given, at their places on the grid."""
    net = load_network("compact")
    content, style = torch.rand(2, 1, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    grid = control_grids._alpha(net, content, style)
    with torch.inference_mode():
        shown = [content, *(net(content, style, alpha=alpha) for alpha in (0, 0.25, 0.5, 0.75, 1)), style]
    pixels = to_tensor(grid)
    row = pixels[:, -150 - GAP : -GAP]
    for i, image in enumerate(shown):
        x = GAP + i * (150 + GAP)
        found = row[:, :, x : x + 150].float()
        torch.testing.assert_close(found, (image[0] * 255).round(), atol=1.0, rtol=0)
