"""The encoder against torchvision's VGG-19 and against convolutions written out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg19
from torchvision.transforms.v2.functional import normalize

from adain_lit.errors import InputError
from adain_lit.io.images import read_image, to_tensor
from adain_lit.nets.config import PAPER_STYLE_LAYERS
from adain_lit.nets.vgg import (
    VGGEncoder,
    conv_names,
    deepest,
    fold_preprocessing,
    initialise_randomly,
    mean_activations,
    normalize_activations,
)

TINY = (4, 6, 8, 10, 10)
VGG19_LAYERS = (
    *("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_3", "relu3_4"),
    *("relu4_1", "relu4_2", "relu4_3", "relu4_4", "relu5_1", "relu5_2", "relu5_3", "relu5_4"),
)


def random_encoder(widths: str | tuple[int, ...] = TINY, last: str = "relu4_1", seed: int = 0) -> VGGEncoder:
    """Random weights with biases, which `initialise_randomly` leaves 0."""
    encoder = VGGEncoder(widths, last)
    initialise_randomly(encoder, seed)
    generator = torch.Generator().manual_seed(seed)
    for _, conv in encoder.convs():
        assert conv.bias is not None
        nn.init.normal_(conv.bias, std=0.1, generator=generator)
    return encoder.requires_grad_(False)


def image_tensors(folder: Path) -> list[Tensor]:
    """Real images, each a batch of one in [0, 1], some cut to another size."""
    tensors = [to_tensor(read_image(path))[None] / 255 for path in sorted(folder.rglob("*.jpg"))]
    return [x[..., : 40 + 7 * i, : 60 - 5 * i] for i, x in enumerate(tensors)]


def test_encoder_equals_torchvision_vgg19_with_reflection_padding() -> None:
    """Oracle: torchvision's vgg19 with the same weights and padding_mode reflect, at every ReLU to relu5_1."""
    with torch.device("meta"):  # the classifier's 124 million weights are not needed
        features = vgg19(weights=None).features
    features = features.to_empty(device="cpu")
    encoder = random_encoder("vgg19", "relu5_1")
    theirs = [module for module in features if isinstance(module, nn.Conv2d)]
    for (_, mine), conv in zip(encoder.convs(), theirs, strict=False):
        conv.load_state_dict(mine.state_dict())
        conv.padding_mode, conv._reversed_padding_repeated_twice = "reflect", [1, 1, 1, 1]
    layers = VGG19_LAYERS[:13]
    x = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    mine = encoder(x, layers)
    expected = []
    with torch.no_grad():
        for module in features:
            x = module(x)
            if isinstance(module, nn.ReLU):
                expected.append(x.clone())
            if len(expected) == len(layers):
                break
    for layer, reference in zip(layers, expected, strict=True):
        torch.testing.assert_close(mine[layer], reference, rtol=1e-4, atol=1e-4 * reference.max().item())


def test_layer_names_are_those_of_vgg19() -> None:
    """Oracle: Table 1, column E of Simonyan & Zisserman, written out."""
    assert conv_names("relu5_4") == [name.replace("relu", "conv") for name in VGG19_LAYERS]
    assert conv_names("relu2_1") == ["conv1_1", "conv1_2", "conv2_1"]
    assert PAPER_STYLE_LAYERS == ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def test_deepest_layer_is_found_by_depth_not_by_order() -> None:
    """Oracle: by hand."""
    assert deepest(["relu3_4", "relu4_1", "relu1_2"]) == "relu4_1"
    assert deepest(["relu3_4", "relu3_1"]) == "relu3_4"


@pytest.mark.parametrize("name", ["relu4_5", "relu3_5", "relu2_3", "relu6_1", "conv4_1", "relu0_1", "pool4", ""])
def test_unknown_layer_is_refused_and_the_known_ones_are_listed(name: str) -> None:
    """Oracle: VGG-19 has 2, 2, 4, 4, 4 layers in its blocks."""
    with pytest.raises(InputError, match=rf"^unknown layer '{name}'; the layers of VGG-19 are relu1_1, .*, relu5_4$"):
        VGGEncoder(TINY, name)


def test_unknown_widths_are_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(InputError, match=r"^unknown encoder widths 'vgg16'; known are vgg19, compact$"):
        VGGEncoder("vgg16")


def test_parameter_counts_are_those_of_vgg19_and_a_sixteenth() -> None:
    """Oracle: the sum of 9 C_in C_out + C_out by hand for VGG-19 up to conv4_1."""
    with torch.device("meta"):
        counts = {w: sum(p.numel() for p in VGGEncoder(w).parameters()) for w in ("vgg19", "compact")}
    assert counts["vgg19"] == 3_505_728
    assert counts["compact"] == pytest.approx(3_505_728 / 16, rel=0.01)


@pytest.mark.parametrize("size", [(17, 17), (18, 33), (31, 32), (40, 23), (64, 17), (17, 129)])
def test_feature_sizes_round_up(size: tuple[int, int]) -> None:
    """Oracle: ceil(size / 2^(block - 1)) in both directions, at every layer."""
    height, width = size
    features = random_encoder(last="relu5_4")(torch.rand(1, 3, height, width), VGG19_LAYERS)
    assert tuple(features) == VGG19_LAYERS
    for layer, x in features.items():
        block = int(layer[4])
        step = 2 ** (block - 1)
        assert x.shape == (1, TINY[block - 1], math.ceil(height / step), math.ceil(width / step))


MIN_SIZES = {"relu1_1": 2, "relu2_2": 3, "relu3_1": 5, "relu4_1": 9, "relu5_1": 17}


@pytest.mark.parametrize(("last", "least"), MIN_SIZES.items())
def test_smallest_picture_passes_and_a_smaller_one_is_refused(last: str, least: int) -> None:
    """Oracle: reflection by one cell needs two cells, so 2^(block - 1) + 1 pixels."""
    encoder = random_encoder(last=last)
    assert encoder.min_size == least
    assert min(encoder(torch.rand(1, 3, least, least + 5))[last].shape[2:]) >= 2
    for height, width in ((least - 1, least + 5), (least + 5, least - 1)):
        message = (
            rf"^an image is {width}x{height}; {last} with reflection padding needs at least {least}x{least}; "
            "give a larger image$"
        )
        with pytest.raises(InputError, match=message):
            encoder(torch.rand(1, 3, height, width))


@pytest.mark.parametrize("layer", ["relu4_2", "relu5_1", "conv1_1", "relu9_9"])
def test_layer_that_is_not_built_is_refused(layer: str) -> None:
    """Oracle: the encoder to relu4_1 gives relu1_1 to relu4_1 and nothing else."""
    with pytest.raises(InputError, match=f"^layer {layer} is not in this encoder, which ends at relu4_1$"):
        random_encoder()(torch.rand(1, 3, 16, 16), ("relu1_1", layer))


def test_only_the_asked_layers_come_back_by_default_the_deepest() -> None:
    """Oracle: the same layers out of a call for all of them."""
    encoder, x = random_encoder(), torch.rand(1, 3, 16, 16)
    every = encoder(x, VGG19_LAYERS[:9])
    assert list(encoder(x)) == ["relu4_1"]
    some = encoder(x, ("relu3_1", "relu1_2"))
    assert set(some) == {"relu3_1", "relu1_2"}
    for layer, values in (some | encoder(x)).items():
        assert torch.equal(values, every[layer])


def means_by_numpy(encoder: VGGEncoder, images: list[Tensor]) -> dict[str, NDArray[np.float64]]:
    """Mean of every channel over the cells of all images together, by convolution name."""
    means = {}
    for name in encoder.conv_names:
        layer = name.replace("conv", "relu")
        cells = [encoder(x, (layer,))[layer][0].flatten(1).double().numpy() for x in images]
        means[name] = np.concatenate(cells, axis=1).mean(1)
    return means


def test_mean_activations_are_means_over_all_cells_of_all_pictures(photographs: Path) -> None:
    """Oracle: NumPy float64; the images differ in size, so a mean of means is wrong. At least 1 % of the layer's."""
    encoder, images = random_encoder(), image_tensors(photographs)
    means = mean_activations(encoder, images)
    assert list(means) == conv_names("relu4_1")
    for name, expected in means_by_numpy(encoder, images).items():
        np.testing.assert_allclose(means[name], np.maximum(expected, 0.01 * expected.mean()), rtol=1e-5)


def test_normalised_encoder_is_the_old_one_divided_by_its_means(photographs: Path) -> None:
    """Oracle: the features before, divided; on images that were not measured, at every layer, in float64."""
    measured, others = image_tensors(photographs)[:3], image_tensors(photographs)[3:]
    before, after = random_encoder(last="relu5_1"), random_encoder(last="relu5_1")
    means = mean_activations(before, measured)
    before, after = before.double(), after.double()
    normalize_activations(after, means)
    layers = VGG19_LAYERS[:13]
    for x in others:
        old, new = before(x.double(), layers), after(x.double(), layers)
        for layer in layers:
            expected = old[layer] / means[layer.replace("relu", "conv")].view(1, -1, 1, 1)
            torch.testing.assert_close(new[layer], expected, rtol=1e-10, atol=1e-12 * expected.max().item())


def test_means_of_the_normalised_encoder_are_1_where_they_were_measured(photographs: Path) -> None:
    """Oracle: NumPy's means before and after: 1, or less for a channel below 1 % of its layer."""
    encoder, images = random_encoder(), image_tensors(photographs)
    before = means_by_numpy(encoder, images)
    normalize_activations(encoder, mean_activations(encoder, images))
    ones = 0
    for name, after in means_by_numpy(encoder, images).items():
        expected = np.minimum(1.0, before[name] / (0.01 * before[name].mean()))
        np.testing.assert_allclose(after, expected, rtol=1e-4)
        ones += int((expected == 1).sum())
    assert ones >= 0.8 * sum(len(mean) for mean in before.values())


def test_channel_that_never_fires_stays_finite_and_0(photographs: Path) -> None:
    """Oracle: its mean counts as 1 % of its layer's, so that nothing is divided by 0."""
    encoder, images = random_encoder(), image_tensors(photographs)
    for conv in (encoder.conv1_1, encoder.conv2_2):
        conv.weight[1], conv.bias[1] = 0.0, -1.0
    means, layer_means = mean_activations(encoder, images), means_by_numpy(encoder, images)
    for name in ("conv1_1", "conv2_2"):
        assert means[name][1].item() == pytest.approx(0.01 * layer_means[name].mean(), rel=1e-5)
    normalize_activations(encoder, means)
    features = encoder(images[0], VGG19_LAYERS[:9])
    assert all(x.isfinite().all() for x in features.values())
    assert (features["relu1_1"][:, 1] == 0).all()
    assert (features["relu4_1"] > 0).any()


def test_layer_that_never_fires_stays_finite(photographs: Path) -> None:
    """Oracle: its means count as 1, so its weights stay."""
    encoder, images = random_encoder(), image_tensors(photographs)
    encoder.conv1_2.weight.zero_()
    encoder.conv1_2.bias.fill_(-1.0)
    means = mean_activations(encoder, images)
    assert (means["conv1_2"] == 1).all()
    normalize_activations(encoder, means)
    assert all(x.isfinite().all() for x in encoder(images[0], VGG19_LAYERS[:9]).values())


def test_mean_activations_without_pictures_are_1() -> None:
    """Oracle: nothing measured, nothing changed."""
    assert all((mean == 1).all() for mean in mean_activations(random_encoder(), []).values())


PREPROCESSINGS = {
    "imagenet": (
        torch.diag(1 / torch.tensor([0.229, 0.224, 0.225])),
        -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225]),
        lambda x: normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ),
    "caffe": (
        255 * torch.eye(3).flip(0),
        -torch.tensor([103.939, 116.779, 123.68]),
        lambda x: 255 * x[:, [2, 1, 0]] - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1),
    ),
    "mixed": (
        torch.tensor([[0.5, 1.0, -2.0], [3.0, 0.1, 0.7], [-1.0, 4.0, 0.2]]),
        torch.tensor([0.3, -0.6, 0.9]),
        lambda x: torch.stack(
            (
                0.5 * x[:, 0] + x[:, 1] - 2 * x[:, 2] + 0.3,
                3 * x[:, 0] + 0.1 * x[:, 1] + 0.7 * x[:, 2] - 0.6,
                -x[:, 0] + 4 * x[:, 1] + 0.2 * x[:, 2] + 0.9,
            ),
            dim=1,
        ),
    ),
}


@pytest.mark.parametrize(("matrix", "shift", "preprocess"), PREPROCESSINGS.values(), ids=PREPROCESSINGS)
def test_folded_preprocessing_equals_preprocessing_of_the_picture(photographs: Path, matrix, shift, preprocess) -> None:
    """Oracle: the image preprocessed first (torchvision's normalize, Caffe's BGR by hand), borders included."""
    folded = random_encoder()
    image = image_tensors(photographs)[0]
    expected = random_encoder().conv1_1(preprocess(image))
    fold_preprocessing(folded.conv1_1, matrix, shift)
    torch.testing.assert_close(folded.conv1_1(image), expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_random_weights_are_the_same_every_time_and_leave_the_global_seed_alone() -> None:
    """Oracle: two initialisations under different global seeds; the global stream goes on as without them."""
    encoders = [VGGEncoder(TINY), VGGEncoder(TINY)]
    draws = []
    for seed, encoder in enumerate(encoders):
        torch.manual_seed(seed)
        initialise_randomly(encoder)
        draws.append(torch.rand(3))
    for (_, a), (_, b) in zip(*(e.convs() for e in encoders), strict=True):
        assert torch.equal(a.weight, b.weight)
        assert (a.bias == 0).all()
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), draws[1])
    initialise_randomly(encoders[1], seed=5)
    assert not torch.equal(encoders[0].conv1_1.weight, encoders[1].conv1_1.weight)


def test_random_weights_keep_the_size_of_activations() -> None:
    """Oracle: He et al. 2015: weights of variance 2 / (9 C_in)."""
    encoder = VGGEncoder("compact")
    initialise_randomly(encoder)
    for name, conv in list(encoder.convs())[2:]:
        expected = 2 / (9 * conv.in_channels)
        assert conv.weight.var().item() == pytest.approx(expected, rel=0.1), name


def test_padding_reflects() -> None:
    """Oracle: F.pad with mode reflect before a convolution without padding."""
    encoder, x = random_encoder(last="relu1_1"), torch.rand(1, 3, 5, 4)
    conv = encoder.conv1_1
    expected = F.relu(F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias))
    torch.testing.assert_close(encoder(x)["relu1_1"], expected)
