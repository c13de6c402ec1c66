"""The rewrites give the numbers, gradients and types of the plain forms, and one switch chooses between them."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import adain_lit
from adain_lit.nets import StyleTransferNet, VGGEncoder
from adain_lit.nets.rewrites import (
    REFLECTED,
    REPLICATED,
    activated,
    on_devices,
    phase_weight,
    rewritten,
    upsampled_conv,
)

WIDTHS = (6, 8, 10, 12, 12)
LAYERS = ("relu1_1", "relu1_2", "relu2_1", "relu3_1", "relu4_1")
NETS: dict[str, dict[str, Any]] = {
    "the paper's": {},
    "leaky with skips": {"skip_layers": ["relu3_1", "relu1_1"], "decoder_slope": 0.1},
    "all skips": {"skip_layers": ["relu3_1", "relu2_1", "relu1_1"]},
    "concat": {"fusion": "concat"},
    "residual": {"residual": True},
    "norm": {"norm": "instance"},
    "one convolution": {"content_layer": "relu1_1"},
}
SIZES = [(64, 48), (61, 47), (33, 64), (17, 19), (9, 40)]


def both(compute: Callable[[], Any]) -> tuple[Any, Any]:
    """By the rewrites, and by the plain forms."""
    with on_devices("cpu"):
        ours = compute()
    with on_devices():
        return ours, compute()


def pair(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(2, 3, *s, generator=generator, dtype=torch.float64) for s in (size, (32, 40)))  # type: ignore[return-value]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("options", NETS.values(), ids=NETS)
def test_images_are_those_of_the_plain_forms(options: dict[str, Any], size: tuple[int, int]) -> None:
    """Oracle: the plain forms in float64, for even sizes and for those that are cut after up-sampling."""
    net = StyleTransferNet(VGGEncoder(WIDTHS), **options).double()
    content, style = pair(size)
    with torch.no_grad():
        ours, plain = both(lambda: net(content, style))
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize("options", NETS.values(), ids=NETS)
def test_gradients_are_those_of_the_plain_forms(options: dict[str, Any], size: tuple[int, int]) -> None:
    """Oracle: autograd through the plain forms, for the image, for features of several layers and for all weights."""
    net = StyleTransferNet(VGGEncoder(WIDTHS), **options).double()
    content, style = pair(size)

    def gradients() -> tuple[Tensor, ...]:
        x = content.clone().requires_grad_()
        image = net.decode(net.fuse(net.encode(x), [net.encode(style)]), x.shape[2:])
        loss = image.sin().sum() + torch.stack([f.cos().sum() for f in net.encoder(x, LAYERS).values()]).sum()
        trained = [p for p in net.decoder.parameters() if p.requires_grad]
        return torch.autograd.grad(loss, [x, *trained])

    for ours, plain in zip(*both(gradients), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-6, atol=1e-8)


def test_the_bundled_network_agrees_in_float32() -> None:
    """Oracle: the plain forms; 1e-4 is a fortieth of one grey level."""
    stylizer = adain_lit.load(device="cpu")
    content, style = (
        torch.rand(3, *size, generator=torch.Generator().manual_seed(1)) for size in ((131, 96), (80, 64))
    )
    ours, plain = both(lambda: stylizer.tensor(content, style))
    assert 0 < (ours - plain).abs().max() < 1e-4  # 0: then one of them would not have been used


@pytest.mark.parametrize("layer", LAYERS)
def test_features_of_each_layer_alone(layer: str) -> None:
    encoder, images = VGGEncoder(WIDTHS).double(), pair((21, 18))[0]
    with torch.no_grad():
        ours, plain = both(lambda: encoder(images, (layer,)))
    assert list(ours) == [layer]
    torch.testing.assert_close(ours[layer], plain[layer], rtol=0, atol=1e-12)


@pytest.mark.parametrize("skip", [(12, 8), (11, 8), (12, 7), (11, 7)], ids=str)
@pytest.mark.parametrize("inset", [REFLECTED, REPLICATED])
def test_convolution_after_up_sampling(skip: tuple[int, int], inset: int) -> None:
    """Oracle: the operations that are rewritten, one after the other."""
    x, s = torch.randn(2, 5, 6, 4).double(), torch.randn(2, 3, *skip).double()
    weight, bias = torch.randn(7, 8, 3, 3).double(), torch.randn(7).double()
    up = F.interpolate(x, scale_factor=2, mode="nearest")[..., : skip[0], : skip[1]]
    whole = F.conv2d(F.pad(torch.cat((up, s), 1), (1, 1, 1, 1), mode="reflect"), weight, bias)
    mode = {REFLECTED: "reflect", REPLICATED: "replicate"}[inset]
    expected = F.pad(F.leaky_relu(whole, 0.2), (1, 1, 1, 1), mode=mode)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    found, interior = upsampled_conv(padded, weight, bias, skip=s, slope=0.2, inset=inset)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert torch.equal(interior, found[..., 1:-1, 1:-1])


def test_four_phases_have_four_products_for_nine() -> None:
    weight = torch.randn(7, 5, 3, 3)
    assert phase_weight(weight).numel() / 4 == weight.numel() * 4 / 9


def test_weights_in_bfloat16_are_summed_in_float32() -> None:
    """Oracle: the sums of the same numbers in float64, rounded once."""
    weight = torch.randn(4, 3, 3, 3).bfloat16()
    assert torch.equal(phase_weight(weight), phase_weight(weight.double()).bfloat16())


def test_no_up_sampled_copy_and_no_padded_one_is_made() -> None:
    """Oracle: the kernels that the profiler saw; the plain decoder up-samples three times and pads nine times."""
    net, (content, style) = StyleTransferNet(VGGEncoder(WIDTHS)).double(), pair((64, 64))

    def kernels() -> list[str]:
        with torch.no_grad(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            net(content, style)
        return [event.name for event in profile.events()]

    ours, plain = both(kernels)
    counts = [
        (names.count("aten::upsample_nearest2d"), names.count("aten::reflection_pad2d")) for names in (ours, plain)
    ]
    assert counts == [(0, 3), (3, 27)]  # the two images and the fused features are padded; each convolution's input is


def test_under_autocast_all_stays_in_low_precision() -> None:
    net, (content, style) = StyleTransferNet(VGGEncoder(WIDTHS)), pair((32, 32))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = net.encode(content.float())
        image = net.decode(net.fuse(features, [net.encode(style.float())]), (32, 32))
    image.float().sum().backward()
    assert {image.dtype, features[0].dtype} == {torch.bfloat16}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.decoder.parameters())


def test_padding_copies_what_is_inside() -> None:
    """Oracle: torch's padding of the ReLU."""
    x = torch.randn(1, 2, 3, 4)
    for inset, mode in ((REFLECTED, "reflect"), (REPLICATED, "replicate")):
        assert torch.equal(activated(x, inset=inset)[0], F.pad(x.relu(), (1, 1, 1, 1), mode=mode))


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "True"), ("", "False"), ("cuda", "False"), ("cuda,cpu", "True")]
)
def test_the_environment_switches_devices(value: str | None, expected: str) -> None:
    environment = {key: text for key, text in os.environ.items() if key != "ADAIN_REWRITES"}
    code = "import torch; from adain_lit.nets.rewrites import rewritten; print(rewritten(torch.zeros(1)))"
    environment |= {} if value is None else {"ADAIN_REWRITES": value}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def test_compiled_code_has_the_plain_forms() -> None:
    def compiled(x: Tensor) -> bool:
        return rewritten(x)

    assert torch.compile(compiled, backend="eager", fullgraph=True)(torch.zeros(1)) is False
