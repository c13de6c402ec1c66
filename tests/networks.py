"""A small network with random weights whose pictures use the range [0, 1], so that a wrong one is seen to be wrong."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from adain_lit.images import to_tensor
from adain_lit.nets import StyleTransferNet, VGGEncoder
from adain_lit.nets.vgg import initialise_randomly
from conftest import small

WIDTHS = (8, 12, 16, 20, 20)
SKIP_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
each_network = pytest.mark.parametrize("skip_layers", [(), SKIP_LAYERS], ids=["plain", "skips"])
"""The paper's network, and one that fuses lower layers too."""


def small_network(
    *, fusion: str = "adain", norm: str = "none", last: str = "relu4_1", skip_layers: Sequence[str] = ()
) -> StyleTransferNet:
    """The same weights every time; pictures of standard deviation 0.3 around mid-grey."""
    encoder = VGGEncoder(WIDTHS, last)
    initialise_randomly(encoder)
    net = StyleTransferNet(encoder, fusion=fusion, norm=norm, skip_layers=skip_layers).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(3)
    for conv in net.decoder.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
    content, style = (net.encode(to_tensor(small(name))[None] / 255) for name in ("coffee.png", "chelsea.png"))
    image, conv = net.decoder(*net.fuse(content, [style])), net.decoder.conv1_1
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    scale = 0.3 / image.std()
    conv.bias.copy_((conv.bias - image.mean((0, 2, 3))) * scale + 0.5)
    conv.weight.mul_(scale)
    return net
