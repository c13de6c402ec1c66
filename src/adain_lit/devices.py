"""Devices that networks run on."""

import ctypes
import sys

import torch

from adain_lit.errors import InputError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """Find a device by name; None takes a CUDA device if there is one, then Apple's, then the CPU.

    Raises:
        InputError: if there is no such device.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    try:
        device = torch.device(name or _best_device())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's for an unknown device, and for one that is not there
        raise InputError(f"cannot use device {name}: {str(error).splitlines()[0]}; give cpu, or none") from error
    return device


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, if its C library is glibc.

    glibc returns large blocks to the kernel and asks for them again, page by page, for every activation of every
    training step. Only for programs whose steps are alike: others would keep their peak.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        for parameter, value in _GLIBC_KEEPS:
            mallopt(parameter, value)


_GLIBC_KEEPS = ((-4, 0), (-1, 2**31 - 1), (-2, 2**28))
"""M_MMAP_MAX: no block has pages of its own; M_TRIM_THRESHOLD: none go back; M_TOP_PAD: bytes asked for at once."""


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
