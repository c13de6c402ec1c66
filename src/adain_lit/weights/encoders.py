"""Encoders and loss networks with weights loaded by name or from a file, in any of the common key layouts."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from adain_lit.errors import InputError
from adain_lit.nets.loss_network import HeadedEncoder, LossNetwork
from adain_lit.nets.vgg import VGGEncoder, block_of, conv_names, deepest, fold_preprocessing, initialise_randomly
from adain_lit.user_code import import_object, is_dotted
from adain_lit.weights.files import BUNDLED, bundled_file, part_of, read_state_dict

Conv = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""

PREPROCESSING: dict[str, Conv] = {
    "rgb": (torch.eye(3), torch.zeros(3)),
    # torchvision: (rgb - mean) / std, https://docs.pytorch.org/vision/stable/models.html
    "imagenet": (
        torch.diag(1 / torch.tensor([0.229, 0.224, 0.225])),
        -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225]),
    ),
    # Caffe: BGR in 0..255 minus the mean pixel, as in the authors' models
    "caffe": (255 * torch.eye(3).flip(0), -torch.tensor([103.939, 116.779, 123.68])),
}
"""Preprocessing that weights expect, as ``matrix @ rgb + shift`` of RGB in [0, 1]."""

PARTS = ("encoder", "vgg")
"""Names that the common PyTorch code gives to the encoder in a whole network."""
NAMED_FILES = {"vgg_normalised": "vgg_normalised.pth"}
"""Files that users download themselves and may refer to by name, see `load_encoder`."""


def load_encoder(
    weights: str | Path,
    *,
    widths: str | tuple[int, ...] | None = None,
    last: str | None = "relu4_1",
    preprocessing: str = "auto",
) -> VGGEncoder:
    """Build an encoder, the f of the paper, and load its weights.

    Args:
        weights: ``distilled`` or ``compact`` (bundled), ``torchvision`` (its VGG-19, downloaded into its
            cache), ``vgg_normalised`` (the vgg_normalised.pth of the common PyTorch code, in the folder $ADAIN_WEIGHTS
            or in torch's cache), ``random`` (He initialisation from a fixed seed), the path of a .safetensors or
            .pth file or of a checkpoint of `DistillationModule`, or ``my_module.my_encoder``, a function that takes
            `last` and returns a `VGGEncoder` or a subclass.
        widths: channels of each block for ``random`` weights, ``vgg19`` by default; otherwise read from the file.
        last: deepest layer to build; None builds every layer in the file.
        preprocessing: input that the weights expect: ``rgb``, ``imagenet``, ``caffe``, or ``auto`` to infer it from
            the file. It is folded into ``conv1_1``.

    Returns:
        The encoder, which takes RGB in [0, 1].

    Raises:
        InputError: if weights are missing, unreadable, of an unknown layout, or end before `last`.

    Example:
        >>> encoder = load_encoder("random", widths="compact", last="relu2_1")
        >>> encoder(torch.rand(1, 3, 32, 32))["relu2_1"].shape
        torch.Size([1, 32, 16, 16])
    """
    if preprocessing != "auto" and preprocessing not in PREPROCESSING:
        known = ", ".join(["auto", *PREPROCESSING])
        raise InputError(f"unknown preprocessing {preprocessing!r} of the encoder; known are {known}")
    if str(weights) == "random":
        encoder = VGGEncoder(widths or "vgg19", last or "relu5_4")
        initialise_randomly(encoder)
        matrix, shift = PREPROCESSING["rgb" if preprocessing == "auto" else preprocessing]
        fold_preprocessing(encoder.conv1_1, matrix, shift)  # type: ignore[arg-type]
        return encoder
    if is_dotted(weights):
        return _imported(str(weights), last, "rgb" if preprocessing == "auto" else preprocessing)
    source = _open(weights)
    held = [name.replace("conv", "relu") for name in source.convs]
    return _build(source, last or deepest(held), preprocessing)


def load_loss_network(
    weights: str | Path | Sequence[str | Path],
    *,
    layers: Sequence[str],
    widths: str | None = None,
    preprocessing: str = "auto",
) -> LossNetwork:
    """Build the loss network, for losses that are not computed with the encoder itself.

    Args:
        weights: one source of weights as for `load_encoder`, or several; each layer comes from the first source that
            reaches it. If a file has heads ``aux1_1``, ``aux2_1``, ... (1x1 convolutions to the widths of the teacher
            that its encoder was distilled from), or is a checkpoint of `DistillationModule`, the heads are applied to
            the features.
        layers: layers that the losses use.
        widths: channels of each block for ``random`` weights, see `load_encoder`.
        preprocessing: input that the weights expect, see `load_encoder`.

    Raises:
        InputError: as `load_encoder`, or if no source reaches a layer.

    Example:
        >>> loss_network = load_loss_network("random", layers=["relu1_1", "relu2_1"], widths="compact")
        >>> {layer: x.shape[1] for layer, x in loss_network(torch.rand(1, 3, 32, 32)).items()}
        {'relu1_1': 16, 'relu2_1': 32}
    """
    sources = [weights] if isinstance(weights, str | Path) else list(weights)
    if not sources:
        raise InputError("the loss network has no weights; name at least one file")
    encoders: list[VGGEncoder | HeadedEncoder] = []
    scaled: list[bool] = []
    for source in sources:
        if str(source) == "random" or is_dotted(source):
            encoders.append(load_encoder(source, widths=widths, last=deepest(layers), preprocessing=preprocessing))
            scaled.append(False)
            continue
        opened = _open(source)
        # a source is built only as deep as it goes: what it lacks may be in the next one
        within = [layer for layer in layers if conv_names(layer)[-1] in opened.convs]
        if not within:
            raise InputError(f"{opened.name} has none of the layers {', '.join(layers)}; leave it out")
        encoder = _build(opened, deepest(within), preprocessing)
        headed = {layer: opened.heads[layer] for layer in within if layer in opened.heads}
        encoders.append(_with_heads(encoder, headed) if headed else encoder)
        scaled.append(opened.scaled)
    return LossNetwork(encoders, layers, scaled=scaled)


def checksum(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers in float32, as 64 hexadecimal digits.

    Example:
        >>> one, other = (load_encoder("random", widths="compact", last="relu1_1") for _ in range(2))
        >>> checksum(one) == checksum(other), len(checksum(one))
        (True, 64)
    """
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        # NumPy has neither bfloat16 nor memory of a GPU
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def require_checksum(found: str, expected: str, what: str) -> None:
    """Refuse weights other than those that a checkpoint was trained with.

    Args:
        found: checksum of the loaded weights.
        expected: checksum stored in the checkpoint.
        what: the setting that named the loaded weights, for the message.

    Raises:
        InputError: if the checksums differ.

    Example:
        >>> require_checksum("9f126c", "f7e62d", "encoder compact")
        Traceback (most recent call last):
        adain_lit.errors.InputError: the checkpoint was trained with other weights ...
    """
    if found != expected:
        raise InputError(
            f"the checkpoint was trained with other weights (SHA-256 {expected[:12]}) than {what} "
            f"(SHA-256 {found[:12]}); set it to the same weights"
        )


@dataclass(frozen=True)
class _Source:
    """Weights in one layout: convolutions and heads by name, and the preprocessing if the file determines it.

    `scaled` says whether they were brought to unit mean activation before they were saved, as in vgg_normalised.pth and
    in the project's own files.
    """

    name: str
    convs: Mapping[str, Conv]
    heads: Mapping[str, Conv]
    preprocessing: Conv | None
    scaled: bool


def _open(weights: str | Path) -> _Source:
    if str(weights) == "torchvision":
        return _recognise(_torchvision_vgg19(), {}, "torchvision's VGG-19")
    path = bundled_file(str(weights)) if str(weights) in BUNDLED else _find_file(weights)
    state, metadata = read_state_dict(path)
    return _recognise(state, metadata, str(path))


def _build(source: _Source, last: str, preprocessing: str) -> VGGEncoder:
    """An encoder with the weights of `source`, converted to take RGB in [0, 1]."""
    missing = [name for name in conv_names(last) if name not in source.convs]
    if missing:
        raise InputError(f"{source.name} ends before {missing[0]}, which {last} needs; give weights that reach {last}")
    encoder = VGGEncoder(_widths(source.convs, last), last)
    for name, conv in encoder.convs():
        _fill(conv, source.convs[name], f"{name} of {source.name}")
    own = source.preprocessing
    matrix, shift = own if preprocessing == "auto" and own else _named_preprocessing(preprocessing, source.name)
    fold_preprocessing(encoder.conv1_1, matrix, shift)  # type: ignore[arg-type]
    return encoder


def _imported(name: str, last: str | None, preprocessing: str) -> VGGEncoder:
    """The encoder that a function of the user's builds."""
    encoder = import_object(name, "encoder")(last)
    if not isinstance(encoder, VGGEncoder) or (last is not None and last not in encoder.layers):
        kind = f"ending at {encoder.last}" if isinstance(encoder, VGGEncoder) else f"a {type(encoder).__name__}"
        raise InputError(f"encoder {name} gives {kind}; needed is an adain_lit.nets.VGGEncoder that reaches {last}")
    fold_preprocessing(encoder.conv1_1, *PREPROCESSING[preprocessing])  # type: ignore[arg-type]
    return encoder


def _with_heads(encoder: VGGEncoder, heads: Mapping[str, Conv]) -> HeadedEncoder:
    headed = HeadedEncoder(encoder, {layer: weight.shape[0] for layer, (weight, _) in heads.items()})
    for layer, head in heads.items():
        _fill(headed.heads[layer], head, f"the head of {layer}")
    return headed


def _fill(conv: nn.Module, weights: Conv, what: str) -> None:
    for name, tensor in zip(("weight", "bias"), weights, strict=True):
        own = getattr(conv, name)
        if tensor.shape != own.shape:
            raise InputError(f"{what} is {tuple(tensor.shape)}; VGG needs {tuple(own.shape)}")
        own.data.copy_(tensor)


def _find_file(weights: str | Path) -> Path:
    name = NAMED_FILES.get(str(weights))
    if name is None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                f"no encoder weights {str(weights)!r}: neither distilled, compact, torchvision, vgg_normalised or "
                "random, nor a file; give the path of a .safetensors or .pth file"
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


def _recognise(state: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> _Source:
    """Convert any known layout to a `_Source`.

    ``encoder.conv1_1.weight`` (this project's networks), ``net.encoder.conv1_1.weight`` and
    ``student.encoder.conv1_1.weight`` (its checkpoints, with a trained encoder and of a distillation),
    ``conv1_1.weight`` with an optional 1x1 ``preprocess`` (or metadata ``input`` starting with BGR, for
    Caffe's preprocessing), ``features.0.weight`` (torchvision) and ``0.weight`` with a leading 1x1
    (vgg_normalised.pth).
    """
    # the decoder of a whole network may have batch normalisation (BNDec); an encoder with it is VGG-19-BN
    if any(key.endswith(".running_mean") for key in state if not key.startswith(("decoder.", "net.decoder."))):
        raise InputError(f"{source} has batch normalisation, which VGG-19 has not; give weights of the plain VGG-19")
    for prefix in ("encoder.", "net.encoder.", "student.encoder.", ""):
        if f"{prefix}conv1_1.weight" not in state:
            continue
        pattern = re.compile(rf"{re.escape(prefix)}(conv\d_\d)\.weight")
        names = [match[1] for key in state if (match := pattern.fullmatch(key))]
        convs = {name: _conv(state, prefix + name, source) for name in names}
        own = PREPROCESSING["rgb"] if prefix else None  # our own files have it folded into conv1_1
        if "preprocess.weight" in state:
            matrix, shift = _conv(state, "preprocess", source)
            own = (matrix.flatten(1), shift)
        elif metadata.get("input", "").startswith("BGR"):
            own = PREPROCESSING["caffe"]
        return _Source(source, convs, _heads(state, source), own, scaled=bool(prefix))
    # sorted as integers: as text, 10 comes before 2
    numbered = sorted(
        (int(match[2]), match[1])
        for key, tensor in state.items()
        if (match := re.fullmatch(r"(?:(features)\.)?(\d+)\.weight", key)) and tensor.ndim == 4
    )
    if not numbered:
        for part in (part_of(state, name) for name in PARTS):
            if part.keys() != state.keys():
                return _recognise(part, metadata, source)
        raise InputError(
            f"{source} is no VGG-19: it has neither conv1_1.weight, features.0.weight nor 0.weight, but "
            f"{', '.join(state)[:60]}"
        )
    keys = [f"{prefix}.{index}" if prefix else str(index) for index, prefix in numbered]
    own = PREPROCESSING["imagenet"] if keys[0].startswith("features") else None
    scaled = state[f"{keys[0]}.weight"].shape[2:] == (1, 1)  # vgg_normalised.pth begins with its preprocessing
    if scaled:
        matrix, shift = _conv(state, keys.pop(0), source)
        own = (matrix.flatten(1), shift)
    found = {name: _conv(state, key, source) for name, key in zip(conv_names("relu5_4"), keys, strict=False)}
    return _Source(source, found, {}, own, scaled)


def _heads(state: Mapping[str, Tensor], source: str) -> dict[str, Conv]:
    """Heads of a distilled encoder: ``aux1_1.weight``, or ``student.heads.relu1_1.weight`` in our checkpoints."""
    found = [
        (f"relu{match[1]}", key.removesuffix(".weight"))
        for key in state
        if (match := re.fullmatch(r"(?:aux|student\.heads\.relu)(\d_\d)\.weight", key))
    ]
    return {layer: _conv(state, key, source) for layer, key in found}


def _conv(state: Mapping[str, Tensor], key: str, source: str) -> Conv:
    if f"{key}.bias" not in state:
        raise InputError(f"{source} has {key}.weight but no {key}.bias; the convolutions of VGG-19 have both")
    return state[f"{key}.weight"], state[f"{key}.bias"]


def _widths(convs: Mapping[str, Conv], last: str) -> tuple[int, ...]:
    # VGGEncoder wants five widths; those of blocks that are not built are never used
    widths = [convs[f"conv{block}_1"][0].shape[0] for block in range(1, block_of(last) + 1)]
    return tuple(widths + widths[-1:] * (5 - len(widths)))


def _named_preprocessing(name: str, source: str) -> Conv:
    if name == "auto":
        raise InputError(
            f"{source} does not say what input it expects; set model.encoder_preprocessing to imagenet (torchvision), "
            "caffe (BGR minus mean) or rgb"
        )
    return PREPROCESSING[name]
