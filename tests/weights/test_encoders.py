"""Encoder weights in every layout give the same features, and unusable files are refused, never executed."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VGG19_Weights, vgg19

from adain_lit.errors import InputError
from adain_lit.nets.vgg import VGGEncoder
from adain_lit.weights.encoders import checksum, load_encoder
from adain_lit.weights.files import read_checkpoint, read_state_dict

WIDTHS = (4, 6, 8, 10, 12)
CONVS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4"),
    *("conv4_1", "conv4_2", "conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3", "conv5_4"),
)
State = dict[str, Tensor]


def plain_weights(seed: int = 0) -> State:
    """A narrow VGG-19 to relu5_4 under its VGG names."""
    generator = torch.Generator().manual_seed(seed)
    state, channels = {}, 3
    for name in CONVS:
        width = WIDTHS[int(name[4]) - 1]
        state[f"{name}.weight"] = torch.randn(width, channels, 3, 3, generator=generator) * (2 / (9 * channels)) ** 0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=generator)
        channels = width
    return state


def until(state: State, last: str) -> State:
    """The convolutions up to `last`."""
    names = CONVS[: CONVS.index(last) + 1]
    return {key: value for key, value in state.items() if key.split(".")[0] in names}


def renamed(state: State, numbers: list[int], prefix: str) -> State:
    """The same tensors under numbers."""
    keys = dict(zip(CONVS, numbers, strict=False))
    return {f"{prefix}{keys[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in state.items()}


def as_torchvision(state: State) -> State:
    """The keys of torchvision's own vgg19, its classifier included."""
    with torch.device("meta"):
        theirs = vgg19(weights=None)
    numbers = [i for i, module in enumerate(theirs.features) if isinstance(module, nn.Conv2d)]
    classifier = {key: torch.ones(2, 2) for key in theirs.state_dict() if key.startswith("classifier")}
    return renamed(state, numbers, "features.") | classifier


def as_vgg_normalised(state: State) -> State:
    """vgg_normalised.pth: a Sequential of 1x1 conv, then pad, conv, ReLU again and again, pooling between."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    for i, name in enumerate(CONVS):
        if i and name.endswith("_1"):
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(1, 1, 3), nn.ReLU()]
    numbers = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert numbers[9] == 29  # conv4_1; its ReLU is the last of [:31], where the common PyTorch code cuts
    return {"0.weight": MATRIX.view(3, 3, 1, 1), "0.bias": SHIFT} | renamed(state, numbers[1:], "")


MATRIX = torch.tensor([[0.0, 0.0, 255.0], [0.0, 255.0, 0.0], [255.0, 0.0, 0.0]])
SHIFT = -torch.tensor([103.939, 116.779, 123.68])

PREPROCESS: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": lambda x: x,
    "imagenet": lambda x: (
        (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    ),
    "caffe": lambda x: 255 * x.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1),
}


def features_by_hand(state: State, images: Tensor, preprocessing: str, last: str) -> Tensor:
    """Preprocessing, then reflection, convolution and ReLU one after the other, and pooling before a new block."""
    x = PREPROCESS[preprocessing](images)
    for i, name in enumerate(CONVS):
        if i and name.endswith("_1"):
            x = F.max_pool2d(x, 2, ceil_mode=True)
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = F.relu(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"]))
        if name == last.replace("relu", "conv"):
            break
    return x


def assert_features_match(encoder: VGGEncoder, state: State, preprocessing: str, last: str = "relu4_1") -> None:
    images = torch.rand(2, 3, 33, 20, generator=torch.Generator().manual_seed(5))
    expected = features_by_hand(state, images, preprocessing, last)
    with torch.no_grad():
        actual = encoder(images)[last]
    assert expected.max() > 0
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.max().item())


def save(state: State, path: Path, metadata: dict[str, str] | None = None) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path, metadata)
    else:
        torch.save(state, path)
    return path


def with_preprocess(state: State) -> State:
    return state | {"preprocess.weight": MATRIX.view(3, 3, 1, 1), "preprocess.bias": SHIFT}


LAYOUTS: dict[str, tuple[Callable[[State], State], str, str]] = {
    "named": (dict, "rgb", "rgb"),
    "named with preprocess": (with_preprocess, "auto", "caffe"),
    "torchvision": (as_torchvision, "auto", "imagenet"),
    "vgg_normalised": (as_vgg_normalised, "auto", "caffe"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(("layout", "argument", "expected"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("last", ["relu4_1", "relu5_4", "relu1_2"])
def test_every_layout_gives_the_features_of_the_weights(
    tmp_path: Path, layout: Callable[[State], State], argument: str, expected: str, suffix: str, last: str
) -> None:
    """Oracle: the same weights convolved by hand, with the preprocessing that the layout stands for."""
    state = plain_weights()
    path = save(layout(state), tmp_path / f"encoder{suffix}")
    encoder = load_encoder(str(path), last=last, preprocessing=argument)
    assert encoder.last == last
    assert_features_match(encoder, state, expected, last)


@pytest.mark.parametrize(("layout", "key"), [(with_preprocess, "preprocess"), (as_vgg_normalised, "0")])
def test_a_file_s_own_1x1_convolution_is_applied_first(
    tmp_path: Path, layout: Callable[[State], State], key: str
) -> None:
    """Oracle: the image through that convolution, whose matrix is not symmetric, then the weights by hand."""
    state, images = plain_weights(), torch.rand(1, 3, 20, 17)
    own = torch.tensor([[0.5, 1.0, -2.0], [3.0, 0.1, 0.7], [-1.0, 4.0, 0.2]]).view(3, 3, 1, 1)
    path = save(layout(state) | {f"{key}.weight": own}, tmp_path / "own.safetensors")
    expected = features_by_hand(state, F.conv2d(images, own, SHIFT), "rgb", "relu2_1")
    actual = load_encoder(path, last="relu2_1")(images)["relu2_1"]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * expected.max().item())


@pytest.mark.parametrize("preprocessing", PREPROCESS)
def test_preprocessing_can_be_given(tmp_path: Path, preprocessing: str) -> None:
    """Oracle: the image preprocessed by hand; what is given overrides what the file tells."""
    state = plain_weights()
    for name, layout in (("named", dict), ("torchvision", as_torchvision)):
        path = save(layout(state), tmp_path / f"{name}.pth")
        assert_features_match(load_encoder(path, preprocessing=preprocessing), state, preprocessing)


@pytest.mark.parametrize("text", ["BGR", "BGR 0..255 minus (103.939, 116.779, 123.68)"])
def test_metadata_bgr_means_caffe(tmp_path: Path, text: str) -> None:
    """Oracle: BGR in 0..255 minus the mean pixel by hand."""
    state = plain_weights()
    path = save(state, tmp_path / "caffe.safetensors", {"input": text})
    assert_features_match(load_encoder(path), state, "caffe")


@pytest.mark.parametrize("metadata", [None, {"input": "RGB"}, {"note": "BGR"}])
def test_file_that_does_not_tell_its_input_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    """Oracle: guessing would give wrong features silently, so the message asks for model.encoder_preprocessing."""
    path = save(plain_weights(), tmp_path / "plain.safetensors", metadata)
    message = f"{path} does not say what input it expects; set model.encoder_preprocessing to imagenet"
    with pytest.raises(InputError, match=re.escape(message)):
        load_encoder(path)


def test_unknown_preprocessing_is_refused_and_the_known_ones_are_listed() -> None:
    message = r"^unknown preprocessing 'bgr' of the encoder; known are auto, rgb, imagenet, caffe$"
    with pytest.raises(InputError, match=message):
        load_encoder("random", preprocessing="bgr")


def test_file_tells_its_widths_and_a_half_precision_file_is_widened(tmp_path: Path) -> None:
    """Oracle: the shapes in the file; deeper blocks than it has are as wide as its last."""
    state = {key: value.half() for key, value in plain_weights().items()}
    encoder = load_encoder(save(state, tmp_path / "half.pth"), widths="vgg19", last="relu3_1", preprocessing="rgb")
    assert encoder.widths == (4, 6, 8, 8, 8)
    assert encoder.conv3_1.weight.dtype == torch.float32
    assert torch.equal(encoder.conv3_1.weight, state["conv3_1.weight"].float())


def test_state_dict_inside_a_checkpoint_is_found(tmp_path: Path) -> None:
    """Oracle: the same file without the wrapping."""
    state = plain_weights()
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "wrapped.pth")
    assert_features_match(load_encoder(tmp_path / "wrapped.pth", preprocessing="rgb"), state, "rgb")


@pytest.mark.parametrize("has", ["conv3_4", "conv2_1", "conv1_1"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_that_ends_early_names_the_missing_convolution(tmp_path: Path, has: str, layout: str) -> None:
    """Oracle: the convolution after the last in the file; up to that one the file serves."""
    convert, argument, expected = LAYOUTS[layout]
    path = save(convert(until(plain_weights(), has)), tmp_path / "short.safetensors")
    missing, last = CONVS[CONVS.index(has) + 1], has.replace("conv", "relu")
    message = f"{path} ends before {missing}, which relu4_1 needs; give weights that reach relu4_1"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_encoder(path, preprocessing=argument)
    assert_features_match(load_encoder(path, last=last, preprocessing=argument), plain_weights(), expected, last)


def without(state: State, key: str) -> State:
    return {k: v for k, v in state.items() if k != key}


BATCH_NORM = {"features.1.weight": torch.ones(4), "features.1.running_mean": torch.ones(4)}
NOT_VGG: dict[str, tuple[Callable[[State], State], str]] = {
    "no convolution": (
        lambda state: {"layer1.0.weight": torch.ones(3, 3)},
        "is no VGG-19: it has neither conv1_1.weight, features.0.weight nor 0.weight",
    ),
    "linear layers": (
        lambda state: {"0.weight": torch.ones(3, 3), "0.bias": torch.ones(3)},
        "is no VGG-19: it has neither conv1_1.weight, features.0.weight nor 0.weight",
    ),
    "batch norm": (lambda state: as_torchvision(state) | BATCH_NORM, "has batch normalisation, which VGG-19 has not"),
    "no bias": (
        lambda state: without(state, "conv2_1.bias"),
        "has conv2_1.weight but no conv2_1.bias; the convolutions of VGG-19 have both",
    ),
    "no bias of the first number": (
        lambda state: without(as_vgg_normalised(state), "0.bias"),
        "has 0.weight but no 0.bias; the convolutions of VGG-19 have both",
    ),
    "5x5": (
        lambda state: state | {"conv2_2.weight": torch.ones(6, 6, 5, 5)},
        "conv2_2 of {path} is (6, 6, 5, 5); VGG needs (6, 6, 3, 3)",
    ),
    "channels that do not follow": (
        lambda state: state | {"conv3_1.weight": torch.ones(8, 7, 3, 3)},
        "conv3_1 of {path} is (8, 7, 3, 3); VGG needs (8, 6, 3, 3)",
    ),
}


@pytest.mark.parametrize(("change", "message"), NOT_VGG.values(), ids=NOT_VGG)
def test_weights_of_another_network_are_refused(tmp_path: Path, change: Callable[[State], State], message: str) -> None:
    """Oracle: the message names the file and what is wrong; vgg19_bn's convolutions alone would give wrong features."""
    path = save(change(plain_weights()), tmp_path / "other.pth")
    expected = message.format(path=path) if "{path}" in message else f"{path} {message}"
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        load_encoder(path, preprocessing="rgb")


@pytest.mark.parametrize("name", ["missing.pth", "vgg16", "folder"])
def test_missing_file_and_unknown_name_are_refused_alike(tmp_path: Path, name: str) -> None:
    """Oracle: a name may be a mistyped path or the reverse, so the message lists both."""
    (tmp_path / "folder").mkdir()
    for weights in (tmp_path / name, str(tmp_path / name)):
        message = (
            f"no encoder weights {str(weights)!r}: neither distilled, compact, torchvision, vgg_normalised or random, "
            "nor a file; give the path of a .safetensors or .pth file"
        )
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            load_encoder(weights)


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's cache in a new folder, and no ADAIN_WEIGHTS."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("ADAIN_WEIGHTS", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.mark.parametrize("place", ["ADAIN_WEIGHTS", "cache", "both"])
def test_vgg_normalised_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path, place: str
) -> None:
    """Oracle: the file's weights by hand; ADAIN_WEIGHTS goes before torch's cache."""
    ours, other = plain_weights(), plain_weights(seed=1)
    empty_cache.mkdir(parents=True)
    if place != "cache":
        (tmp_path / "own").mkdir()
        monkeypatch.setenv("ADAIN_WEIGHTS", str(tmp_path / "own"))
        save(as_vgg_normalised(ours), tmp_path / "own" / "vgg_normalised.pth")
    if place != "ADAIN_WEIGHTS":
        save(as_vgg_normalised(ours if place == "cache" else other), empty_cache / "vgg_normalised.pth")
    assert_features_match(load_encoder("vgg_normalised"), ours, "caffe")


@pytest.mark.parametrize("set_it", [False, True])
def test_missing_vgg_normalised_is_told_in_one_line_with_its_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_cache: Path, set_it: bool
) -> None:
    """Oracle: one line with every folder that was searched."""
    if set_it:
        monkeypatch.setenv("ADAIN_WEIGHTS", str(tmp_path / "own"))
    places = f"{tmp_path / 'own'} or {empty_cache}" if set_it else str(empty_cache)
    message = f"vgg_normalised.pth is not in {places}; put it there, name its folder in ADAIN_WEIGHTS, or give its path"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        load_encoder("vgg_normalised")


def test_torchvision_weights_are_taken_with_their_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the state dict that torchvision would hand over, ImageNet's mean and std by hand."""
    state = plain_weights()
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", lambda self, **kwargs: as_torchvision(state))
    assert_features_match(load_encoder("torchvision"), state, "imagenet")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("Temporary failure in name resolution"), "(Temporary failure in name resolution)"),
        (PermissionError("no permission to write the cache"), "(no permission to write the cache)"),
        (
            RuntimeError('invalid hash value (expected "dcbb9e9d", got "00")'),
            '(invalid hash value (expected "dcbb9e9d"',
        ),
        (pickle.UnpicklingError("invalid load key"), "(invalid load key"),
    ],
    ids=["no network", "cache not writable", "wrong hash", "damaged file in the cache"],
)
def test_torchvision_weights_that_cannot_be_had_name_the_file_and_its_place(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path, error: Exception, reason: str
) -> None:
    """Oracle: one line with torchvision's URL, the reason, and the folder where a copied file would be found."""

    def get_state_dict(self: VGG19_Weights, **kwargs: object) -> State:
        raise error

    monkeypatch.setattr(VGG19_Weights, "get_state_dict", get_state_dict)
    with pytest.raises(InputError, match=r"^torchvision could not fetch https://\S+/vgg19-dcbb9e9d.pth \(") as caught:
        load_encoder("torchvision")
    message = str(caught.value)
    assert reason in message
    assert f"put that file into {empty_cache}, or set model.encoder to a path or to random" in message
    assert "\n" not in message


class MakesAFolder:
    """Unpickling it makes a folder: harmless, and seen if it happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.folder,)


READERS: dict[str, Callable[[Path], object]] = {
    "encoder": lambda path: load_encoder(path, preprocessing="rgb"),
    "state dict": read_state_dict,
    "checkpoint": read_checkpoint,
}
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@pytest.mark.parametrize("zipped", [True, False])
@each_reader
def test_pickle_that_would_execute_code_is_refused_and_does_not(
    tmp_path: Path, read: Callable[[Path], object], zipped: bool
) -> None:
    """Oracle: the folder that the code makes; an unrestricted reader does make it."""
    path, trace = tmp_path / "evil.pth", tmp_path / "executed"
    torch.save({"encoder": MakesAFolder(trace)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"^cannot read .*evil\.pth: UnpicklingError; "):
        read(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.is_dir()


PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
DAMAGED = {
    "empty": b"",
    "text": b"hello, this is a note about the weights\n",  # 'h' and '.' are valid pickle instructions
    "sentence": b"Just text.",
    "dot": b".",
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "web page": b"<!DOCTYPE html><html><title>404</title></html>",
    "png": PNG,
    "zip": b"PK\x03\x04" + bytes(30),
    "zeros": bytes(200),
}


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.ckpt"])
@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
@each_reader
def test_other_files_under_these_names_are_refused_in_one_line(
    tmp_path: Path, read: Callable[[Path], object], data: bytes, name: str
) -> None:
    """Oracle: the message names the file and says what is needed."""
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(
        InputError, match=rf"^cannot read (weights from|the checkpoint) .*{re.escape(name)}: \w+; "
    ) as e:
        read(path)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_file_cut_off_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    """Oracle: the whole file is read, its beginning is not."""
    path = save(plain_weights(), tmp_path / f"cut{suffix}")
    load_encoder(path, preprocessing="rgb")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"^cannot read weights from .*cut.*: \w+; a .safetensors file or a PyTorch"):
        load_encoder(path, preprocessing="rgb")


@pytest.mark.parametrize("thing", [{}, {"epoch": 3}, [torch.ones(3)], 7, torch.ones(3)])
def test_pytorch_file_without_a_state_dict_is_refused(tmp_path: Path, thing: object) -> None:
    path = tmp_path / "thing.pth"
    torch.save(thing, path)
    with pytest.raises(
        InputError, match=rf"^{re.escape(str(path))} holds no tensors; a state dict of a VGG-19 is needed$"
    ):
        load_encoder(path)


def test_checksum_belongs_to_the_weights_alone(tmp_path: Path) -> None:
    """Oracle: the same weights from another file, layout and memory format agree; any one changed number does not."""
    state = plain_weights()
    one = load_encoder(save(state, tmp_path / "a.pth"), preprocessing="imagenet")
    same = load_encoder(save(as_torchvision(state), tmp_path / "b.safetensors"))
    first = checksum(one)
    assert re.fullmatch(r"[0-9a-f]{64}", first)
    assert checksum(same) == first
    assert checksum(same.to(memory_format=torch.channels_last)) == first
    for name in ("conv1_1", "conv3_2", "conv4_1"):
        for kind in ("weight", "bias"):
            changed = load_encoder(tmp_path / "a.pth", preprocessing="imagenet")
            getattr(getattr(changed, name), kind).data.view(-1)[-1] += 1e-3
            assert checksum(changed) != first


def test_random_encoder_has_the_asked_widths_and_is_the_same_every_time() -> None:
    """Oracle: the widths, and the checksum of a second one under another global seed."""
    torch.manual_seed(1)
    one = load_encoder("random", widths="compact", last="relu3_1")
    torch.manual_seed(2)
    assert checksum(load_encoder("random", widths="compact", last="relu3_1")) == checksum(one)
    assert (one.widths, one.last) == ((16, 32, 64, 128, 128), "relu3_1")
    assert load_encoder("random", last="relu1_2").widths == (64, 128, 256, 512, 512)


def test_checkpoint_comes_back_as_written(tmp_path: Path) -> None:
    """Oracle: what was saved."""
    torch.save({"encoder": {"name": "random"}, "state_dict": {"w": torch.arange(3)}}, tmp_path / "last.ckpt")
    checkpoint = read_checkpoint(str(tmp_path / "last.ckpt"))
    assert checkpoint["encoder"] == {"name": "random"}
    assert torch.equal(checkpoint["state_dict"]["w"], torch.arange(3))


@pytest.mark.parametrize("thing", [{"state_dict": {"w": torch.ones(2)}, "epoch": 1}, torch.ones(3), ["encoder"], {}])
def test_checkpoint_of_another_project_is_refused(tmp_path: Path, thing: object) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save(thing, path)
    message = f"{path} is no checkpoint of adain_lit; give the path of a .ckpt file of a run"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_checkpoint(path)


def test_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    message = f"no checkpoint {tmp_path / 'last.ckpt'}; give the path of a .ckpt file of a run"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_checkpoint(tmp_path / "last.ckpt")
