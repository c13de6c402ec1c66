"""Small networks with random weights whose images use the range [0, 1], so that errors are visible."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adain_lit.data.fixed_styles import read_styles
from adain_lit.io.images import to_tensor
from adain_lit.nets import FixedStyleNet, StyleTransferNet, TransformerNet, VGGEncoder
from adain_lit.nets.transformer import thumbnails
from adain_lit.nets.vgg import initialise_randomly
from support.images import small

WIDTHS = (8, 12, 16, 20, 20)
SKIP_LAYERS = ("relu1_1", "relu2_1", "relu3_1")
each_network = pytest.mark.parametrize("skip_layers", [(), SKIP_LAYERS], ids=["plain", "skips"])
"""The paper's network, and one that fuses lower layers too."""


def small_network(*, last: str = "relu4_1", **options: Any) -> StyleTransferNet:
    """The same weights every time; images of standard deviation 0.3 around mid-grey. Options are `NetConfig`'s."""
    encoder = VGGEncoder(WIDTHS, last)
    initialise_randomly(encoder)
    net = StyleTransferNet(encoder, content_layer=last, **options)
    net = net.requires_grad_(False).eval()
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


def fixed_style_network(files: Sequence[Path], *, norm: str = "instance", seed: int = 0) -> FixedStyleNet:
    """Every style has a scale and a shift of its own; images of standard deviation 0.15 or more around mid-grey."""
    generator = torch.Generator().manual_seed(seed)
    net = TransformerNet(norm=norm, styles=len(files), width=4, blocks=1).requires_grad_(False).eval()
    for name, parameter in net.named_parameters():
        if parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            base = 1.0 if name.endswith(("norm.weight", "scale")) else 0.0
            parameter.copy_(base + 0.5 * torch.randn(parameter.shape, generator=generator))
    return FixedStyleNet(net, thumbnails(read_styles(files, 64) / 255)).eval()


def write_fixed_styles(path: Path, files: Sequence[Path], *, norm: str = "instance", seed: int = 0) -> Path:
    """A checkpoint of such a network, without what only training needs."""
    net = fixed_style_network(files, norm=norm, seed=seed)
    shape = {"norm": norm, "styles": len(files), "width": 4, "blocks": 1}
    checkpoint = {
        "state_dict": {f"net.{name}": tensor for name, tensor in net.state_dict().items()},
        "fixed_styles": {"files": [str(file) for file in files], **shape},
        "encoder": {"sha256": "", "mean_activations": {}},
    }
    torch.save(checkpoint, path)
    return path
