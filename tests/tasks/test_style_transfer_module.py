"""Losses that are measured with a network of their own, and the reconstruction that is asked for beside them."""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from adain_lit import train
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.nets import StyleTransferNet, VGGEncoder, rewrites
from adain_lit.nets.vgg import initialise_randomly, normalize_activations
from adain_lit.runs.rows import read_rows, values_by_step
from adain_lit.tasks import StyleTransferModule
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.networks import load_network, save_network
from support.commands import run_here, tiny
from support.images import small
from support.networks import SKIP_LAYERS, each_network
from support.runs import assert_same_runs, last, only_run

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def write_encoder(path: Path, last: str, widths: tuple[int, ...], seed: int) -> str:
    """A file of weights that were never scaled, for RGB in [0, 1]."""
    encoder = VGGEncoder(widths, last)
    initialise_randomly(encoder, seed)
    rgb = {"preprocess.weight": torch.eye(3)[..., None, None].clone(), "preprocess.bias": torch.zeros(3)}
    save_file(rgb | {key: value.contiguous() for key, value in encoder.state_dict().items()}, path)
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The encoder, and two files of a loss network: the first gives the two upper layers."""
    folder = tmp_path_factory.mktemp("files")
    return [
        write_encoder(folder / "encoder.safetensors", "relu4_1", (4, 6, 8, 10, 10), 0),
        write_encoder(folder / "upper.safetensors", "relu2_1", (5, 7, 7, 7, 7), 1),
        write_encoder(folder / "lower.safetensors", "relu4_1", (6, 8, 10, 12, 12), 2),
    ]


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    content, style = (
        torch.stack([to_tensor(small(name, (40, 32))) for name in names]) / 255
        for names in (("coffee.png", "rocket.jpg"), ("chelsea.png", "astronaut.png"))
    )
    return content, style


def module_with(files: list[str], **settings: Any) -> StyleTransferModule:
    torch.manual_seed(5)
    module = StyleTransferModule(encoder=files[0], loss_encoder=files[1:], **settings)
    assert module.loss_network is not None
    module.loss_network.normalize([to_tensor(small("hubble_deep_field.jpg"))[None] / 255])
    return module.eval()


def stats(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each channel, (N, C)."""
    return x.mean((2, 3)), (x.var((2, 3), correction=0) + 1e-5).sqrt()


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Eq. 8 at one layer."""
    (mean, std), (style_mean, style_std) = ([y[..., None, None] for y in stats(x)] for x in (content, style))
    return (content - mean) / std * style_std + style_mean


@each_network
def test_losses_of_a_loss_network_equal_formulas_written_out(
    files: list[str], pair: tuple[Tensor, Tensor], skip_layers: tuple[str, ...]
) -> None:
    """Oracle: Eqs. 8 and 11 to 13 on features of both files over their means; g(f(c)) and its mean colour by hand."""
    content, style = pair
    module = module_with(files, style_weight=3.0, identity_weight=0.5, color_weight=4.0, skip_layers=skip_layers)
    upper, lower = (load_encoder(path, last=last) for path, last in zip(files[1:], ("relu2_1", "relu4_1"), strict=True))
    assert module.loss_network is not None
    means = module.loss_network.scales

    def phi(images: Tensor) -> dict[str, Tensor]:
        found = upper(images, LAYERS[:2]) | lower(images, LAYERS[2:])
        return {layer: x / means[layer].view(1, -1, 1, 1) for layer, x in found.items()}

    with torch.no_grad():
        losses = module.losses(content, style)
        encoded, encoded_style = module.net.encode(content), module.net.encode(style)
        fused = (adain(x, y) for x, y in zip(encoded, encoded_style, strict=True))
        made, same = module.net.decoder(*fused), module.net.decoder(*encoded)
        of_content, of_style, of_made = phi(content), phi(style), phi(made)
    target = adain(of_content["relu4_1"], of_style["relu4_1"])
    content_loss = ((of_made["relu4_1"] - target) ** 2).mean((1, 2, 3))
    style_loss = torch.zeros(2)
    for layer in LAYERS:
        of_layer = zip(stats(of_made[layer]), stats(of_style[layer]), strict=True)
        expected = torch.stack([((a - b) ** 2).mean(1) for a, b in of_layer]).sum(0)
        torch.testing.assert_close(losses[f"style_loss/{layer}"], expected, rtol=1e-3, atol=1e-6)
        style_loss += expected
    identity = (same - content).abs().mean((1, 2, 3))
    color = (same.mean((2, 3)) - content.mean((2, 3))).abs().mean(1)
    assert min(float(x.min()) for x in (content_loss, style_loss, identity, color)) > 1e-3
    torch.testing.assert_close(losses["content_loss"], content_loss, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(losses["style_loss"], style_loss, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(losses["identity_loss"], identity, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(losses["color_loss"], color, rtol=1e-3, atol=1e-6)
    total = content_loss + 3 * style_loss + 0.5 * identity + 4 * color
    torch.testing.assert_close(losses["loss"], total, rtol=1e-3, atol=1e-6)


def test_an_encoder_that_measures_itself_gives_the_losses_of_its_double(
    files: list[str], pair: tuple[Tensor, Tensor]
) -> None:
    """Oracle: the same weights as a loss network; not every fused layer is one of the losses."""
    settings: dict[str, Any] = {"skip_layers": SKIP_LAYERS, "style_layers": ["relu2_1", "relu4_1"]}
    one, double = (
        StyleTransferModule(encoder=files[0], loss_encoder=phi, identity_weight=1.0, **settings)
        for phi in (None, files[0])
    )
    double.net.load_state_dict(one.net.state_dict())
    with torch.no_grad():
        losses, expected = one.losses(*pair), double.losses(*pair)
    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, expected[name])


def test_without_weight_there_is_no_loss_of_the_reconstruction(files: list[str], pair: tuple[Tensor, Tensor]) -> None:
    losses = module_with(files).losses(*pair)
    assert not {"identity_loss", "color_loss"} & losses.keys()
    torch.testing.assert_close(losses["loss"], losses["content_loss"] + 10 * losses["style_loss"])
    for name, weight in product(("identity_weight", "color_weight"), (-1.0, float("inf"), float("nan"))):
        with pytest.raises(InputError, match=rf"^{name} is \S+; it must be 0 or more$"):
            StyleTransferModule(encoder="random", encoder_widths="compact", **{name: weight})


def test_concatenation_compares_with_the_content_in_the_loss_network(
    files: list[str], pair: tuple[Tensor, Tensor]
) -> None:
    """Oracle: phi(c) itself is the target where fused features lie in no encoder's space."""
    module = module_with(files, fusion="concat")
    assert module.loss_network is not None
    with torch.no_grad():
        losses = module.losses(*pair)
        made = module(pair[0], pair[1])
        of_made, of_content = (module.loss_network(x, ("relu4_1",))["relu4_1"] for x in (made, pair[0]))
    expected = ((of_made - of_content) ** 2).mean((1, 2, 3))
    torch.testing.assert_close(losses["content_loss"], expected, rtol=1e-3, atol=1e-6)


def test_encoder_ends_where_nothing_deeper_is_needed(files: list[str]) -> None:
    """Oracle: the deepest layer in use; without a loss network the encoder measures too."""
    deep = {"content_layer": "relu3_1", "style_layers": ["relu1_1", "relu4_1"]}
    assert module_with(files, **deep).net.encoder.last == "relu3_1"
    assert StyleTransferModule(encoder=files[0], **deep).net.encoder.last == "relu4_1"


@pytest.mark.parametrize("train_encoder", [False, True])
def test_a_step_changes_the_decoder_and_the_encoder_where_it_is_trained(
    files: list[str], pair: tuple[Tensor, Tensor], train_encoder: bool
) -> None:
    """Oracle: names of the weights; the loss network's are in neither case among them."""
    module = module_with(files, identity_weight=1.0, skip_layers=SKIP_LAYERS, train_encoder=train_encoder)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    module.losses(*pair)["loss"].sum().backward()
    configured = module.configure_optimizers()
    configured["optimizer"].step()
    changed = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    trained = ("net.decoder.", "net.encoder.") if train_encoder else ("net.decoder.",)
    assert changed == {name for name in before if name.startswith(trained)}


def test_training_an_encoder_on_its_own_features_is_refused() -> None:
    with pytest.raises(InputError, match=r"^train_encoder needs a loss network that stays as it is; set loss_encoder"):
        StyleTransferModule(encoder="random", encoder_widths="compact", train_encoder=True)


def run_with(files: list[str], folder: Path, arguments: list[str]) -> Path:
    """Folder of a run with a loss network."""
    model = [f"model.encoder={files[0]}", f"model.loss_encoder=[{files[1]},{files[2]}]", "model.identity_weight=1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here(train.main, [*arguments, *model, "model.loss_unit_mean_images=3"], patch) == 0
    return only_run(folder)


def test_bundled_loss_encoder_is_not_scaled_a_second_time(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: a run with scaling switched off, whose losses are the same."""
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "model.loss_encoder=distilled", "trainer.max_steps=1"]
    losses = []
    for count in (0, 3):
        options = [f"model.loss_unit_mean_images={count}", f"name=scaled_on_{count}"]
        assert run_here(train.main, [*arguments, *options], monkeypatch) == 0
        run = only_run(tmp_path, f"scaled_on_{count}")
        assert last(run)["loss_network"]["mean_activations"] == {}
        losses.append(values_by_step(read_rows(run / "metrics.csv")[1])[1]["val/loss"])
    assert losses[0] == losses[1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, files: list[str], photographs: Path, paintings: Path) -> Path:
    """Folder of a run of two steps."""
    return run_with(files, tmp_path_factory.mktemp("trained"), tiny(photographs, paintings))


@pytest.fixture(scope="module")
def encoder_too(photographs: Path, paintings: Path) -> list[str]:
    """Overrides for a run that trains the encoder and fuses four layers."""
    model = ["model.train_encoder=true", f"model.skip_layers=[{','.join(SKIP_LAYERS)}]", "model.norm=batch"]
    return [*tiny(photographs, paintings), *model]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, files: list[str], encoder_too: list[str]) -> Path:
    """Folder of such a run of four steps."""
    return run_with(files, tmp_path_factory.mktemp("whole"), [*encoder_too, "trainer.max_steps=4"])


def test_a_trained_encoder_is_in_the_checkpoint_and_no_longer_what_it_began_as(whole: Path, files: list[str]) -> None:
    """Oracle: the file that it began with, divided by the means of the checkpoint."""
    checkpoint = last(whole)
    assert {key.split(".")[1] for key in checkpoint["state_dict"]} == {"encoder", "decoder"}
    means = checkpoint["encoder"]["mean_activations"]
    assert means
    begun = load_encoder(files[0])
    normalize_activations(begun, means)
    for key, tensor in begun.state_dict().items():
        trained = checkpoint["state_dict"][f"net.encoder.{key}"]
        assert not torch.equal(trained, tensor)
        torch.testing.assert_close(trained, tensor, rtol=0, atol=0.01)  # four steps of a rate of 1e-3


def test_checkpoint_with_its_encoder_is_a_network_by_itself(
    whole: Path, pair: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    """Oracle: the module; the network, and its encoder alone, need no other file any more."""
    path = whole / "checkpoints" / "last.ckpt"
    module = StyleTransferModule.load_from_checkpoint(path, weights_only=True).eval()
    checkpoint = last(whole)
    checkpoint["hyper_parameters"]["encoder"] = "gone.safetensors"
    torch.save(checkpoint, tmp_path / "moved.ckpt")
    net = load_network(tmp_path / "moved.ckpt")
    assert net.fused_layers == ("relu4_1", *SKIP_LAYERS[::-1])
    assert not net.training
    with torch.no_grad():
        torch.testing.assert_close(net(pair[0], [pair[1]]), module(*pair))
    for key, tensor in load_encoder(tmp_path / "moved.ckpt").state_dict().items():
        assert torch.equal(tensor, checkpoint["state_dict"][f"net.encoder.{key}"])


def test_resumed_training_of_an_encoder_equals_an_unbroken_one(
    whole: Path, files: list[str], encoder_too: list[str], tmp_path: Path
) -> None:
    run_with(files, tmp_path, encoder_too)
    assert last(only_run(tmp_path))["global_step"] == 2
    assert_same_runs(whole, run_with(files, tmp_path, [*encoder_too, "resume=last", "trainer.max_steps=4"]))


def test_training_begins_with_the_decoder_of_another_network(tmp_path: Path, files: list[str]) -> None:
    """Oracle: the weights in that file; a decoder of another shape is refused."""
    net = StyleTransferNet(load_encoder(files[0]))
    save_network(net, tmp_path / "begun.safetensors", card={}, half=False)
    module = module_with(files, decoder=str(tmp_path / "begun.safetensors"))
    for name, tensor in net.decoder.state_dict().items():
        assert torch.equal(module.net.decoder.state_dict()[name], tensor)
    for settings in ({"norm": "instance"}, {"fusion": "concat"}, {"content_layer": "relu3_1"}):
        with pytest.raises(InputError, match=r"^the decoder of \S+begun.safetensors has another shape than this one "):
            module_with(files, decoder=str(tmp_path / "begun.safetensors"), **settings)


def test_skip_layers_are_handed_over_from_a_step_on(
    files: list[str], pair: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the loss with the decoder's weights for the skip layers at 0; validation always has them."""
    module = module_with(files, skip_layers=SKIP_LAYERS, skips_from=2, identity_weight=1.0)
    deaf = module_with(files, skip_layers=SKIP_LAYERS, identity_weight=1.0)
    for name in deaf.net.decoder.skips:
        conv = deaf.net.decoder.get_submodule(name)
        width = module.net.encoder.channels(deaf.net.decoder.skips[name])
        with torch.no_grad():
            conv.weight[:, -width:] = 0

    def loss(module: StyleTransferModule, step: int) -> Tensor:
        monkeypatch.setattr(StyleTransferModule, "global_step", step)
        with torch.no_grad():
            return module.batch_losses(PairBatch(*pair, torch.arange(len(pair[0])), []))["loss"]

    whole = loss(module, 0)  # not in training
    module.train()
    assert torch.equal(loss(module, 2), whole)
    torch.testing.assert_close(loss(module, 1), loss(deaf, 1))
    assert not torch.allclose(loss(module, 1), whole, rtol=1e-3)


@pytest.mark.slow
@each_network
def test_losses_compile_as_one_graph_for_all_steps(
    files: list[str], pair: tuple[Tensor, Tensor], skip_layers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same module without compiling, losses and gradients; a step with the skip layers is traced no more.

    The graph is run by autograd, without the compiler behind it, which takes a minute.
    """
    monkeypatch.setattr(rewrites, "_devices", set())  # graphs have the plain forms, which round otherwise
    graphs: list[int] = []

    def counted(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        graphs.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counted, fullgraph=True))
    settings = {"skip_layers": skip_layers, "skips_from": 2, "identity_weight": 1.0, "train_encoder": True}
    plain, compiled = module_with(files, **settings), module_with(files, compile=True, **settings)
    batch = PairBatch(*pair, torch.arange(len(pair[0])), [])
    with torch.no_grad():
        expected, found = (module.batch_losses(batch)["loss"] for module in (plain, compiled))
    assert not graphs  # in validation
    assert torch.equal(expected, found)
    for step in (1, 2, 3):
        monkeypatch.setattr(StyleTransferModule, "global_step", step)
        gradients = []
        for module in (plain.train(), compiled.train()):
            module.zero_grad()
            module.batch_losses(batch)["loss"].sum().backward()
            gradients.append([p.grad for p in module.net.parameters()])
        torch.testing.assert_close(*gradients)
    assert len(graphs) == 1


def test_checkpoint_keeps_the_means_of_the_loss_network_and_not_its_weights(
    trained: Path, files: list[str], pair: tuple[Tensor, Tensor]
) -> None:
    """Oracle: unit mean on the photographs of the training; twice loaded, the losses are equal to the bit."""
    path = trained / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    assert all(key.startswith("net.decoder.") for key in checkpoint["state_dict"])
    means = checkpoint["loss_network"]["mean_activations"]
    assert {layer: len(mean) for layer, mean in means.items()} == dict(zip(LAYERS, (5, 7, 10, 12), strict=True))
    one, two = (StyleTransferModule.load_from_checkpoint(path, weights_only=True).eval() for _ in range(2))
    for module in (one, two):
        assert module.loss_network is not None
        assert all(torch.equal(module.loss_network.scales[layer], mean) for layer, mean in means.items())
    with torch.no_grad():
        first, second = one.losses(*pair), two.losses(*pair)
        image = one(*pair)
    assert all(torch.equal(first[name], second[name]) for name in first)
    net = load_network(path)
    with torch.no_grad():
        torch.testing.assert_close(net(pair[0], [pair[1]]), image)


def test_checkpoint_with_another_loss_network_is_refused(trained: Path, files: list[str], tmp_path: Path) -> None:
    """Oracle: a file of the same shapes and other weights under the same name."""
    path = trained / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    other = write_encoder(tmp_path / "other.safetensors", "relu2_1", (5, 7, 7, 7, 7), 9)
    checkpoint["hyper_parameters"]["loss_encoder"] = [other, files[2]]
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"^the checkpoint was trained with other weights .* than loss_encoder \["):
        StyleTransferModule.load_from_checkpoint(tmp_path / "other.ckpt", weights_only=True)
