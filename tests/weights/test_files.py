"""Weights as people bring them: wrapped, nested, in other precisions, damaged, and made to harm."""

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.nets import Decoder
from adain_lit.weights import load_encoder, load_network, save_network
from adain_lit.weights.files import bundled_file, read_checkpoint, read_state_dict
from support.networks import small_network

WRAPPERS: dict[str, Callable[[Mapping[str, Tensor]], Mapping[str, Any]]] = {
    "as it is": dict,
    "DataParallel": lambda state: {f"module.{key}": x for key, x in state.items()},
    "torch.compile": lambda state: {f"_orig_mod.{key}": x for key, x in state.items()},
    "both": lambda state: {f"module._orig_mod.{key}": x for key, x in state.items()},
    "one level deeper": lambda state: {"decoder": dict(state), "step": 3},
    "beside an encoder": lambda state: {"decoder": dict(state), "encoder": {"0.weight": torch.ones(3, 3, 1, 1)}},
    "nested and wrapped": lambda state: {"decoder": {f"module.{key}": x for key, x in state.items()}},
    "a prefix": lambda state: {f"model.{key}": x for key, x in state.items()},
    "Lightning": lambda state: {"state_dict": {f"net.decoder.{key}": x for key, x in state.items()}},
}


@pytest.fixture(scope="module")
def encoder_state() -> dict[str, Tensor]:
    """The encoder of the bundled network."""
    state = load_file(bundled_file("compact"))
    return {key.removeprefix("encoder."): x for key, x in state.items() if key.startswith("encoder.")}


@pytest.fixture
def decoder_state() -> dict[str, Tensor]:
    """A decoder from relu4_1 for that encoder."""
    torch.manual_seed(0)
    return Decoder("compact").state_dict()


def peak() -> int:
    """Peak memory of this process in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrapped_decoder_is_the_decoder(
    wrap: Callable[..., Any], decoder_state: dict[str, Tensor], tmp_path: Path
) -> None:
    """Oracle: its weights before they were wrapped."""
    torch.save(wrap(decoder_state), tmp_path / "decoder.pth")
    net = load_network(tmp_path / "decoder.pth", encoder="compact")
    assert all(torch.equal(x, decoder_state[key]) for key, x in net.decoder.state_dict().items())


@pytest.mark.parametrize("name", ["encoder", "vgg"])
def test_nested_encoder_is_the_encoder(name: str, encoder_state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({name: {f"module.{key}": x for key, x in encoder_state.items()}}, tmp_path / "encoder.pth")
    encoder = load_encoder(tmp_path / "encoder.pth", preprocessing="rgb")
    assert all(torch.equal(x, encoder_state[key].float()) for key, x in encoder.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_in_another_precision_are_converted(
    dtype: torch.dtype, decoder_state: dict[str, Tensor], tmp_path: Path
) -> None:
    state = {key: x.to(dtype) for key, x in decoder_state.items()}
    torch.save(state, tmp_path / "decoder.pth")
    net = load_network(tmp_path / "decoder.pth", encoder="compact")
    assert {x.dtype for x in net.state_dict().values()} == {torch.float32}
    assert all(torch.equal(x, state[key].float()) for key, x in net.decoder.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["decoder.pth", "net.safetensors", "encoder.pth", "last.ckpt"])
def test_weights_that_are_not_finite_are_refused(
    name: str, value: float, encoder_state: dict[str, Tensor], decoder_state: dict[str, Tensor], tmp_path: Path
) -> None:
    """They gave black images."""
    path = tmp_path / name
    if name == "net.safetensors":
        net = small_network()
        net.decoder.get_parameter("conv1_1.bias").data[1] = value
        save_network(net, path, card={})
    else:
        state = encoder_state if name == "encoder.pth" else decoder_state
        state["conv1_1.bias"] = state["conv1_1.bias"].clone().fill_(value)
        torch.save({"state_dict": state, "encoder": {}} if name == "last.ckpt" else state, path)
    load: Callable[[Path], object] = {"encoder.pth": load_encoder, "last.ckpt": read_checkpoint}.get(
        name, lambda path: load_network(path, encoder="compact")
    )
    with pytest.raises(InputError, match=r"^\S+ of \S+ has values that are not finite: its training diverged, or"):
        load(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"decoder_widths": "[30000, 30000, 30000, 30000]"},
        {"decoder_widths": "[1000000000000, 8, 8, 8]"},
        {"decoder_widths": '"many"'},
        {"decoder_widths": "[" * 100_000},
        {"skip_layers": "[1, 2]"},
        {"residual": '"yes"'},
        {"decoder_slope": "NaN"},
        {"content_layer": "relu9_9"},
        {"fusion": "none"},
    ],
    ids=lambda metadata: str(metadata)[:40],
)
def test_metadata_is_not_believed(metadata: dict[str, str], tmp_path: Path) -> None:
    """Widths in it allocated 4.9 GB before the tensors were looked at."""
    path = tmp_path / "net.safetensors"
    state, own = read_state_dict(bundled_file("compact"))
    save_file(state, path, own | metadata)
    before = peak()
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert peak() - before < 200_000


def test_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"0.weight": torch.zeros(1, dtype=torch.half).expand(1_000_000, 1_000_000)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"^0.weight of \S+ is \(1000000, 1000000\), more than the file holds"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("odd", [torch.ones(2, dtype=torch.complex64), torch.eye(2).to_sparse()])
def test_odd_tensors_are_refused(odd: Tensor, tmp_path: Path) -> None:
    torch.save({"0.weight": odd}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"0.weight of \S+ is no plain tensor|cannot read weights"):
        read_state_dict(tmp_path / "a.pth")


SETTINGS: dict[str, Any] = {
    "fusion": "adain",
    "train_encoder": False,
    "loss_encoder": None,
    "style_layers": ["relu1_1"],
    "encoder": "compact",
    "encoder_widths": None,
    "encoder_preprocessing": "auto",
}


@pytest.fixture
def checkpoint(decoder_state: dict[str, Tensor]) -> dict[str, Any]:
    return {
        "hyper_parameters": dict(SETTINGS),
        "encoder": {"sha256": "0", "mean_activations": None},
        "state_dict": {f"net.decoder.{key}": x for key, x in decoder_state.items()},
    }


@pytest.mark.parametrize(
    "change",
    [
        {"fusion": 3},
        {"fusion": ["adain"]},
        {"train_encoder": None, "encoder": None},
        {"style_layers": "relu1_1"},
        {"style_layers": 5},
        {"encoder": 5},
        {"encoder": "random", "encoder_widths": [10**6] * 5},
        {"encoder_preprocessing": {}},
        {"content_layer": "conv"},
        {"decoder_widths": [2**40] * 4},
        {"skip_layers": None},
    ],
    ids=str,
)
def test_odd_hyper_parameters_are_one_line(change: dict[str, Any], checkpoint: dict[str, Any], tmp_path: Path) -> None:
    checkpoint["hyper_parameters"] |= change
    torch.save(checkpoint, tmp_path / "last.ckpt")
    before = peak()
    with pytest.raises(InputError) as caught:
        load_network(tmp_path / "last.ckpt")
    assert "\n" not in str(caught.value)
    assert peak() - before < 200_000


@pytest.mark.parametrize("missing", [*SETTINGS, "hyper_parameters", "state_dict", "mean_activations"])
def test_checkpoint_that_lacks_something_is_one_line(missing: str, checkpoint: dict[str, Any], tmp_path: Path) -> None:
    for level in (checkpoint["encoder"], checkpoint["hyper_parameters"], checkpoint):
        level.pop(missing, None)
    torch.save(checkpoint, tmp_path / "last.ckpt")
    with pytest.raises(InputError) as caught:
        load_network(tmp_path / "last.ckpt")
    assert "\n" not in str(caught.value)
