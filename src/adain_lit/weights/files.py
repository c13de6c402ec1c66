"""Read weight files without executing code from them, and locate the networks bundled with the package."""

import hashlib
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
        path: a .safetensors file, or a PyTorch file with a state dict, on its own or under ``state_dict``.

    Returns:
        Tensors by key, on the CPU, and the metadata of a .safetensors file; a PyTorch file has none.

    Raises:
        InputError: if the file is unreadable or has no tensors.

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
                return tensors, metadata
        state = _load(path)
    except InputError:
        raise
    except Exception as error:  # on a damaged file torch's reader raises nearly every type
        raise InputError(
            f"cannot read weights from {path}: {type(error).__name__}; a .safetensors file or a PyTorch state dict "
            "of plain tensors is needed; code in a file is not run"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise InputError(f"{path} holds no tensors; a state dict of a VGG-19 is needed")
    return tensors, {}


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
    require_trusted(checkpoint.get("hyper_parameters", {}), path)
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
