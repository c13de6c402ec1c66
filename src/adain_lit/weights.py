"""Encoder weights by name or from a file, whatever the layout of its keys."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.nets.vgg import VGGEncoder, block_of, conv_names, fold_preprocessing, initialise_randomly

PREPROCESSING: dict[str, tuple[Tensor, Tensor]] = {
    "rgb": (torch.eye(3), torch.zeros(3)),
    # torchvision: (rgb - mean) / std, https://docs.pytorch.org/vision/stable/models.html
    "imagenet": (
        torch.diag(1 / torch.tensor([0.229, 0.224, 0.225])),
        -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225]),
    ),
    # Caffe: BGR in 0..255 minus the mean pixel, as in the authors' models
    "caffe": (255 * torch.eye(3).flip(0), -torch.tensor([103.939, 116.779, 123.68])),
}
"""What weights expect of their input, as ``matrix @ rgb + shift`` of RGB in [0, 1]."""

NAMED_FILES = {"vgg_normalised": "vgg_normalised.pth"}


def load_encoder(
    weights: str | Path,
    *,
    widths: str | tuple[int, ...] | None = None,
    last: str = "relu4_1",
    preprocessing: str = "auto",
) -> VGGEncoder:
    """Build an encoder and fill it.

    Args:
        weights: ``torchvision`` (VGG-19, fetched by torchvision into its cache), ``vgg_normalised`` (the file
            vgg_normalised.pth of the common PyTorch code, in the folder $ADAIN_WEIGHTS or in torch's cache),
            ``random`` (He initialisation from a fixed seed) or the path of a .safetensors or .pth file.
        widths: channels of the blocks of ``random`` weights, ``vgg19`` by default; a file tells its own.
        last: the deepest layer that is needed.
        preprocessing: what the weights expect: ``rgb``, ``imagenet``, ``caffe``, or ``auto`` to tell from the file.

    Raises:
        InputError: if weights are missing, unreadable, of an unknown layout, or end before `last`.
    """
    if preprocessing != "auto" and preprocessing not in PREPROCESSING:
        known = ", ".join(["auto", *PREPROCESSING])
        raise InputError(f"unknown preprocessing {preprocessing!r} of the encoder; known are {known}")
    if str(weights) == "random":
        encoder = VGGEncoder(widths or "vgg19", last)
        initialise_randomly(encoder)
        return encoder
    if str(weights) == "torchvision":
        state, metadata = _torchvision_vgg19(), dict[str, str]()
        source = "torchvision's VGG-19"
    else:
        path = _find_file(weights)
        state, metadata = read_state_dict(path)
        source = str(path)
    convs, own = _recognise(state, metadata, source)
    missing = [name for name in conv_names(last) if name not in convs]
    if missing:
        raise InputError(f"{source} ends before {missing[0]}, which {last} needs; give weights that reach {last}")
    encoder = VGGEncoder(_widths(convs, last), last)
    for name, conv in encoder.convs():
        weight, bias = convs[name]
        if weight.shape != conv.weight.shape:
            raise InputError(f"{name} of {source} is {tuple(weight.shape)}; VGG needs {tuple(conv.weight.shape)}")
        assert conv.bias is not None
        conv.weight.data.copy_(weight)
        conv.bias.data.copy_(bias)
    matrix, shift = own if preprocessing == "auto" and own else _named_preprocessing(preprocessing, source)
    fold_preprocessing(encoder.conv1_1, matrix, shift)  # type: ignore[arg-type]
    return encoder


def checksum(encoder: VGGEncoder) -> str:
    """SHA-256 of an encoder's weights, as hexadecimal digits."""
    digest = hashlib.sha256()
    for _, conv in encoder.convs():
        for tensor in (conv.weight, conv.bias):
            assert tensor is not None
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a .safetensors file, or of a PyTorch file read without executing anything from it."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged file torch's reader raises nearly every type
        raise InputError(
            f"cannot read weights from {path}: {type(error).__name__}; a .safetensors file or a PyTorch state dict "
            "of plain tensors is needed"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors; a state dict of a VGG-19 is needed")
    return tensors, {}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A checkpoint of a training run, read without executing anything from it.

    Raises:
        InputError: if it is missing, damaged, or not a checkpoint of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; give the path of a .ckpt file of a run")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on a damaged file torch's reader raises nearly every type
        raise InputError(
            f"cannot read the checkpoint {path}: {type(error).__name__}; it is damaged or no checkpoint"
        ) from error
    if not isinstance(checkpoint, dict) or "encoder" not in checkpoint:
        raise InputError(f"{path} is no checkpoint of adain_lit; give the path of a .ckpt file of a run")
    return checkpoint


def _find_file(weights: str | Path) -> Path:
    name = NAMED_FILES.get(str(weights))
    if name is None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"no encoder weights {str(weights)!r}: neither torchvision, vgg_normalised or random, nor a file; "
                "give the path of a .safetensors or .pth file"
            )
        return path
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if "ADAIN_WEIGHTS" in os.environ:
        folders.insert(0, Path(os.environ["ADAIN_WEIGHTS"]))
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    places = " or ".join(str(folder) for folder in folders)
    raise InputError(f"{name} is not in {places}; put it there, name its folder in ADAIN_WEIGHTS, or give its path")


def _torchvision_vgg19() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights  # seconds to import, and needed here alone

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = dict(weights.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # no network, a wrong hash, or a damaged file in the cache
        reason = getattr(error, "reason", error)
        raise InputError(
            f"torchvision could not fetch {weights.url} ({reason}); put that file into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or set model.encoder to a path or to random"
        ) from error
    return state


def _recognise(
    state: Mapping[str, Tensor], metadata: Mapping[str, str], source: str
) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[Tensor, Tensor] | None]:
    """Convolutions by their VGG names, and the preprocessing where the file tells it.

    Known layouts: ``conv1_1.weight`` with an optional 1x1 ``preprocess`` (or metadata ``input`` that begins with
    BGR for Caffe's), ``features.0.weight`` (torchvision) and ``0.weight`` with a leading 1x1 (vgg_normalised.pth).
    """
    if any(key.endswith(".running_mean") for key in state):
        raise InputError(f"{source} has batch normalisation, which VGG-19 has not; give weights of the plain VGG-19")
    if "conv1_1.weight" in state:
        named = {key.removesuffix(".weight") for key in state if re.fullmatch(r"conv\d_\d\.weight", key)}
        convs = {name: _conv(state, name, source) for name in named}
        if "preprocess.weight" in state:
            matrix, shift = _conv(state, "preprocess", source)
            return convs, (matrix.flatten(1), shift)
        return convs, PREPROCESSING["caffe"] if metadata.get("input", "").startswith("BGR") else None
    numbered = sorted(
        (int(match[2]), match[1])
        for key, tensor in state.items()
        if (match := re.fullmatch(r"(?:(features)\.)?(\d+)\.weight", key)) and tensor.ndim == 4
    )
    if not numbered:
        raise InputError(f"{source} is no VGG-19: it has neither conv1_1.weight, features.0.weight nor 0.weight")
    keys = [f"{prefix}.{index}" if prefix else str(index) for index, prefix in numbered]
    own = PREPROCESSING["imagenet"] if keys[0].startswith("features") else None
    if state[f"{keys[0]}.weight"].shape[2:] == (1, 1):
        first = keys.pop(0)
        matrix, shift = _conv(state, first, source)
        own = (matrix.flatten(1), shift)
    names = conv_names("relu5_4")
    return {name: _conv(state, key, source) for name, key in zip(names, keys, strict=False)}, own


def _conv(state: Mapping[str, Tensor], key: str, source: str) -> tuple[Tensor, Tensor]:
    if f"{key}.bias" not in state:
        raise InputError(f"{source} has {key}.weight but no {key}.bias; the convolutions of VGG-19 have both")
    return state[f"{key}.weight"], state[f"{key}.bias"]


def _widths(convs: Mapping[str, tuple[Tensor, Tensor]], last: str) -> tuple[int, ...]:
    widths = [convs[f"conv{block}_1"][0].shape[0] for block in range(1, block_of(last) + 1)]
    return tuple(widths + widths[-1:] * (5 - len(widths)))


def _named_preprocessing(name: str, source: str) -> tuple[Tensor, Tensor]:
    if name == "auto":
        raise InputError(
            f"{source} does not tell what input it expects; set model.encoder_preprocessing to imagenet (torchvision), "
            "caffe (BGR minus mean) or rgb"
        )
    return PREPROCESSING[name]
