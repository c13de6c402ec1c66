"""The losses of Eqs. 11 to 13 against NumPy in float64, their gradients, and half precision."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.losses import PerceptualLoss, content_loss, gram_loss, style_loss
from adain_lit.nets.config import PAPER_STYLE_LAYERS
from adain_lit.nets.style_transfer import StyleTransferNet
from adain_lit.nets.vgg import VGGEncoder, initialise_randomly

EPS = 1e-5
WIDTHS = (4, 6, 8, 10, 10)
CHANNELS = dict(zip(PAPER_STYLE_LAYERS, WIDTHS, strict=False))
Array = NDArray[np.float64]


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 2.0, shape[1], dtype=torch.float64).view(1, -1, 1, 1)
    return ((torch.randn(*shape, generator=generator, dtype=torch.float64) + 1) * scale).to(dtype)


def pyramid(seed: int, n: int = 3, side: int = 8) -> dict[str, Tensor]:
    """Features at the paper's four layers."""
    return {
        layer: features(n, c, max(side >> i, 2), side, seed=seed + i) for i, (layer, c) in enumerate(CHANNELS.items())
    }


def content_loss_by_loop(x: Array, target: Array) -> Array:
    return np.array([np.mean((a - b) ** 2) for a, b in zip(x, target, strict=True)])


def style_loss_by_loop(x: Array, style: Array, reduction: str) -> Array:
    """A term of Eq. 13 per sample: squared differences of means and of sqrt(population variance + eps)."""
    losses = np.zeros(len(x))
    for i, c in np.ndindex(x.shape[:2]):
        mean = x[i, c].mean() - style[i, c].mean()
        std = np.sqrt(x[i, c].var() + EPS) - np.sqrt(style[i, c].var() + EPS)
        losses[i] += (mean**2 + std**2) / (x.shape[1] if reduction == "mean" else 1)
    return losses


def gram_loss_by_loop(x: Array, style: Array, reduction: str) -> Array:
    losses = np.zeros(len(x))
    channels = x.shape[1]
    for i, a, b in np.ndindex(len(x), channels, channels):
        difference = np.mean(x[i, a] * x[i, b]) - np.mean(style[i, a] * style[i, b])
        losses[i] += difference**2 / (channels**2 if reduction == "mean" else 1)
    return losses


BY_LOOP: dict[str, Callable[[Array, Array, str], Array]] = {"mean_std": style_loss_by_loop, "gram": gram_loss_by_loop}
each_reduction = pytest.mark.parametrize("reduction", ["mean", "sum"])
each_statistic = pytest.mark.parametrize("statistic", BY_LOOP)


def test_content_loss_is_the_mean_square_of_each_sample() -> None:
    """Oracle: NumPy per sample."""
    x, target = features(3, 4, 5, 6), features(3, 4, 5, 6, seed=1)
    np.testing.assert_allclose(content_loss(x, target), content_loss_by_loop(x.numpy(), target.numpy()), rtol=1e-12)


@each_reduction
def test_style_loss_and_gram_loss_equal_numpy_for_each_sample(reduction: str) -> None:
    """Oracle: NumPy loops over samples and channels; the style is of another size."""
    x, style = features(3, 4, 5, 6), features(3, 4, 7, 3, seed=1)
    for function, by_loop in ((style_loss, style_loss_by_loop), (gram_loss, gram_loss_by_loop)):
        expected = by_loop(x.numpy(), style.numpy(), reduction)
        np.testing.assert_allclose(function(x, style, reduction=reduction), expected, rtol=1e-11)


@pytest.mark.parametrize("name", ["style", "gram", "content"])
@each_reduction
def test_gradient_of_a_loss_is_right(name: str, reduction: str) -> None:
    """Oracle: finite differences in float64."""
    functions: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "style": lambda x, s: style_loss(x, s, reduction=reduction),
        "gram": lambda x, s: gram_loss(x, s, reduction=reduction),
        "content": content_loss,
    }
    x, other = features(2, 3, 3, 4).requires_grad_(), features(2, 3, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(functions[name], (x, other))


@each_reduction
@each_statistic
def test_perceptual_loss_equals_numpy_and_its_parts_add_up(statistic: str, reduction: str) -> None:
    """Oracle: Eqs. 11 to 13 by NumPy, layer by layer; loss = content + lambda * style; layers sum to style."""
    stylized, style, target = pyramid(0), pyramid(9), features(3, 10, 2, 8, seed=20)
    criterion = PerceptualLoss(style_weight=0.7, reduction=reduction, style_statistic=statistic)
    losses = {name: value.numpy() for name, value in criterion(stylized, target, style).items()}
    layers = {
        layer: BY_LOOP[statistic](stylized[layer].numpy(), style[layer].numpy(), reduction)
        for layer in PAPER_STYLE_LAYERS
    }
    content = content_loss_by_loop(stylized["relu4_1"].numpy(), target.numpy())
    assert set(losses) == {"loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in layers)}
    for layer, expected in layers.items():
        np.testing.assert_allclose(losses[f"style_loss/{layer}"], expected, rtol=1e-11)
    np.testing.assert_allclose(losses["content_loss"], content, rtol=1e-11)
    np.testing.assert_allclose(losses["style_loss"], sum(layers.values()), rtol=1e-11)
    np.testing.assert_allclose(losses["loss"], content + 0.7 * sum(layers.values()), rtol=1e-11)


def test_under_sum_a_layer_of_c_channels_weighs_c_times_as_much() -> None:
    """Oracle: the conversion lambda_mean = lambda_sum * C_l between the two published conventions."""
    stylized, style, target = pyramid(0), pyramid(9), features(3, 10, 2, 8, seed=20)
    mean = PerceptualLoss(style_weight=1.0, reduction="mean")(stylized, target, style)
    total = PerceptualLoss(style_weight=1.0, reduction="sum")(stylized, target, style)
    for layer, channels in CHANNELS.items():
        torch.testing.assert_close(total[f"style_loss/{layer}"], channels * mean[f"style_loss/{layer}"])
    one = {"style_layers": ("relu3_1",)}
    torch.testing.assert_close(
        PerceptualLoss(style_weight=0.01, reduction="sum", **one)(stylized, target, style)["loss"],
        PerceptualLoss(style_weight=0.01 * CHANNELS["relu3_1"], reduction="mean", **one)(stylized, target, style)[
            "loss"
        ],
    )


def test_losses_of_a_sample_do_not_depend_on_its_batch() -> None:
    """Oracle: the sample alone."""
    stylized, style, target = pyramid(0), pyramid(9), features(3, 10, 2, 8, seed=20)
    criterion = PerceptualLoss()
    batch = criterion(stylized, target, style)

    def second(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: x[1:2] for name, x in maps.items()}

    for name, value in criterion(second(stylized), target[1:2], second(style)).items():
        torch.testing.assert_close(value, batch[name][1:2])


def test_needed_layers_are_the_style_layers_and_the_content_layer_once() -> None:
    """Oracle: by hand; the paper's four layers include the content layer, others need not."""
    assert PerceptualLoss().layers == ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    assert PerceptualLoss(style_layers=["relu2_1"], content_layer="relu3_1").layers == ("relu2_1", "relu3_1")


def test_the_defaults_are_the_common_recipe() -> None:
    """Oracle: lambda 10 with mean over channels, means and standard deviations, the paper's layers."""
    stylized, style, target = pyramid(0), pyramid(9), features(3, 10, 2, 8, seed=20)
    losses = PerceptualLoss()(stylized, target, style)
    explicit = PerceptualLoss(
        style_weight=10.0,
        style_layers=tuple(CHANNELS),
        content_layer="relu4_1",
        reduction="mean",
        style_statistic="mean_std",
    )(stylized, target, style)
    for name, value in explicit.items():
        assert torch.equal(losses[name], value)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_losses_of_half_precision_features_are_taken_in_float32(dtype: torch.dtype, autocast: bool) -> None:
    """Oracle: NumPy float64 of the same numbers; the means of bfloat16 alone would be off by up to 4e-3."""
    x, other = (features(2, 4, 12, 12, seed=i).add(3 * i).to(dtype) for i in (0, 1))
    a, b = x.double().numpy(), other.double().numpy()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = content_loss(x, other), style_loss(x, other), gram_loss(x, other)
    expected = content_loss_by_loop(a, b), style_loss_by_loop(a, b, "mean"), gram_loss_by_loop(a, b, "mean")
    for value, oracle in zip(losses, expected, strict=True):
        assert value.dtype == torch.float32
        np.testing.assert_allclose(value, oracle, rtol=1e-5)
    half = torch.bfloat16 if dtype == torch.float32 else dtype
    naive = (x.to(half) - other.to(half)).square().flatten(1).mean(1)
    assert np.max(np.abs(naive.double().numpy() / expected[0] - 1)) > 1e-4


@pytest.mark.parametrize("constant", ["content", "style", "output"])
@each_statistic
def test_loss_and_gradient_are_finite_on_constant_pictures(constant: str, statistic: str) -> None:
    """Oracle: behind an image of one colour every feature map has variance 0; only eps keeps the slope finite."""
    encoder = VGGEncoder(WIDTHS)
    initialise_randomly(encoder)
    net = StyleTransferNet(encoder)
    content, style = (torch.rand(1, 3, 17, 20, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    grey = torch.full_like(content, 0.5)
    content, style = (grey if constant == "content" else content), (grey if constant == "style" else style)
    target = net.fuse(net.encode(content), [net.encode(style)])
    output = grey.clone() if constant == "output" else net.decode(target, content.shape[2:]).detach()
    output.requires_grad_()
    criterion = PerceptualLoss(style_statistic=statistic)
    losses = criterion(encoder(output, criterion.layers), target[0], encoder(style, criterion.layers))
    losses["loss"].sum().backward()
    assert all(value.isfinite().all() for value in losses.values())
    assert output.grad is not None
    assert output.grad.isfinite().all()
    # and through the decoder to its weights
    decoded = net.decode(target, content.shape[2:])
    criterion(encoder(decoded, criterion.layers), target[0], encoder(style, criterion.layers))["loss"].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.decoder.parameters())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "max"}, "unknown reduction 'max' of the style loss; known are mean, sum"),
        (
            {"style_statistic": "swd"},
            "unknown statistic 'swd' of the style loss; known are mean_std, gram, and my_module.my_statistic",
        ),
        ({"style_weight": -1.0}, "style_weight is -1.0; it must be 0 or more"),
        ({"style_weight": float("nan")}, "style_weight is nan; it must be 0 or more"),
        ({"style_weight": float("inf")}, "style_weight is inf; it must be 0 or more"),
        ({"style_layers": ()}, "no style layers were given; the style loss needs at least one"),
    ],
)
def test_unusable_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    """Oracle: the message quotes the value and what is needed."""
    with pytest.raises(InputError, match=f"^{message}$"):
        PerceptualLoss(**arguments)  # type: ignore[arg-type]


def test_lambda_0_is_allowed_and_leaves_the_content_loss() -> None:
    """Oracle: Eq. 11 with lambda 0."""
    losses = PerceptualLoss(style_weight=0.0)(pyramid(0), features(3, 10, 2, 8, seed=20), pyramid(9))
    assert torch.equal(losses["loss"], losses["content_loss"])
