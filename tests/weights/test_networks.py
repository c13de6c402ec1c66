"""Whole networks from every kind of file give the same images, and unusable files are refused, never executed."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import adain_lit
from adain_lit import stylize, train
from adain_lit.cli import EXTRAS
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.methods.fixed_styles import load_method
from adain_lit.nets import StyleTransferNet
from adain_lit.tasks import DistillationModule, StyleTransferModule
from adain_lit.weights import files as state_files
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.files import BUNDLED, bundled_file
from adain_lit.weights.networks import load_network, save_network
from support.commands import run_here, run_without, tiny
from support.images import small
from support.networks import SKIP_LAYERS, small_network
from support.runs import only_run

WIDTHS = (4, 6, 8, 10, 10)
ENCODER_BLOCKS = ((2, 4), (2, 6), (4, 8), (4, 10), (4, 10))
"""Convolutions of VGG-19 in each block, and their width here."""
DECODER_CONVS = (1, 5, 8, 11, 14, 18, 21, 25, 28)
"""Where the convolutions of the common decoder stand."""


def fill(network: nn.Sequential, seed: int) -> nn.Sequential:
    """He initialisation with biases, and images around mid-grey."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
    return network.requires_grad_(False)


def common_encoder(widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """vgg_normalised.pth as the common PyTorch code builds it: 1x1, then pad, convolution, ReLU and ceiling pools."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    channels = 3
    for block, ((count, _), width) in enumerate(zip(ENCODER_BLOCKS, widths, strict=True)):
        if block:
            layers.append(nn.MaxPool2d(2, 2, 0, ceil_mode=True))
        for _ in range(count):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]
            channels = width
    network = fill(nn.Sequential(*layers), seed=1)
    convs = [i for i, layer in enumerate(network) if isinstance(layer, nn.Conv2d)]
    assert convs[:10] == [0, 2, 5, 9, 12, 16, 19, 22, 25, 29]
    first = network[0]
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    first.weight.copy_(255 * torch.eye(3).flip(0)[..., None, None] / 64)
    first.bias.copy_(-torch.tensor([103.939, 116.779, 123.68]) / 64)
    return network


def common_decoder(widths: tuple[int, ...] = WIDTHS) -> nn.Sequential:
    """decoder.pth from relu4_1 as the common PyTorch code builds it."""
    a, b, c, d = widths[:4]

    def conv(channels: int, out: int) -> list[nn.Module]:
        return [nn.ReflectionPad2d(1), nn.Conv2d(channels, out, 3), nn.ReLU()]

    up = [nn.Upsample(scale_factor=2, mode="nearest")]
    layers = [*conv(d, c), *up, *conv(c, c), *conv(c, c), *conv(c, c), *conv(c, b), *up]
    layers += [*conv(b, b), *conv(b, a), *up, *conv(a, a), *conv(a, 3)[:2]]
    network = fill(nn.Sequential(*layers), seed=2)
    assert tuple(i for i, layer in enumerate(network) if isinstance(layer, nn.Conv2d)) == DECODER_CONVS
    last = network[28]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.bias.add_(0.5)
    return network


def shallow_decoder() -> nn.Sequential:
    """The same from relu3_1: it begins with the convolution that leaves the third block, numbered anew."""
    return nn.Sequential(*list(common_decoder())[13:])


def reference(encoder: nn.Sequential, decoder: nn.Sequential, cut: int, alpha: float = 1.0) -> Tensor:
    """Eqs. 8 and 14 between the two, as the common code does it, but for its division by the cells less one."""
    content, style = PAIR
    content, style = encoder[:cut](content), encoder[:cut](style)

    def stats(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.mean((2, 3), keepdim=True), (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()

    (mean, std), (style_mean, style_std) = stats(content), stats(style)
    stylised = (content - mean) / std * style_std + style_mean
    made: Tensor = decoder(alpha * stylised + (1 - alpha) * content)
    return made.clamp(0, 1)


SIZES = {"coffee.png": (96, 72), "chelsea.png": (80, 64)}
PAIR = tuple(to_tensor(small(name, size))[None] / 255 for name, size in SIZES.items())


def image(net: StyleTransferNet, alpha: float = 1.0) -> Tensor:
    with torch.no_grad():
        made: Tensor = net(PAIR[0], [PAIR[1]], alpha=alpha)
    return made


def assert_same_picture(net: StyleTransferNet, expected: Tensor, alpha: float = 1.0) -> None:
    assert expected.shape == (1, 3, 72, 96)
    assert expected.std() > 0.05
    torch.testing.assert_close(image(net, alpha), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's cache in a new folder, and no ADAIN_WEIGHTS."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("ADAIN_WEIGHTS", raising=False)


@pytest.fixture
def decoder(tmp_path: Path, no_weights: None) -> Path:
    """decoder.pth alone in a folder."""
    (tmp_path / "net").mkdir()
    torch.save(common_decoder().state_dict(), tmp_path / "net" / "decoder.pth")
    return tmp_path / "net" / "decoder.pth"


def write_encoder(folder: Path, widths: tuple[int, ...] = WIDTHS) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(common_encoder(widths).state_dict(), folder / "vgg_normalised.pth")
    return folder / "vgg_normalised.pth"


@pytest.mark.parametrize("place", ["given", "beside", "ADAIN_WEIGHTS"])
def test_decoder_of_the_common_code_gives_its_pictures(
    tmp_path: Path, decoder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the two Sequentials' own forward; what is named goes before what lies about."""
    wrong = (3, 3, 3, 3, 3)
    path = write_encoder({"given": tmp_path / "elsewhere", "beside": decoder.parent}.get(place, tmp_path / "own"))
    if place == "given":
        write_encoder(decoder.parent, wrong)
    if place != "ADAIN_WEIGHTS":
        write_encoder(tmp_path / "wrong", wrong)
    monkeypatch.setenv("ADAIN_WEIGHTS", str(tmp_path / ("own" if place == "ADAIN_WEIGHTS" else "wrong")))
    net = load_network(decoder, encoder=path if place == "given" else None)
    assert (net.config.fusion, net.config.norm, net.content_layer, net.training) == ("adain", "none", "relu4_1", False)
    for alpha in (1.0, 0.4):
        assert_same_picture(net, reference(common_encoder(), common_decoder(), 31, alpha), alpha)


def test_decoder_from_another_layer_is_recognised(decoder: Path) -> None:
    """Oracle: the two Sequentials, the encoder cut behind relu3_1."""
    torch.save(shallow_decoder().state_dict(), decoder)
    write_encoder(decoder.parent)
    net = load_network(decoder)
    assert net.content_layer == "relu3_1"
    assert_same_picture(net, reference(common_encoder(), shallow_decoder(), 18))


def test_decoder_under_vgg_names_is_the_same(decoder: Path, tmp_path: Path) -> None:
    """Oracle: the decoder under its numbers; the names are the encoder's, conv4_1 is the first."""
    encoder = write_encoder(tmp_path / "own")
    names = ["conv4_1", "conv3_4", "conv3_3", "conv3_2", "conv3_1", "conv2_2", "conv2_1", "conv1_2", "conv1_1"]
    numbered = common_decoder().state_dict()
    named = {
        f"{name}.{part}": numbered[f"{number}.{part}"]
        for name, number in zip(reversed(names), reversed(DECODER_CONVS), strict=True)
        for part in ("weight", "bias")
    }
    save_file(named, tmp_path / "named.safetensors")
    net = load_network(tmp_path / "named.safetensors", encoder=encoder)
    assert torch.equal(image(net), image(load_network(decoder, encoder=encoder)))


def test_loaded_pair_is_a_network_of_this_project(decoder: Path, tmp_path: Path) -> None:
    """Oracle: the same image from one file, exactly, and through `load` as an image."""
    encoder = write_encoder(decoder.parent)
    net = load_network(decoder)
    save_network(net, tmp_path / "whole.safetensors", card={}, half=False)
    assert torch.equal(image(load_network(tmp_path / "whole.safetensors")), image(net))
    made = adain_lit.load(decoder, encoder=encoder, device="cpu").tensor(
        small("coffee.png"), small("chelsea.png", (80, 64)), style_size=None
    )
    torch.testing.assert_close(made, image(net)[0].clamp(0, 1), rtol=0, atol=1e-4)


def changed(**tensors: Tensor | None) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    """Some tensors of a decoder replaced or, where None, left out; ``_`` stands for the dot."""

    def change(state: dict[str, Tensor]) -> dict[str, Tensor]:
        new = {key.removeprefix("n").replace("_", "."): value for key, value in tensors.items()}
        return {key: value for key, value in (state | new).items() if value is not None}

    return change


NO_DECODER = "is no decoder: its convolutions do not end in 3 channels; give a network of adain_lit, a checkpoint of"
BAD_DECODERS: dict[str, tuple[Callable[[dict[str, Tensor]], Mapping[str, Tensor]], str]] = {
    "encoder": (lambda state: common_encoder().state_dict(), f"{{path}} {NO_DECODER}"),
    "other names": (
        lambda state: {f"up{key[0]}.{key}": value for key, value in state.items()},
        f"{{path}} {NO_DECODER}",
    ),
    "no convolution": (lambda state: {"fc.weight": torch.ones(3, 3)}, f"{{path}} {NO_DECODER}"),
    "too many": (
        changed(**{f"n0{i}_weight": torch.ones(3, 3, 3, 3) for i in range(8)}),
        "{path} has 17 convolutions; a decoder from relu3_1 has 5, one from relu4_1 has 9",
    ),
    "no bias": (
        changed(n14_bias=None),
        "14.bias of {path} is None; with the encoder {encoder} it must be (6,); give the encoder that the decoder was",
    ),
    "other widths": (
        changed(n14_weight=torch.ones(6, 9, 3, 3)),
        "14.weight of {path} is (6, 9, 3, 3); with the encoder {encoder} it must be (6, 8, 3, 3); give the encoder th",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_DECODERS.values(), ids=BAD_DECODERS)
def test_what_is_no_decoder_is_refused_in_one_line(
    decoder: Path, change: Callable[[dict[str, Tensor]], Mapping[str, Tensor]], message: str
) -> None:
    encoder = write_encoder(decoder.parent)
    torch.save(dict(change(common_decoder().state_dict())), decoder)
    with pytest.raises(InputError, match=f"^{re.escape(message.format(path=decoder, encoder=encoder))}") as caught:
        load_network(decoder)
    assert "\n" not in str(caught.value)


def test_decoder_without_its_encoder_is_refused(decoder: Path, tmp_path: Path) -> None:
    """Oracle: where one would be found; then one of other widths, and one that ends too early."""
    with pytest.raises(InputError, match=r"^vgg_normalised.pth is not in .*; put it there, name its folder in ADAIN_W"):
        load_network(decoder)
    other = write_encoder(tmp_path / "other", (4, 6, 8, 12, 12))
    with pytest.raises(InputError, match=rf"^1.weight of \S+ is \(8, 10, 3, 3\); with the encoder {other} it must be"):
        load_network(decoder, encoder=other)
    short = tmp_path / "short.pth"
    torch.save(common_encoder()[:26].state_dict(), short)
    with pytest.raises(InputError, match=rf"^{short} ends before conv4_1, which relu4_1 needs; "):
        load_network(decoder, encoder=short)
    with pytest.raises(InputError, match=r"^no encoder weights 'nowhere.pth': "):
        load_network(decoder, encoder="nowhere.pth")


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
@pytest.mark.parametrize("fusion", ["adain", "concat"])
@pytest.mark.parametrize(
    ("last", "skip_layers"), [("relu4_1", ()), ("relu2_2", ()), ("relu4_1", SKIP_LAYERS), ("relu3_1", ("relu2_2",))]
)
def test_own_file_gives_the_network_that_was_written(
    tmp_path: Path, fusion: str, norm: str, last: str, skip_layers: tuple[str, ...]
) -> None:
    """Oracle: the network before."""
    net = small_network(fusion=fusion, norm=norm, last=last, skip_layers=skip_layers)
    save_network(net, tmp_path / "own.safetensors", card={"steps": 3, "text": "a"}, half=False)
    loaded = load_network(str(tmp_path / "own.safetensors"))
    assert (loaded.config.fusion, loaded.config.norm, loaded.content_layer) == (fusion, norm, last)
    assert set(loaded.skip_layers) == set(skip_layers)
    assert torch.equal(image(loaded), image(net))
    assert not loaded.training


def test_own_file_remembers_the_widths_of_the_decoder(tmp_path: Path) -> None:
    """Oracle: the network before."""
    net = small_network(skip_layers=SKIP_LAYERS, decoder_widths=(5, 7, 9, 11))
    save_network(net, tmp_path / "own.safetensors", card={}, half=False)
    loaded = load_network(tmp_path / "own.safetensors")
    assert loaded.config.decoder_widths == [5, 7, 9, 11]
    assert torch.equal(image(loaded), image(net))


@pytest.mark.parametrize(
    ("key", "form", "plain"),
    [
        ("residual", {"residual": False}, True),
        ("residual", {"residual": True}, False),
        ("decoder_slope", {"decoder_slope": 0.2}, False),
    ],
)
def test_own_file_keeps_the_form_of_the_decoder(tmp_path: Path, key: str, form: dict[str, Any], plain: bool) -> None:
    """Oracle: the network before; a file from before there were shortcuts and slopes says nothing of them."""
    net, path = small_network(**form), tmp_path / "own.safetensors"
    save_network(net, path, card={}, half=False)
    assert torch.equal(image(load_network(path)), image(net))
    state, metadata = state_files.read_state_dict(path)
    save_file(dict(state), path, {name: value for name, value in metadata.items() if name != key})
    assert torch.equal(image(load_network(path)), image(net)) is plain


def test_own_file_with_something_missing_is_refused(tmp_path: Path) -> None:
    """Oracle: the message names the file and what is missing."""
    path = tmp_path / "own.safetensors"
    save_network(small_network(last="relu2_1"), path, card={})
    state, _ = state_files.read_state_dict(path)
    metadata = {"format": "adain_lit-1", "fusion": "adain", "norm": "none", "content_layer": "relu2_1"}
    metadata["skip_layers"] = "[]"
    for kept, given, words in (
        (("decoder.conv1_2.weight",), metadata, 'Missing key(s) in state_dict: "decoder.conv1_2.weight"'),
        (("encoder.conv2_1.weight",), metadata, ""),
        (tuple(key for key in state if key.startswith("encoder.")), metadata, ""),
        ((), {key: value for key, value in metadata.items() if key != "content_layer"}, ""),
        ((), metadata | {"skip_layers": '["relu1_1"]'}, "conv1_2.weight"),
    ):
        save_file({key: value for key, value in state.items() if key not in kept}, path, given)
        with pytest.raises(InputError) as caught:
            load_network(path)
        line = str(caught.value)
        assert "\n" not in line
        assert words in line
        assert str(path) in line or "decoder" in line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    """Checkpoint of a real run of two steps whose encoder came from a file."""
    folder = tmp_path_factory.mktemp("run")
    encoder = folder / "encoder.safetensors"
    save_file(load_encoder("random", widths=(8, 12, 16, 20, 20), last="relu4_1").state_dict(), encoder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        model = [f"model.encoder={encoder}", "model.encoder_preprocessing=imagenet", "model.norm=batch"]
        assert run_here(train.main, [*tiny(photographs, paintings), *model], patch) == 0
    return only_run(folder) / "checkpoints" / "last.ckpt"


def test_checkpoint_of_a_run_is_the_network_that_was_trained(run: Path) -> None:
    """Oracle: the module of the run, in evaluation."""
    module = StyleTransferModule.load_from_checkpoint(run, weights_only=True).eval()
    with torch.no_grad():
        expected = module(*PAIR)
    assert_same_picture(load_network(run), expected)
    assert not load_network(run).training


def test_checkpoint_of_a_run_stylises_without_the_extra_that_trains(run: Path, tmp_path: Path) -> None:
    """In a process that has neither Lightning nor Hydra nor anything else of the extra."""
    small("coffee.png").save(tmp_path / "photo.png")
    code = (
        "from adain_lit import export, stylize\n"
        "run = sys.argv[1]\n"
        "sys.argv[1:] = ['photo.png', '-s', 'photo.png', '--checkpoint', run, '--device', 'cpu', '-o', 'made.png']\n"
        "assert stylize.main() == 0\n"
        "sys.argv[1:] = [run, 'net.safetensors']\n"
        "assert export.main() == 0\n"
    )
    done = run_without(EXTRAS["train"], code, run, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "made.png").is_file()
    assert (tmp_path / "net.safetensors").is_file()


def test_the_folder_of_a_run_is_its_best_checkpoint(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the file itself; a bundled network comes before a folder of its name."""
    folder = run.parents[1]
    assert torch.equal(image(load_network(folder)), image(load_network(run.with_name("best.ckpt"))))
    assert isinstance(load_method(folder), StyleTransferNet)
    monkeypatch.chdir(tmp_path)
    Path("compact").mkdir()
    assert isinstance(load_method("compact"), StyleTransferNet)
    with pytest.raises(InputError, match=r"has no checkpoints/best.ckpt; give the folder of one run, or a file$"):
        load_network(tmp_path)


def test_checkpoint_finds_its_encoder_where_it_is_named_and_takes_no_other(run: Path, tmp_path: Path) -> None:
    """Oracle: the network with the encoder at its place; the same weights elsewhere, other weights, none."""
    expected = image(load_network(run))
    encoder = run.parents[4] / "encoder.safetensors"
    moved = tmp_path / "moved.safetensors"
    shutil.copy(encoder, moved)
    assert torch.equal(image(load_network(run, encoder=moved)), expected)
    state = load_file(encoder)
    save_file(state | {"conv2_1.bias": state["conv2_1.bias"] + 1e-3}, moved)
    with pytest.raises(InputError, match=rf"^the checkpoint was trained with other weights .* than encoder {moved} "):
        load_network(run, encoder=moved)
    with pytest.raises(InputError, match=r"^no encoder weights 'nowhere': "):
        load_network(run, encoder="nowhere")


def checkpoint_of(module: Any) -> dict[str, Any]:
    """What a trainer would write."""
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.mark.parametrize("loss_encoder", ["compact", None])
def test_checkpoint_needs_as_much_of_the_encoder_as_was_measured_with_it(
    tmp_path: Path, loss_encoder: str | None
) -> None:
    """Oracle: the module; its encoder ends at relu2_1 where the losses have a network of their own."""
    torch.manual_seed(0)
    settings = {"encoder": "random", "encoder_widths": "compact", "content_layer": "relu2_1"}
    module = StyleTransferModule(**settings, loss_encoder=loss_encoder).eval()
    module.normalize_encoder([PAIR[0]])
    torch.save(checkpoint_of(module), tmp_path / "loss.ckpt")
    net = load_network(tmp_path / "loss.ckpt")
    assert net.encoder.last == ("relu2_1" if loss_encoder else "relu4_1")
    with torch.no_grad():
        assert_same_picture(net, module(*PAIR))


def test_checkpoint_without_a_decoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.ckpt"
    torch.save(checkpoint_of(DistillationModule(teacher="compact")), path)
    message = f"{path} holds no decoder; train one, or give the checkpoint of a style transfer network"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_network(path)


class MakesAFolder:
    """Unpickling it makes a folder: harmless, and seen if it happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["decoder.pth", "last.ckpt", "net.safetensors", "net"])
def test_file_that_would_execute_code_is_refused_and_does_not(tmp_path: Path, name: str) -> None:
    """Oracle: the folder that the code makes; an unrestricted reader does make it."""
    path, trace = tmp_path / name, tmp_path / "executed"
    torch.save({"encoder": MakesAFolder(trace), "state_dict": common_decoder().state_dict()}, path)
    with pytest.raises(InputError, match=r"^cannot read (weights from|the checkpoint) ") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)
    assert not trace.exists()
    torch.load(path.rename(tmp_path / "evil.pth"), weights_only=False)
    assert trace.is_dir()


@pytest.mark.parametrize("name", ["nowhere.ckpt", "large"])
def test_what_is_no_file_is_refused_with_the_names_that_are_known(tmp_path: Path, name: str) -> None:
    message = f"no network {str(tmp_path / name)!r}: neither a file nor compact, the bundled one; give a path"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_network(tmp_path / name)


def test_bundled_files_are_those_that_the_package_was_made_with() -> None:
    """Oracle: every one has its checksum, loads, and says of itself what it is; the network's encoder is its own."""
    net = load_network("compact")
    assert net.config.fusion == "adain"
    assert torch.equal(image(load_network(bundled_file("compact"))), image(net))
    encoders = {name: load_encoder(name) for name in BUNDLED}
    for encoder in encoders.values():
        assert (encoder.last, encoder.widths) == ("relu4_1", (16, 32, 64, 128, 128))
    for key, value in net.encoder.state_dict().items():
        assert torch.equal(encoders["compact"].state_dict()[key], value)


def test_changed_or_missing_bundled_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: a package with a file of one other bit, and one without it; the unchanged copy serves."""
    copy = tmp_path / "models" / "compact.safetensors"
    copy.parent.mkdir()
    data = bundled_file("compact").read_bytes()
    copy.write_bytes(data)
    monkeypatch.setattr(state_files, "__file__", str(tmp_path / "files.py"))
    load_network("compact")
    copy.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    found = rf"^{copy} has SHA-256 [0-9a-f]{{12}}, the package was made with {BUNDLED['compact'][:12]}; install adain"
    for read in (load_network, load_encoder):
        with pytest.raises(InputError, match=found):
            read("compact")
    small("coffee.png").save(tmp_path / "photograph.png")
    photograph = str(tmp_path / "photograph.png")
    arguments = [photograph, "--style", photograph, "-o", str(tmp_path / "x.png")]
    assert run_here(stylize.main, arguments, monkeypatch) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.match(found, line.removeprefix("adain_lit.stylize: error: "))
    assert not (tmp_path / "x.png").exists()
    copy.unlink()
    with pytest.raises(
        InputError, match=r"^the installed package has no compact.safetensors; install adain_lit again$"
    ):
        load_network("compact")


def test_weights_are_aligned_whatever_the_file(tmp_path: Path) -> None:
    """Oracle: the file, whose header has an odd length here; kernels round otherwise on unaligned memory."""
    path = tmp_path / "net.safetensors"
    for letters in range(8):
        save_network(load_network("compact"), path, card={"note": "x" * letters}, half=False)
        assert all(p.data_ptr() % 16 == 0 for p in load_network(path).parameters()), letters
