"""The network for fixed styles: sizes, norms, blends, and which image is which style."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from adain_lit.data.fixed_styles import read_styles
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.nets import ConditionalInstanceNorm, TransformerNet
from support.images import small
from support.networks import fixed_style_network


@pytest.fixture(scope="module")
def content() -> Tensor:
    return torch.stack([to_tensor(small(name, (44, 36))) for name in ("coffee.png", "chelsea.png")]) / 255


@pytest.fixture(scope="module")
def files(paintings: Path) -> list[Path]:
    return sorted(paintings.iterdir())


@pytest.mark.parametrize("size", [(5, 5), (5, 64), (33, 42), (36, 44)])
@pytest.mark.parametrize("norm", ["batch", "instance", "conditional"])
def test_output_has_the_size_of_the_input_and_the_range_of_pictures(norm: str, size: tuple[int, int]) -> None:
    net = TransformerNet(norm=norm, width=4, blocks=1).eval()
    with torch.no_grad():
        out = net(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, *size)
    assert 0 <= out.min() < out.max() <= 1


def test_network_of_the_papers_has_their_parameters() -> None:
    """Oracle: counted by hand from Johnson's table: 9x9 and 3x3 filters, five residual blocks of two, 32 to 128."""
    convolutions = [(3, 32, 9), (32, 64, 3), (64, 128, 3), *[(128, 128, 3)] * 10, (128, 64, 3), (64, 32, 3), (32, 3, 9)]
    expected = sum(a * b * k * k + b for a, b, k in convolutions) + 2 * sum(b for _, b, _ in convolutions[:-1])
    assert sum(p.numel() for p in TransformerNet().parameters()) == expected


def test_residual_blocks_add_to_what_they_begin_with(files: list[Path], content: Tensor) -> None:
    """Oracle: a network without them, where all that they add is 0."""
    net, without = fixed_style_network(files[:1]).transformer, TransformerNet(width=4, blocks=0).eval()
    without.load_state_dict(net.state_dict(), strict=False)
    changed = net(content)
    for name, parameter in net.named_parameters():
        if ".second.norm." in name:
            parameter.zero_()
    with torch.no_grad():
        torch.testing.assert_close(net(content), without(content))
    assert (changed - net(content)).abs().max() > 0.01


def test_conditional_norm_with_one_style_is_instance_norm_with_that_affine(files: list[Path], content: Tensor) -> None:
    """Oracle: the network with torch's instance normalisation and the same numbers."""
    conditional = fixed_style_network(files[:1], norm="conditional").transformer
    instance = TransformerNet(norm="instance", width=4, blocks=1).eval()
    renamed = {"scale": "weight", "shift": "bias"}
    state = {}
    for name, tensor in conditional.state_dict().items():
        stem, _, last = name.rpartition(".")
        state[f"{stem}.{renamed.get(last, last)}"] = tensor[0] if last in renamed else tensor
    instance.load_state_dict(state)
    assert {type(m) for m in instance.modules()} & {nn.InstanceNorm2d, ConditionalInstanceNorm} == {nn.InstanceNorm2d}
    with torch.no_grad():
        torch.testing.assert_close(conditional(content), instance(content), rtol=1e-4, atol=1e-5)


def test_each_style_is_done_as_by_a_network_of_it_alone(files: list[Path], content: Tensor) -> None:
    """Oracle: a network for one style with the scale and shift of that row."""
    net = fixed_style_network(files, norm="conditional")
    styles = read_styles(files, 40) / 255
    together = net(content, styles[[3, 1]])
    for i, number in enumerate((3, 1)):
        alone = TransformerNet(norm="conditional", width=4, blocks=1).eval()
        rows = {
            k: x[[number]] if k.endswith(("scale", "shift")) else x for k, x in net.transformer.state_dict().items()
        }
        alone.load_state_dict(rows)
        with torch.no_grad():
            torch.testing.assert_close(together[[i]], alone(content[[i]]), rtol=1e-4, atol=1e-5)
    assert (together[0] - net(content, styles[[2, 1]])[0]).abs().max() > 0.1


def test_blends_mix_scales_and_shifts(files: list[Path], content: Tensor) -> None:
    """Oracle: a network of one style whose rows are the weighted means."""
    net = fixed_style_network(files[:3], norm="conditional")
    alone = TransformerNet(norm="conditional", width=4, blocks=1).eval()
    shares = torch.tensor([[0.25, 0.0, 0.75]])
    state = net.transformer.state_dict()
    alone.load_state_dict({k: shares @ x if k.endswith(("scale", "shift")) else x for k, x in state.items()})
    with torch.no_grad():
        expected = alone(content)
    torch.testing.assert_close(net.mixed(content, [1, 0, 3]), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        net.mixed(content, torch.tensor([[1.0, 0, 3], [2, 0, 6]])), expected, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(net.mixed(content, [0, 1, 0]), net(content, (read_styles(files[1:2] * 2, 50) / 255)))
    for weights in ([1, 2], [0, 0, 0], [1, -1, 2]):
        with pytest.raises(InputError, match="needed is one for each of the 3 styles, 0 or more, with a sum above 0"):
            net.mixed(content, weights)


@pytest.mark.parametrize("size", [32, 64, 200])
def test_styles_are_recognised_at_any_scale(files: list[Path], size: int) -> None:
    net = fixed_style_network(files, norm="conditional")
    assert net.recognise(read_styles(files[::-1], size) / 255).tolist() == [4, 3, 2, 1, 0]


def test_other_pictures_are_refused(files: list[Path], content: Tensor) -> None:
    """A painting that was not trained, and a trained one the other way round."""
    net = fixed_style_network(files[:2], norm="conditional")
    known = read_styles(files[:1], 64) / 255
    for other in (read_styles(files[3:4], 64) / 255, known.flip(3)):
        with pytest.raises(InputError, match=r"^style image 2 of 2 was not trained on; a method for fixed"):
            net(content, torch.cat((known, other)))


def test_added_styles_begin_as_the_mean_of_the_others_which_stay(files: list[Path], content: Tensor) -> None:
    net = fixed_style_network(files[:3], norm="conditional").transformer
    before = [net(content, torch.eye(3)[[0, 2]]), net(content, torch.full((2, 3), 1 / 3))]
    net.add_styles(2)
    assert net.styles == 5
    torch.testing.assert_close(net(content, torch.eye(5)[[0, 2]]), before[0])
    torch.testing.assert_close(net(content, torch.eye(5)[[3, 4]]), before[1], rtol=1e-4, atol=1e-5)
    assert all(p.requires_grad for norm in net.conditional_norms() for p in norm.parameters())


def test_what_cannot_be_built_or_run_is_refused(content: Tensor) -> None:
    for settings, line in (
        ({"norm": "layer"}, "unknown norm 'layer' of the transformer network; known are batch, instance, conditional"),
        ({"norm": "instance", "styles": 2}, "norm instance is for one style and 2 were given"),
        ({"norm": "conditional", "styles": 0}, "norm conditional is for one style and 0 were given"),
        ({"width": 0}, "width is 0 and blocks 5; needed are at least 1 and 0"),
    ):
        with pytest.raises(InputError, match=line):
            TransformerNet(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a network with norm batch has one style"):
        TransformerNet(norm="batch", width=4).add_styles(1)
    with pytest.raises(InputError, match="the network has 2 styles; say which, or how they are mixed"):
        TransformerNet(norm="conditional", styles=2, width=4)(content)
    with pytest.raises(InputError, match="an image is 9x4; needed are at least 5 pixels to each side"):
        TransformerNet(width=4)(content[..., :4, :9])
