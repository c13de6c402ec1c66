"""Load and save whole networks: bundled, safetensors, checkpoints, and decoders of the common PyTorch code."""

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically
from adain_lit.nets import NetConfig, StyleTransferNet, VGGEncoder
from adain_lit.nets.config import select
from adain_lit.nets.vgg import conv_names, deepest, normalize_activations
from adain_lit.user_code import is_dotted
from adain_lit.weights.encoders import checksum, load_encoder, require_checksum
from adain_lit.weights.files import (
    BUNDLED,
    bundled_file,
    part_of,
    read_checkpoint,
    read_state_dict,
    usable,
    weights_file,
)

_UNFIT = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, RuntimeError, TypeError, ValueError)
FORMAT, ENCODER_FORMAT = "adain_lit-1", "adain_lit-encoder"
"""Value of ``format`` in the metadata of a whole network, and of an encoder without a decoder."""


def load_network(source: str | Path, *, encoder: str | Path | None = None) -> StyleTransferNet:
    """Build a network and load its weights.

    Args:
        source: ``compact`` (bundled), the folder of a training run or one of its .ckpt files, a .safetensors file
            written by `save_network`, or a decoder without an encoder (``decoder.pth`` of the common PyTorch code, or
            convolutions with VGG's names).
        encoder: encoder weights as for `load_encoder`. Required for a decoder without an encoder, unless
            vgg_normalised.pth is in its folder or where `load_encoder` looks; for a checkpoint they replace the path
            that it was trained with. Ignored if the file contains the encoder.

    Returns:
        The network in evaluation mode, on the CPU in float32.

    Raises:
        InputError: if the file is missing, damaged, of an unknown layout, or does not match the encoder.

    Example:
        >>> import torch
        >>> net = load_network("compact")
        >>> net(torch.rand(1, 3, 64, 48), torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 64, 48])
    """
    if str(source) in BUNDLED:
        state, metadata = read_state_dict(bundled_file(str(source)))
        return _from_own(state, _config(metadata), str(source))
    path = weights_file(source)
    if not path.is_file():
        raise InputError(f"no network {str(source)!r}: neither a file nor compact, the bundled one; give a path")
    try:
        if path.suffix == ".ckpt":
            net = _from_checkpoint(read_checkpoint(path), path, encoder)
            usable(net.state_dict(), path)  # the scales of a checkpoint are folded into the weights
            return net
        state, metadata = read_state_dict(path)
        if metadata.get("format") == FORMAT:
            return _from_own(state, _config(metadata), str(path))
        return _from_decoder(state, path, encoder)
    except InputError:
        raise
    except _UNFIT as error:  # whatever settings that were damaged, or made by hand, raise where they are used
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path} does not describe a network of adain_lit ({reason:.200}); give another") from error


def read_card(source: str | Path) -> dict[str, str]:
    """What a file says of its network: the metadata of a .safetensors file, or the settings of a training run.

    Args:
        source: as for `load_network`.

    Example:
        >>> read_card("compact")["fusion"]
        'adain'
    """
    if str(source) in BUNDLED:
        return read_state_dict(bundled_file(str(source)))[1]
    path = weights_file(source)
    if path.suffix == ".ckpt":
        checkpoint = read_checkpoint(path)
        return {
            "name": path.resolve().parents[1].name if path.parent.name == "checkpoints" else path.stem,
            "step": str(checkpoint.get("global_step")),
            "settings": json.dumps(
                {name: _without_folder(value) for name, value in checkpoint.get("hyper_parameters", {}).items()}
            ),
        }
    return read_state_dict(path)[1]


def _without_folder(value: Any) -> Any:
    """A setting to publish: of a path the name of the file."""
    if isinstance(value, list):
        return [_without_folder(item) for item in value]
    return Path(value).name if isinstance(value, str) else value


def save_network(net: StyleTransferNet, path: str | Path, *, card: Mapping[str, Any], half: bool = True) -> None:
    """Write encoder and decoder atomically to one .safetensors file.

    Args:
        net: the network.
        path: the file; an existing one is replaced.
        card: facts for readers (training, licences, losses), stored as text in the metadata.
        half: store float16, half the size; on noise, pixels of the bundled network changed by at most 4 of 255.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_network(load_network("compact"), f"{folder}/net.safetensors", card={"training": "COCO"})
        ...     load_network(f"{folder}/net.safetensors").config.fusion
        'adain'
    """
    form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in vars(net.config).items()}
    _require_plain(net.encoder)
    _save(net.state_dict(), path, card, form | {"format": FORMAT}, half)


def save_encoder(encoder: VGGEncoder, path: str | Path, *, card: Mapping[str, Any], half: bool = True) -> None:
    """Write an encoder without a decoder, for `load_encoder`; arguments as for `save_network`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_encoder(VGGEncoder("compact", "relu2_1"), f"{folder}/encoder.safetensors", card={})
        ...     load_encoder(f"{folder}/encoder.safetensors", last=None).last
        'relu2_1'
    """
    _require_plain(encoder)
    state = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    _save(state, path, card, {"format": ENCODER_FORMAT}, half)


def _require_plain(encoder: VGGEncoder) -> None:
    if type(encoder) is not VGGEncoder:  # loading would build a VGGEncoder, with another forward pass
        raise InputError(
            f"the encoder is a {type(encoder).__name__}, whose code no .safetensors file holds; keep the checkpoint, "
            "or give an output in .onnx"
        )


def _save(
    state: Mapping[str, Tensor], path: str | Path, card: Mapping[str, Any], form: Mapping[str, str], half: bool
) -> None:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in card.items()}
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).cpu().contiguous()
        for name, tensor in state.items()
    }
    # form is last: no entry of a card can replace an option that loading depends on
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {**texts, **form}))


def _config(metadata: Mapping[str, str]) -> NetConfig:
    """Network options from the metadata of a file: strings unchanged, anything else parsed as JSON."""
    texts = {f.name for f in fields(NetConfig) if f.type is str}
    own = {f.name: metadata[f.name] for f in fields(NetConfig) if f.name in metadata}
    return select(NetConfig, {name: text if name in texts else json.loads(text) for name, text in own.items()})


def _from_own(state: Mapping[str, Tensor], config: NetConfig, name: str) -> StyleTransferNet:
    convs = [match[1] for key in state if (match := re.fullmatch(r"encoder\.(conv\d_\d)\.weight", key))]
    try:
        last = deepest([conv.replace("conv", "relu") for conv in convs])
        widths = [state[f"encoder.conv{block}_1.weight"].shape[0] for block in range(1, int(last[4]) + 1)]
        with torch.device("meta"):
            net = StyleTransferNet(VGGEncoder(tuple(widths + widths[-1:] * (5 - len(widths))), last), config)
        fill(net, state)
    except (KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{name} is no whole network of adain_lit: {reason[:200]}; write it again") from error
    return net.eval()


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a network that was built on the device ``meta``, without memory, its weights.

    Raises:
        RuntimeError: if keys or shapes differ, before any memory is allocated.

    Example:
        >>> with torch.device("meta"):
        ...     conv = nn.Conv2d(3, 8, 3)
        >>> fill(conv, nn.Conv2d(3, 8, 3).state_dict())
        >>> conv.weight.device
        device(type='cpu')
    """
    network.load_state_dict(dict(state), assign=True)
    # copies: a .safetensors file's tensors are not aligned, a checkpoint's may be channels-last, and kernels then round
    # in another order
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)


def _from_checkpoint(checkpoint: Mapping[str, Any], path: Path, encoder: str | Path | None) -> StyleTransferNet:
    settings = checkpoint.get("hyper_parameters", {})
    if "fusion" not in settings:
        raise InputError(f"{path} holds no decoder; train one, or give the checkpoint of a style transfer network")
    weights = usable(checkpoint["state_dict"], path)
    state = {k.removeprefix("net."): v for k, v in weights.items() if k.startswith("net.")}
    config = select(NetConfig, settings)
    # only then does the checkpoint contain the encoder, which code of the user's has to build
    if settings["train_encoder"] and not is_dotted(settings["encoder"]):
        return _from_own(state, config, str(path))
    saved = checkpoint["encoder"]
    layers = (config.content_layer, *config.skip_layers)
    if settings["loss_encoder"] is None:
        layers += tuple(settings["style_layers"])  # as deep as in training, or the checksum differs
    source = encoder or settings["encoder"]
    vgg = load_encoder(
        source,
        widths=settings["encoder_widths"],
        last=deepest(layers),
        preprocessing=settings["encoder_preprocessing"],
    )
    # before normalising: the checksum is that of the weights as loaded
    require_checksum(checksum(vgg), saved["sha256"], f"encoder {source}")
    if saved["mean_activations"]:
        normalize_activations(vgg, saved["mean_activations"])
    with torch.device("meta"):
        net = StyleTransferNet(vgg, config)
    if settings["train_encoder"]:
        fill(net, state)
        return net.eval()
    fill(net.decoder, {k.removeprefix("decoder."): v for k, v in state.items()})
    return net.eval()


def _from_decoder(state: Mapping[str, Tensor], path: Path, encoder: str | Path | None) -> StyleTransferNet:
    """A decoder without an encoder: numbered as in the common PyTorch code, or with VGG's names."""
    state = part_of(state, "decoder")
    names = [
        key.removesuffix(".weight") for key, tensor in state.items() if key.endswith(".weight") and tensor.ndim == 4
    ]
    if all(name.isdigit() for name in names):
        names.sort(key=int)
    elif all(re.fullmatch(r"conv\d_\d", name) for name in names):
        # a decoder mirrors the encoder: deepest first
        names.sort(key=lambda name: -len(conv_names(name.replace("conv", "relu"))))
    else:
        names = []
    if not names or state[f"{names[-1]}.weight"].shape[0] != 3:
        raise InputError(
            f"{path} is no decoder: its convolutions do not end in 3 channels; give a network of adain_lit, a "
            f"checkpoint of its training, or a decoder.pth (its keys are {', '.join(state):.60})"
        )
    # the mirrored decoder has as many convolutions as the encoder, so their count gives the layer it starts from
    last = next((layer for layer in LAYERS if len(conv_names(layer)) == len(names)), None)
    if last is None:
        raise InputError(f"{path} has {len(names)} convolutions; a decoder from relu3_1 has 5, one from relu4_1 has 9")
    if encoder is None:
        beside = path.with_name("vgg_normalised.pth")
        encoder = beside if beside.is_file() else "vgg_normalised"
    net = StyleTransferNet(load_encoder(encoder, last=last), content_layer=last)
    for own, name in zip(net.decoder.names, names, strict=True):
        conv = net.decoder.get_submodule(own)
        for part in ("weight", "bias"):
            tensor = state.get(f"{name}.{part}")
            wanted = getattr(conv, part)
            if tensor is None or tensor.shape != wanted.shape:
                found = None if tensor is None else tuple(tensor.shape)
                raise InputError(
                    f"{name}.{part} of {path} is {found}; with the encoder {encoder} it must be {tuple(wanted.shape)}; "
                    "give the encoder that the decoder was trained with"
                )
            wanted.data.copy_(tensor)
    return net.eval()


LAYERS = tuple(name.replace("conv", "relu") for name in conv_names("relu5_4"))
