"""Where networks run."""

import ctypes
import sys

import torch

from adain_lit.errors import InputError


def choose_device(name: str | torch.device | None = None) -> torch.device:
    """The device of that name; None takes a CUDA device, then Apple's, then the CPU.

    Raises:
        InputError: if there is no such device.
    """
    try:
        device = torch.device(name or _best_device())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's for an unknown device, and for one that is not there
        raise InputError(f"cannot use device {name}: {str(error).splitlines()[0]}; give cpu, or none") from error
    return device


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def keep_freed_memory() -> None:
    """Let the process keep what it frees, where its C library is glibc.

    glibc hands large blocks back to the kernel and asks for them again, page by page, for every activation of every
    step of a training. Only for programs whose steps are alike; others would hold on to their peak.
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
