"""Optimisation of the pixels: it lowers the loss that it is given, further than anything else here."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm
from adain_lit.io.images import read_image, to_tensor
from adain_lit.losses import PerceptualLoss, gram_loss
from adain_lit.methods.gatys import Gatys
from adain_lit.nets import VGGEncoder
from adain_lit.nets.vgg import initialise_randomly


@pytest.fixture(scope="module")
def net() -> VGGEncoder:
    encoder = VGGEncoder("compact").requires_grad_(False)
    initialise_randomly(encoder)
    return encoder


@pytest.fixture(scope="module")
def pair(photographs: Path, paintings: Path) -> tuple[Tensor, Tensor]:
    """Two photographs and two paintings, (2, 3, 48, 48)."""
    contents = [to_tensor(read_image(path)) for path in sorted(photographs.glob("*.jpg"))[:2]]
    styles = [to_tensor(read_image(path)) for path in sorted(paintings.glob("*.png"))[:2]]
    return tuple(torch.stack([x[:, :48, :48] for x in side]) / 255 for side in (contents, styles))  # type: ignore[return-value]


def losses(net: VGGEncoder, image: Tensor, content: Tensor, style: Tensor) -> dict[str, Tensor]:
    criterion = PerceptualLoss(style_weight=1.0)
    wanted = net(style, criterion.layers)
    target = adaptive_instance_norm(net(content)["relu4_1"], wanted["relu4_1"])
    return criterion(net(image, criterion.layers), target, wanted)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_loss_of_every_pair_falls_far_below_that_of_the_photograph(
    optimizer: str, net: VGGEncoder, pair: tuple[Tensor, Tensor]
) -> None:
    method = Gatys(net, PerceptualLoss(style_weight=1.0), iterations=40, optimizer=optimizer, progress=False)
    made = method(*pair)
    before, after = (losses(net, image, *pair)["loss"] for image in (pair[0], made))
    assert made.shape == pair[0].shape
    assert (made.min(), made.max()) >= (0, 0)
    assert (after < 0.5 * before).all()


def test_history_holds_each_iteration_and_begins_with_the_photographs_losses(
    net: VGGEncoder, pair: tuple[Tensor, Tensor]
) -> None:
    method = Gatys(net, PerceptualLoss(style_weight=1.0), iterations=7, optimizer="adam", progress=False)
    method(*pair)
    first = losses(net, pair[0], *pair)
    for name in ("content_loss", "style_loss"):
        assert len(method.history[name]) == 7
        assert torch.allclose(method.history[name][0], first[name])


def test_pairs_of_a_batch_do_not_depend_on_each_other_with_adam(net: VGGEncoder, pair: tuple[Tensor, Tensor]) -> None:
    """Adam treats every pixel by itself; in float64, since it amplifies rounding."""
    method = Gatys(
        deepcopy(net).double(), PerceptualLoss(style_weight=1.0), iterations=5, optimizer="adam", progress=False
    )
    together = method(pair[0].double(), pair[1].double())
    alone = method(pair[0][:1].double(), pair[1][:1].double())
    assert torch.allclose(together[:1], alone, atol=1e-6)


def test_content_target_keeps_more_of_the_photographs_features(net: VGGEncoder, pair: tuple[Tensor, Tensor]) -> None:
    """Gatys et al. compare with f(c) in place of t."""
    made = {
        target: Gatys(
            net, PerceptualLoss(style_weight=1.0), iterations=20, optimizer="adam", target=target, progress=False
        )(*pair)
        for target in ("fused", "content")
    }
    distance = {name: (net(x)["relu4_1"] - net(pair[0])["relu4_1"]).square().mean() for name, x in made.items()}
    assert distance["content"] < distance["fused"]


def test_noise_start_is_the_seeds(net: VGGEncoder, pair: tuple[Tensor, Tensor]) -> None:
    def run(seed: int) -> Tensor:
        return Gatys(
            net,
            PerceptualLoss(style_weight=1.0),
            iterations=2,
            optimizer="adam",
            start="noise",
            seed=seed,
            progress=False,
        )(*pair)

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_lbfgs_evaluates_as_often_as_it_may_and_ends_with_its_lowest_loss(
    net: VGGEncoder, pair: tuple[Tensor, Tensor]
) -> None:
    """Oracle: the loss of the image, measured again; a last line search may go beyond by its 25 trials."""
    method = Gatys(net, PerceptualLoss(style_weight=2.0), iterations=30, progress=False)
    made = method(*pair)
    totals = torch.stack(method.history["content_loss"]) + 2.0 * torch.stack(method.history["style_loss"])
    assert 30 <= len(totals) <= 55
    features = net(pair[1], method.criterion.layers)
    target = adaptive_instance_norm(net(pair[0])["relu4_1"], features["relu4_1"])
    final = PerceptualLoss(style_weight=2.0)(net(made, method.criterion.layers), target, features)["loss"].sum()
    assert final < 1.01 * totals.sum(1).min()  # nothing is clipped away in the end


def test_layout_in_memory_changes_nothing(net: VGGEncoder, pair: tuple[Tensor, Tensor]) -> None:
    """Oracle: the same images channel by channel; L-BFGS flattens what it optimises."""
    content, style = pair
    method = Gatys(net, PerceptualLoss(style_weight=1.0), iterations=3, progress=False)
    expected = method(content, style)
    found = method(content.contiguous(memory_format=torch.channels_last), style)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


def test_lbfgs_that_ends_by_itself_is_begun_again(net: VGGEncoder, pair: tuple[Tensor, Tensor]) -> None:
    """Oracle: where nothing is to be done it ends after one evaluation; the history is as long as was asked for."""
    criterion = PerceptualLoss(style_weight=0.0)
    method = Gatys(net, criterion, iterations=3, target="content", progress=False)
    assert torch.allclose(method(*pair), pair[0])
    assert len(method.history["content_loss"]) == 3


def test_gram_loss_and_its_weight_take_the_place_of_the_measurement_s(
    net: VGGEncoder, pair: tuple[Tensor, Tensor]
) -> None:
    """Oracle: the Gram loss of the photograph, which the history begins with; without weight nothing is to be done."""
    given: dict[str, Any] = {"optimizer": "adam", "progress": False, "target": "content"}
    method = Gatys(net, PerceptualLoss(style_weight=1.0), statistic="gram", style_weight=50.0, iterations=10, **given)
    method(*pair)
    features, style = (net(x, method.criterion.layers) for x in pair)
    expected = [gram_loss(features[layer], style[layer]) for layer in method.criterion.style_layers]
    history = method.history["style_loss"]
    assert torch.allclose(history[0], torch.stack(expected).sum(0), rtol=1e-4)
    assert (history[-1] < 0.7 * history[0]).all()
    assert torch.allclose(
        Gatys(net, PerceptualLoss(style_weight=1.0), style_weight=0.0, iterations=3, **given)(*pair), pair[0]
    )


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"optimizer": "sgd"}, "unknown optimizer 'sgd' of Gatys' method; known are lbfgs, adam"),
        ({"start": "style"}, "unknown start 'style'"),
        ({"target": "t"}, "unknown target 't'"),
        ({"iterations": 0}, "iterations is 0"),
        ({"statistic": "mean"}, "unknown statistic 'mean' of the style loss; known are mean_std, gram"),
        ({"style_weight": -1.0}, "style_weight is -1.0; it must be 0 or more"),
    ],
)
def test_unknown_settings_are_refused(setting: dict[str, Any], line: str, net: VGGEncoder) -> None:
    with pytest.raises(InputError, match=line):
        Gatys(net, PerceptualLoss(), **setting)
