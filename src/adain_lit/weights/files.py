"""Read weight files without executing code from them, and locate the networks bundled with the package."""

import hashlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.user_code import require_trusted

BUNDLED: dict[str, str] = {
    "compact": "9f126c5ead12d77f29c16a64c8fcf77269e0d2ff6f99e361eda67e0b55d88bf9",
    "distilled": "f7e62d8b31c3a2a7cc11c54235e782391ef67fe9fec1baecd8063d7c0a6f8166",
}
"""Bundled files, ``models/NAME.safetensors``, with their SHA-256: the whole network ``compact``, and ``distilled``, an
encoder distilled from VGG-19 that replaces it in small experiments."""


def bundled_file(name: str) -> Path:
    """Path of a bundled file, with its checksum verified.

    Args:
        name: a key of `BUNDLED`.

    Raises:
        InputError: if the file is missing or was changed.

    Example:
        >>> bundled_file("compact").name
        'compact.safetensors'
    """
    path = Path(__file__).parent / "models" / f"{name}.safetensors"
    if not path.is_file():
        raise InputError(f"the installed package has no {path.name}; install adain_lit again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != BUNDLED[name]:
        raise InputError(
            f"{path} has SHA-256 {found[:12]}, the package was made with {BUNDLED[name][:12]}; install adain_lit again"
        )
    return path


def weights_file(source: str | Path) -> Path:
    """Path of the file to load: ``checkpoints/best.ckpt`` of a run folder, any other source unchanged.

    Raises:
        InputError: if `source` is a folder without that file.

    Example:
        >>> weights_file("decoder.pth").name
        'decoder.pth'
    """
    path = Path(source).expanduser()
    # a folder called "compact" in the working directory must not hide the bundled network
    if str(source) in BUNDLED or not path.is_dir():
        return path
    best = path / "checkpoints" / "best.ckpt"
    if not best.is_file():
        raise InputError(f"the folder {path} has no checkpoints/best.ckpt; give the folder of one run, or a file")
    return best


def read_state_dict(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata of a .safetensors or PyTorch file, without executing code from it.

    Args:
        path: a .safetensors file, or a PyTorch file with a state dict, on its own, under ``state_dict``, or with its
            parts one level deeper, as in ``{"decoder": ...}``.

    Returns:
        Tensors by key, on the CPU, floating-point ones in float32, and the metadata of a .safetensors file; a PyTorch
        file has none. Keys are without the ``module.`` of DataParallel and the ``_orig_mod.`` of ``torch.compile``.

    Raises:
        InputError: if the file is unreadable, has no tensors, or has weights that are not finite.

    Example:
        >>> state, metadata = read_state_dict(bundled_file("compact"))
        >>> state["encoder.conv1_1.weight"].shape, metadata["fusion"]
        (torch.Size([16, 3, 3, 3]), 'adain')
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                metadata = file.metadata() or {}
                require_trusted(metadata, path)
        else:
            state = _load(path)
            state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
            tensors, metadata = _tensors(state) if isinstance(state, Mapping) else {}, {}
    except InputError:
        raise
    except Exception as error:  # on a damaged file torch's reader raises nearly every type
        raise InputError(
            f"cannot read weights from {path}: {type(error).__name__}; a .safetensors file or a PyTorch state dict "
            "of plain tensors is needed; code in a file is not run"
        ) from error
    if not tensors:
        raise InputError(f"{path} holds no tensors; a state dict of a VGG-19 is needed")
    return usable(tensors, path), metadata


def usable(tensors: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """Weights as networks take them: floating-point tensors in float32, keys without the prefixes of wrappers.

    Raises:
        InputError: for a tensor that claims more than its file holds, or is not dense, real and finite.

    Example:
        >>> usable({"module.conv.bias": torch.ones(1, dtype=torch.half)}, "net.pth")
        {'conv.bias': tensor([1.])}
    """
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = re.sub(r"(?:(?<=\.)|^)(?:module|_orig_mod)\.", "", key)
        if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
            raise InputError(f"{key} of {source} is no plain tensor of real numbers; write the file with torch.save")
        # a view that repeats its memory may claim any size
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"{key} of {source} is {tuple(tensor.shape)}, more than the file holds; it is damaged")
        found[name] = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(found[name]).all():
            raise InputError(
                f"{key} of {source} has values that are not finite: its training diverged, or the file is damaged; "
                "give an earlier checkpoint"
            )
    return found


def part_of(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part of a network, without the names in front: of ``decoder.0.weight``, ``0.weight``.

    Args:
        state: tensors by key. If none is of that part, and all keys have a name in front in common, that is left out.
        name: of the part.

    Example:
        >>> x = torch.zeros(1)
        >>> [*part_of({"net.decoder.0.bias": x, "net.encoder.0.bias": x}, "decoder")]
        ['0.bias']
        >>> [*part_of({"model.0.bias": x, "model.2.bias": x}, "decoder")]
        ['0.bias', '2.bias']
    """
    own = {match[1]: x for key, x in state.items() if (match := re.fullmatch(rf"(?:\w+\.)*?{name}\.(.+)", key))}
    if own:
        return own
    names = {key.partition(".")[0] for key in state}
    common = names.pop() if len(names) == 1 else ""
    if not common or re.fullmatch(r"\d+|conv\d_\d|features", common):
        return dict(state)
    return {key.removeprefix(f"{common}."): x for key, x in state.items()}


def _tensors(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the state dicts in it with their names in front."""
    found: dict[str, Tensor] = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if found:
        return found
    parts = {str(name): part for name, part in state.items() if isinstance(part, Mapping)}
    return {f"{name}.{key}": x for name, part in parts.items() for key, x in part.items() if isinstance(x, Tensor)}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of a training run, without executing code from it.

    Returns:
        The dict that Lightning saved, with all tensors on the CPU.

    Raises:
        InputError: if it is missing, damaged, or not a checkpoint of this project.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "last.ckpt")
        >>> torch.save({"global_step": 5, "encoder": {}}, path)
        >>> read_checkpoint(path)
        {'global_step': 5, 'encoder': {}}
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint {path}; give the path of a .ckpt file of a run")
    try:
        checkpoint = _load(path)
    except InputError:
        raise
    except Exception as error:  # on a damaged file torch's reader raises nearly every type
        raise InputError(
            f"cannot read the checkpoint {path}: {type(error).__name__}; it is damaged, no checkpoint, or holds code, "
            "which is not run"
        ) from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() & {"encoder", "teacher"}:
        raise InputError(f"{path} is no checkpoint of adain_lit; give the path of a .ckpt file of a run")
    settings, state = checkpoint.get("hyper_parameters", {}), checkpoint.get("state_dict", {})
    if not isinstance(settings, Mapping):
        raise InputError(f"the checkpoint {path} is damaged: its hyper_parameters are no dict; give another")
    require_trusted(settings, path)
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"the checkpoint {path} is damaged: its state_dict holds more than tensors; give another")
    usable(state, path)  # what it was trained with stays as it is: a resumed run goes on in the same precision
    return checkpoint


def require_whole(path: str | Path) -> None:
    """Verify the checksums of a PyTorch file, which torch writes but does not read.

    Files in torch's format from before version 1.6 have none, nor has .safetensors, whose reader checks sizes alone.

    Raises:
        InputError: if a part of the file is not what was written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "net.pth"
        >>> torch.save({"weight": torch.ones(9)}, path)
        >>> _ = path.write_bytes(path.read_bytes().replace(torch.ones(1).numpy().tobytes(), bytes(4), 1))
        >>> require_whole(path)
        Traceback (most recent call last):
        adain_lit.errors.InputError: .../net.pth is damaged: the checksum of net/data/0 is wrong; use another copy
    """
    try:
        with zipfile.ZipFile(path) as file:
            wrong = file.testzip()
    except zipfile.BadZipFile as error:
        if zipfile.is_zipfile(path):
            raise InputError(f"{path} is damaged: {error}; use another copy") from error
        return  # no zip: torch's reader decides
    except NotImplementedError as error:  # a method of compression, which torch never uses
        raise InputError(f"{path} is damaged: {error}; use another copy") from error
    if wrong is not None:
        raise InputError(f"{path} is damaged: the checksum of {wrong} is wrong; use another copy")


def _load(path: Path) -> Any:
    require_whole(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about pickle versions; what torch cannot read raises anyway
        return torch.load(path, map_location="cpu", weights_only=True)
