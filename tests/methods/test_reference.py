"""The common code written plainly, beside the project's network with the same weights."""

import pytest
import torch
from torch import nn

from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.methods.reference import PlainAdaIN
from support.images import small
from support.networks import WIDTHS, small_network


def convs(*networks: nn.Module) -> list[nn.Conv2d]:
    return [module for net in networks for module in net.modules() if isinstance(module, nn.Conv2d)]


@torch.no_grad()
def test_gives_the_pictures_of_the_network_with_the_same_weights() -> None:
    """Of one size, so that the sample and the population variance differ by the same factor in content and style."""
    net, plain = small_network(), PlainAdaIN(widths=WIDTHS).eval()
    first, *others = convs(plain.encoder, plain.decoder)
    nn.init.dirac_(first.weight)
    assert first.bias is not None
    nn.init.zeros_(first.bias)
    for own, common in zip(convs(net.encoder, net.decoder), others, strict=True):
        common.load_state_dict(own.state_dict())
    content, style = (to_tensor(small(name, (88, 64)))[None] / 255 for name in ("coffee.png", "chelsea.png"))
    expected = net(content, style)
    assert expected.std() > 0.1
    assert (plain(content, style) - expected).abs().max() < 1e-3
    prepared = plain.decode(plain.fuse(plain.encode(content), [plain.encode(style)]), content.shape[2:])
    assert torch.equal(prepared.clamp(0, 1), plain(content, style))


def test_default_widths_are_vgg19s() -> None:
    """Oracle: parameters of VGG-19 up to conv4_1, its mirror, and the 1x1 convolution, counted by hand."""
    assert sum(p.numel() for p in PlainAdaIN().parameters()) == 3_505_728 + 3_505_219 + 12


def test_unknown_widths_are_refused() -> None:
    with pytest.raises(InputError, match="unknown encoder widths"):
        PlainAdaIN(widths="huge")
