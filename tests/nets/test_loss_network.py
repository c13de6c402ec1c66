"""The network that measures the losses: features of the right encoder, through its heads, at unit mean."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.nets import HeadedEncoder, LossNetwork, VGGEncoder
from adain_lit.nets.vgg import initialise_randomly
from adain_lit.weights.encoders import load_loss_network
from support.images import small

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def encoder(last: str, seed: int = 0, widths: tuple[int, ...] = (4, 6, 8, 10, 10)) -> VGGEncoder:
    made = VGGEncoder(widths, last)
    initialise_randomly(made, seed)
    return made


def headed(last: str, widths: dict[str, int], seed: int = 0) -> HeadedEncoder:
    torch.manual_seed(seed)
    return HeadedEncoder(encoder(last, seed), widths)


@pytest.fixture
def images() -> Tensor:
    return torch.stack([to_tensor(small(name, (40, 33))) for name in ("coffee.png", "chelsea.png")]) / 255


def by_head(network: HeadedEncoder, layer: str, features: Tensor) -> Tensor:
    """A 1x1 convolution written as a sum over channels, and a ReLU."""
    head = network.heads[layer]
    weight, bias = head.weight[:, :, 0, 0], head.bias
    return torch.einsum("oc,nchw->nohw", weight, features).add(bias.view(1, -1, 1, 1)).clamp(min=0)  # type: ignore[operator]


def test_head_is_a_weighted_sum_of_channels_and_a_relu(images: Tensor) -> None:
    """Oracle: the sum over channels written out, on the encoder's own features."""
    network = headed("relu3_1", {"relu1_1": 7, "relu3_1": 9})
    assert network.layers == ("relu1_1", "relu3_1")
    assert [network.channels(layer) for layer in network.layers] == [7, 9]
    own = network.encoder(images, network.layers)
    found = network(images)
    assert list(found) == ["relu1_1", "relu3_1"]
    for layer, features in found.items():
        assert features.shape[1] == network.channels(layer)
        assert 0 < (features == 0).float().mean() < 1
        torch.testing.assert_close(features, by_head(network, layer, own[layer]), rtol=1e-4, atol=1e-5)
    (only,) = network(images, ("relu3_1",)).items()
    assert only[0] == "relu3_1"
    assert torch.equal(only[1], found["relu3_1"])


def test_head_behind_the_end_of_the_encoder_is_refused() -> None:
    with pytest.raises(InputError, match=r"^no head is possible at relu4_1: the encoder ends at relu3_1$"):
        headed("relu3_1", {"relu1_1": 7, "relu4_1": 7})


def test_each_layer_comes_from_the_first_encoder_that_has_it(images: Tensor) -> None:
    """Oracle: the encoders themselves; the second has a head at relu2_1 alone, the third reaches all."""
    first, second, third = encoder("relu1_2", 1), headed("relu3_1", {"relu2_1": 11}, 2), encoder("relu4_1", 3)
    network = LossNetwork([first, second, third], LAYERS)
    assert network.widths == {"relu1_1": 4, "relu2_1": 11, "relu3_1": 8, "relu4_1": 10}
    found = network(images)
    assert set(found) == set(LAYERS)
    for layer, source in zip(LAYERS, (first, second, third, third), strict=True):
        assert torch.equal(found[layer], source(images, (layer,))[layer])
    some = network(images, ("relu4_1", "relu2_1"))
    assert set(some) == {"relu4_1", "relu2_1"}
    assert all(torch.equal(some[layer], found[layer]) for layer in some)


def test_layer_that_no_encoder_has_is_refused() -> None:
    message = "^no encoder of the loss network has relu3_1; give weights that reach it$"
    with pytest.raises(InputError, match=message):
        LossNetwork([encoder("relu2_2"), headed("relu4_1", {"relu4_1": 5})], LAYERS)


def test_weights_are_frozen_and_pictures_are_not(images: Tensor) -> None:
    network = LossNetwork([encoder("relu2_1"), headed("relu4_1", {"relu3_1": 5, "relu4_1": 6})], LAYERS)
    assert not any(p.requires_grad for p in network.parameters())
    images.requires_grad_()
    torch.stack([x.square().mean() for x in network(images).values()]).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(p.grad is None for p in network.parameters())


def test_normalised_channels_have_mean_one_over_all_cells(images: Tensor) -> None:
    """Oracle: the mean over the cells of two batches of different sizes; a second time changes nothing."""
    network = LossNetwork([encoder("relu2_1"), headed("relu4_1", {"relu3_1": 5, "relu4_1": 6})], LAYERS)
    batches = [images, images[:1, :, 3:27, :31]]
    before = network(images)
    for _ in range(2):
        network.normalize(batches, least=1e-6)
        cells = [network(batch) for batch in batches]
        for layer in LAYERS:
            values = torch.cat([x[layer].transpose(0, 1).flatten(1) for x in cells], dim=1)
            means = values.mean(1)
            ever_on = means > 0
            assert ever_on.float().mean() > 0.5
            torch.testing.assert_close(means[ever_on], torch.ones(int(ever_on.sum())), rtol=1e-4, atol=0)
    after = network(images)
    ratio = after["relu2_1"] / before["relu2_1"].clamp(min=1e-12)
    on = before["relu2_1"] > 1e-4
    for channel in range(6):  # one factor for each channel
        values = ratio[:, channel][on[:, channel]]
        assert values.numel() == 0 or values.std() < 1e-3 * values.mean()


def test_layers_that_are_scaled_already_stay_as_they_are(images: Tensor) -> None:
    """Oracle: the features before; where no layer is left to scale, no image is read."""
    encoders = [encoder("relu2_1"), headed("relu4_1", {"relu3_1": 5, "relu4_1": 6})]
    network = LossNetwork(encoders, LAYERS, scaled=[True, False])
    before = network(images)
    network.normalize([images], least=1e-6)
    after = network(images)
    for layer in LAYERS:
        assert torch.equal(after[layer], before[layer]) == (layer in ("relu1_1", "relu2_1"))
    network = LossNetwork(encoders, LAYERS, scaled=[True, True])
    unread = iter([images])
    network.normalize(unread)
    assert network.scales == {}
    assert next(unread) is images


def test_channel_that_is_hardly_on_counts_as_a_share_of_its_layer(images: Tensor) -> None:
    """Oracle: max(m, 0.2 mean(m)) by hand; a layer that is never on stays 0 and is no NaN."""
    made = encoder("relu2_1")
    with torch.no_grad():
        made.conv1_1.bias[0] = -100.0  # type: ignore[index]
        made.conv2_1.bias.fill_(-1000.0)  # type: ignore[union-attr, operator]
    network = LossNetwork([made], ("relu1_1", "relu2_1"))
    network.normalize([images], least=0.2)
    means = made(images, ("relu1_1",))["relu1_1"].mean((0, 2, 3))
    assert means[0] == 0
    torch.testing.assert_close(network.scales["relu1_1"], means.clamp(min=0.2 * float(means.mean())))
    assert torch.equal(network(images)["relu2_1"], torch.zeros(2, 6, 17, 20))


def test_means_go_where_the_weights_go_and_are_no_weights(images: Tensor) -> None:
    network = LossNetwork([encoder("relu2_1")], ("relu1_1", "relu2_1"))
    names = set(network.state_dict())
    network.normalize([images])
    assert set(network.state_dict()) == names
    network.to("meta")
    assert {mean.device.type for mean in network.scales.values()} == {"meta"}
    network.scales = {}
    assert network.scales == {}


def save(network: VGGEncoder, heads: dict[str, tuple[Tensor, Tensor]], path: Path) -> str:
    """The layout of a distilled encoder: VGG names, heads as aux1_1."""
    state = dict(network.state_dict())
    for layer, (weight, bias) in heads.items():
        state |= {f"aux{layer[4:]}.weight": weight, f"aux{layer[4:]}.bias": bias}
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return str(path)


def test_files_give_each_layer_through_their_heads(tmp_path: Path, images: Tensor) -> None:
    """Oracle: the features of the first file through its heads by hand, those behind its end from the second."""
    small_one, large_one = encoder("relu2_1", 1), encoder("relu4_1", 2)
    generator = torch.Generator().manual_seed(4)
    heads = {
        layer: (torch.randn(9, width, 1, 1, generator=generator), torch.randn(9, generator=generator))
        for layer, width in (("relu1_1", 4), ("relu2_1", 6))
    }
    paths = [save(small_one, heads, tmp_path / "a.safetensors"), save(large_one, {}, tmp_path / "b.safetensors")]
    network = load_loss_network(paths, layers=LAYERS, preprocessing="rgb")
    assert network.widths == {"relu1_1": 9, "relu2_1": 9, "relu3_1": 8, "relu4_1": 10}
    found = network(images)
    for layer, (weight, bias) in heads.items():
        expected = F.relu(F.conv2d(small_one(images, (layer,))[layer], weight, bias))
        torch.testing.assert_close(found[layer], expected, rtol=1e-4, atol=1e-5)
    for layer in ("relu3_1", "relu4_1"):
        torch.testing.assert_close(found[layer], large_one(images, (layer,))[layer], rtol=1e-4, atol=1e-5)


def test_unusable_files_of_a_loss_network_are_refused(tmp_path: Path) -> None:
    short = save(encoder("relu2_1"), {}, tmp_path / "short.safetensors")
    narrow = {"relu1_1": (torch.ones(9, 5, 1, 1), torch.ones(9))}
    for weights, layers, message in (
        ([], LAYERS, "the loss network has no weights; name at least one file"),
        (short, LAYERS, "no encoder of the loss network has relu3_1; give weights that reach it"),
        ([short], ("relu3_1",), f"{short} has none of the layers relu3_1; leave it out"),
        (
            save(encoder("relu2_1"), narrow, tmp_path / "narrow.safetensors"),
            ("relu1_1",),
            "the head of relu1_1 is (9, 5, 1, 1); VGG needs (9, 4, 1, 1)",
        ),
    ):
        with pytest.raises(InputError) as caught:
            load_loss_network(weights, layers=layers, preprocessing="rgb")
        assert str(caught.value) == message
