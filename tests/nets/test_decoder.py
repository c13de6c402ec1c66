"""The decoder mirrors the encoder, with the norms of the ablations and nothing after the last convolution."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.nets.batch_norm import GlobalBatchNorm2d
from adain_lit.nets.decoder import Decoder
from adain_lit.nets.vgg import VGGEncoder

TINY = (4, 6, 8, 10, 12)
LASTS = {"relu1_1": 1, "relu2_2": 2, "relu3_1": 4, "relu4_1": 8, "relu5_1": 16}
FUSION = {1: "adain", 2: "concat"}
"""A fusion that gives so many channels for each of the encoder."""
NORM_TYPES = {"batch": GlobalBatchNorm2d, "instance": nn.InstanceNorm2d}


@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize(("last", "scale"), LASTS.items())
def test_output_is_rgb_and_2_per_pooling_larger(last: str, scale: int, inputs: int) -> None:
    """Oracle: 2^(block - 1) by hand, for other than square maps too."""
    channels = TINY[int(last[4]) - 1] * inputs
    image = Decoder(TINY, content_layer=last, fusion=FUSION[inputs])(torch.rand(2, channels, 3, 2))
    assert image.shape == (2, 3, 3 * scale, 2 * scale)


@pytest.mark.parametrize("widths", ["vgg19", "compact", TINY])
@pytest.mark.parametrize("last", LASTS)
def test_convolutions_are_the_encoder_s_in_reverse_with_swapped_channels(
    widths: str | tuple[int, ...], last: str
) -> None:
    """Oracle: the encoder's own list of convolutions, read backwards, input and output channels swapped."""
    with torch.device("meta"):
        encoder, decoder = VGGEncoder(widths, last), Decoder(widths, content_layer=last)
    mirrored = [(name, conv.out_channels, conv.in_channels) for name, conv in encoder.convs()][::-1]
    convs = [(name, module) for name, module in decoder.named_children() if isinstance(module, nn.Conv2d)]
    assert [(name, conv.in_channels, conv.out_channels) for name, conv in convs] == mirrored
    assert all(conv.padding_mode == "reflect" and conv.padding == (1, 1) for _, conv in convs)


def test_parameter_counts_are_the_paper_s_and_a_sixteenth() -> None:
    """Oracle: the sum of 9 C_in C_out + C_out by hand."""
    with torch.device("meta"):
        counts = {w: sum(p.numel() for p in Decoder(w).parameters()) for w in ("vgg19", "compact")}
    assert counts["vgg19"] == 3_505_219
    assert counts["compact"] == pytest.approx(3_505_219 / 16, rel=0.01)


@pytest.mark.parametrize("last", ["relu3_1", "relu4_1", "relu5_1"])
@pytest.mark.parametrize("norm", NORM_TYPES)
def test_a_norm_with_scale_and_shift_follows_every_convolution_but_the_last(norm: str, last: str) -> None:
    """Oracle: the order of modules: conv, norm, conv, norm, ..., conv."""
    modules = list(Decoder(TINY, content_layer=last, norm=norm).children())
    assert [isinstance(m, nn.Conv2d) for m in modules] == [i % 2 == 0 for i in range(len(modules))]
    assert len(modules) % 2 == 1
    for conv, norm_module in zip(modules[::2], modules[1::2], strict=False):
        assert type(norm_module) is NORM_TYPES[norm]
        assert isinstance(norm_module, nn.BatchNorm2d | nn.InstanceNorm2d)
        assert norm_module.affine
        assert norm_module.num_features == conv.out_channels


def test_without_a_norm_there_are_convolutions_alone() -> None:
    assert all(isinstance(module, nn.Conv2d) for module in Decoder(TINY).modules() if not isinstance(module, Decoder))


@pytest.mark.parametrize("norm", ["none", *NORM_TYPES])
def test_biases_are_trained_where_no_norm_cancels_them(norm: str) -> None:
    """Oracle: the image does not answer to a cancelled bias, so all its gradient is rounding."""
    decoder = Decoder(TINY, content_layer="relu3_1", norm=norm)
    x = torch.rand(1, TINY[2], 4, 4, dtype=torch.float64)
    before = decoder.double()(x)
    for name, conv in decoder.named_children():
        if isinstance(conv, nn.Conv2d):
            bias = conv.bias
            assert bias is not None
            with torch.no_grad():
                bias.add_(1)
            answers = not torch.allclose(decoder(x), before, rtol=0, atol=1e-9)
            assert bias.requires_grad is answers, name
            with torch.no_grad():
                bias.sub_(1)


def by_hand(
    decoder: Decoder, x: Tensor, norm: str, skips: dict[str, Tensor], residual: bool, slope: float = 0.0
) -> Tensor:
    """The decoder from relu3_1 written out: conv, norm, ReLU, and doubling where the encoder pools.

    Before a convolution that is named in `skips` the features are cut to those and stand before them. With `residual`
    the convolutions that keep the channels have a shortcut, which are conv2_2 and conv1_2 where no skips come in.
    """
    parameters = dict(decoder.named_parameters())
    for name in ("conv3_1", "conv2_2", "conv2_1", "conv1_2", "conv1_1"):
        if name in skips:
            height, width = skips[name].shape[2:]
            x = torch.cat((x[..., :height, :width], skips[name]), 1)
        before, padded = x, F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.conv2d(padded, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
        if name == "conv1_1":
            break
        if norm != "none":
            dims = (0, 2, 3) if norm == "batch" else (2, 3)
            var, mean = torch.var_mean(x, dim=dims, correction=0, keepdim=True)
            scale, shift = (parameters[f"{name.replace('conv', 'norm')}.{key}"] for key in ("weight", "bias"))
            x = (x - mean) / (var + 1e-5).sqrt() * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        if residual and name in ("conv2_2", "conv1_2") and name not in skips:
            x = x + before
        x = x.clamp(min=0) + slope * x.clamp(max=0)
        if name in ("conv3_1", "conv2_1"):
            x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return x


SKIPS: dict[str, dict[str, str]] = {
    "no skips": {},
    "middle": {"relu2_1": "conv2_2"},
    "lowest": {"relu1_1": "conv1_2"},
    "both": {"relu2_2": "conv2_2", "relu1_2": "conv1_2"},
}
"""Skip layers, and the convolutions that they come in at."""


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("skips", SKIPS.values(), ids=SKIPS)
@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("norm", ["none", *NORM_TYPES])
def test_decoder_equals_its_formula_by_hand(norm: str, inputs: int, skips: dict[str, str], residual: bool) -> None:
    """Oracle: the layers from relu3_1 written out, the norm before the ReLU, nothing after the last convolution.

    For an image of 17x12, whose size is that of relu1_1; without its features it comes out rounded up.
    """
    torch.manual_seed(0)
    decoder = Decoder(
        TINY, content_layer="relu3_1", norm=norm, fusion=FUSION[inputs], skip_layers=tuple(skips), residual=residual
    )
    for name, parameter in decoder.named_parameters():
        if name.startswith("norm"):
            nn.init.uniform_(parameter, 0.5, 1.5)
    sizes = {"conv2_2": (TINY[1], 9, 6), "conv1_2": (TINY[0], 17, 12)}
    entering = {name: torch.rand(2, inputs * sizes[name][0], *sizes[name][1:]) for name in skips.values()}
    x = torch.rand(2, inputs * TINY[2], 5, 3)
    image = decoder(x, *entering.values())
    assert image.shape[2:] == ((17, 12) if "conv1_2" in skips.values() else (18, 12) if skips else (20, 12))
    torch.testing.assert_close(image, by_hand(decoder, x, norm, entering, residual), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", [False, True])
def test_leaky_decoder_equals_its_formula_by_hand(residual: bool) -> None:
    """Oracle: max(x, 0) + 0.2 min(x, 0) for every ReLU."""
    torch.manual_seed(0)
    decoder = Decoder(TINY, content_layer="relu3_1", residual=residual, decoder_slope=0.2)
    x = torch.rand(2, TINY[2], 5, 3)
    image = decoder(x)
    torch.testing.assert_close(image, by_hand(decoder, x, "none", {}, residual, 0.2), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(image, by_hand(decoder, x, "none", {}, residual), rtol=0, atol=1e-2)


@pytest.mark.parametrize("slope", [-0.1, 1.0])
def test_slope_that_is_none_of_a_leaky_relu_is_refused(slope: float) -> None:
    with pytest.raises(InputError, match=rf"^decoder_slope is {slope}; it must be at least 0 and less than 1$"):
        Decoder(TINY, decoder_slope=slope)


def test_outputs_can_lie_below_0_and_above_1() -> None:
    """Oracle: the last convolution with weight 0 gives its bias, whatever its sign."""
    decoder = Decoder(TINY, content_layer="relu2_1")
    nn.init.zeros_(decoder.conv1_1.weight)
    with torch.no_grad():
        decoder.conv1_1.bias.copy_(torch.tensor([-2.0, 0.5, 3.0]))
    image = decoder(torch.rand(1, TINY[1], 2, 2))
    assert image[0, :, 0, 0].tolist() == [-2.0, 0.5, 3.0]


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_new_decoder_answers_to_its_features_around_mid_grey(inputs: int) -> None:
    """Oracle: He et al. 2015 for the first convolutions (variance 2 / (9 C_in)), 0.2 of that and grey for RGB."""
    torch.manual_seed(0)
    decoder = Decoder("compact", fusion=FUSION[inputs])
    *convs, last = (module for module in decoder.children() if isinstance(module, nn.Conv2d))
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.in_channels)) ** 0.5, rel=0.1)
        assert (conv.bias == 0).all()
    assert last.weight.std().item() == pytest.approx(0.2 * (2 / (9 * last.in_channels)) ** 0.5, rel=0.15)
    assert (last.bias == 0.5).all()


def test_a_residual_decoder_begins_as_the_plain_one_with_small_shortcut_branches() -> None:
    """Oracle: the plain decoder of the same seed; conv3_4 to conv3_2, conv2_2 and conv1_2 keep their channels."""
    plain, residual = (Decoder("compact", residual=choice).state_dict() for choice in (False, True) if seeded(0))
    assert plain.keys() == residual.keys()
    branches = {f"conv{name}.weight" for name in ("3_4", "3_3", "3_2", "2_2", "1_2")}
    for name, tensor in plain.items():
        torch.testing.assert_close(residual[name], tensor * (0.1 if name in branches else 1), rtol=1e-6, atol=0)


def seeded(seed: int) -> bool:
    torch.manual_seed(seed)
    return True


def test_unknown_norm_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(InputError, match=r"^unknown decoder norm 'layer'; known are none, batch, instance$"):
        Decoder(TINY, norm="layer")


def test_unknown_layer_is_refused() -> None:
    with pytest.raises(InputError, match=r"^unknown layer 'relu4_9'"):
        Decoder(TINY, content_layer="relu4_9")


@pytest.mark.parametrize(
    ("skip_layers", "message"),
    [
        (["relu4_1"], "skip layer relu4_1 must lie in a lower block than 4, the one that is decoded"),
        (["relu1_1", "relu5_1"], "skip layer relu5_1 must lie in a lower block than 4, the one that is decoded"),
        (["relu2_1", "relu2_2"], "skip_layers ['relu2_1', 'relu2_2'] name a block twice; give one layer for each"),
        (["relu1_1", "relu1_1"], "skip_layers ['relu1_1', 'relu1_1'] name a block twice; give one layer for each"),
    ],
)
def test_skip_layers_that_have_no_place_of_their_own_are_refused(skip_layers: list[str], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        Decoder(TINY, content_layer="relu4_1", skip_layers=skip_layers)


def test_decoder_of_widths_of_its_own_still_takes_the_encoder_s_features() -> None:
    """Oracle: channels counted by hand; widths 4 6 8 10 of the encoder, 5 7 9 11 of the decoder."""
    own = (5, 7, 9, 11)
    decoder = Decoder(TINY, content_layer="relu4_1", skip_layers=["relu3_1", "relu1_1"], decoder_widths=own)
    convs = {name: (conv.in_channels, conv.out_channels) for name, conv in decoder.named_children()}  # type: ignore[union-attr]
    assert convs["conv4_1"] == (10, 9)
    assert convs["conv3_4"] == (9 + 8, 9)
    assert convs["conv3_1"] == (9, 7)
    assert convs["conv2_2"] == (7, 7)
    assert convs["conv2_1"] == (7, 5)
    assert convs["conv1_2"] == (5 + 4, 5)
    assert convs["conv1_1"] == (5, 3)
    image = decoder(torch.rand(1, 10, 3, 2), torch.rand(1, 8, 6, 4), torch.rand(1, 4, 24, 16))
    assert image.shape == (1, 3, 24, 16)


@pytest.mark.parametrize("own", [(5, 7, 9), (5, 0, 9, 11), ()])
def test_decoder_widths_that_do_not_do_are_refused(own: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"decoder_widths are \[.*\]; a decoder from relu4_1 needs 4 numbers"):
        Decoder(TINY, content_layer="relu4_1", decoder_widths=own)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("inputs", [1, 2])
@pytest.mark.parametrize("norm", ["none", *NORM_TYPES])
def test_wider_decoder_takes_over_what_a_narrower_one_computes(norm: str, inputs: int, residual: bool) -> None:
    """Oracle: the images of the narrower one, also after a step of BN; and its new channels learn."""
    torch.manual_seed(0)
    skips = ("relu1_1", "relu3_1")
    shape = {"norm": norm, "fusion": FUSION[inputs], "skip_layers": skips, "residual": residual, "decoder_slope": 0.1}
    narrow = Decoder(TINY, content_layer="relu4_1", **shape, decoder_widths=(5, 4, 7, 6))  # type: ignore[arg-type]
    wide = Decoder(TINY, content_layer="relu4_1", **shape, decoder_widths=(6, 4, 9, 6))  # type: ignore[arg-type]
    features = [torch.rand(2, c * inputs, *size) for c, size in ((10, (3, 2)), (8, (6, 4)), (4, (24, 16)))]
    narrow(*features)
    wide.init_from(narrow)
    wide.eval()
    narrow.eval()
    image = wide(*features)
    torch.testing.assert_close(image, narrow(*features), rtol=1e-5, atol=1e-6)
    image.square().sum().backward()
    gradient = wide.get_parameter("conv1_1.weight").grad
    assert gradient is not None
    assert (gradient.abs().sum((0, 2, 3)) > 0).all()


def test_wider_decoder_takes_over_every_tensor_of_one_as_wide() -> None:
    """Oracle: the other's own weights."""
    torch.manual_seed(0)
    other, decoder = (Decoder(TINY, content_layer="relu4_1", norm="batch", skip_layers=["relu2_1"]) for _ in range(2))
    other(torch.rand(2, 10, 3, 2), torch.rand(2, 6, 12, 8))
    decoder.init_from(other)
    torch.testing.assert_close(decoder.state_dict(), other.state_dict(), rtol=0, atol=0)


OTHER_SHAPES: dict[str, dict[str, object]] = {
    "wider": {"decoder_widths": (5, 6, 8, 10)},
    "of another encoder": {"widths": (4, 5, 8, 10, 12)},
    "of a wider encoder": {"widths": (4, 6, 8, 11, 12)},
    "without skip layers": {"skip_layers": ()},
    "of another skip layer": {"skip_layers": ["relu3_1"]},
    "with norms": {"norm": "instance"},
    "with shortcuts": {"residual": True},
    "less deep": {"content_layer": "relu3_1"},
    "of concatenated features": {"fusion": "concat"},
}


@pytest.mark.parametrize("other", OTHER_SHAPES.values(), ids=OTHER_SHAPES)
def test_decoder_of_another_shape_is_not_taken_over(other: dict[str, object]) -> None:
    """Oracle: refused, and nothing was changed."""
    shape: dict[str, object] = {"widths": TINY, "skip_layers": ["relu2_1"], "decoder_widths": (4, 6, 8, 10)}
    decoder = Decoder(**shape)  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    with pytest.raises(InputError, match=r"^has another shape than this one .*, and is not merely narrower$"):
        decoder.init_from(Decoder(**{**shape, **other}))  # type: ignore[arg-type]
    torch.testing.assert_close(decoder.state_dict(), before, rtol=0, atol=0)
