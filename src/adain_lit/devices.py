"""Devices that networks run on."""

import ctypes
import functools
import sys
import time

import torch
from torch.nn import functional as F

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


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether a device has units that multiply bfloat16; without them it is slower than float32.

    On a CPU these are AMX, AVX512-BF16 or Arm's; on CUDA they exist from compute capability 8.0 (Ampere).

    Example:
        >>> multiplies_bfloat16(torch.device("mps"))
        False
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch lack it
    return device.type == "cpu" and any(capabilities.get(unit) for unit in _BFLOAT16_UNITS)


_BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16", "arm_bf16", "bf16")
"""Names in torch's list of what the processor has."""


@functools.cache
def bfloat16_slowdown() -> float:
    """Time of a convolution in bfloat16 relative to float32 on this CPU, the faster of two runs each.

    Example:
        >>> bfloat16_slowdown() > 0
        True
    """
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.rand(1, 64, 96, 96, dtype=dtype).contiguous(memory_format=torch.channels_last)
        weight = torch.rand(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
        F.conv2d(x, weight)  # the first call prepares the kernel
        runs = []
        for _ in range(2):
            start = time.perf_counter()
            F.conv2d(x, weight)
            runs.append(time.perf_counter() - start)
        seconds[dtype] = min(runs)
    return seconds[torch.bfloat16] / seconds[torch.float32]


def slow_bfloat16(device: torch.device) -> str | None:
    """A line for the user about bfloat16 on a CPU that is slower with it than with float32; None on any other device.

    Example:
        >>> slow_bfloat16(torch.device("meta"))
    """
    if device.type != "cpu" or multiplies_bfloat16(device) or bfloat16_slowdown() < 1:
        return None
    return (
        f"this CPU has no units for bfloat16: a convolution takes {bfloat16_slowdown():.1f} times as long as in "
        "float32; float32 is faster here"
    )


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def keep_freed_memory(limit: int = 2**31 - 1) -> None:
    """Let this process keep the memory that it frees, if its C library is glibc.

    glibc returns large blocks to the kernel and asks for them again, page by page, for every activation of every
    training step or image. It makes no difference when this is called, or whether torch was imported before.

    Args:
        limit: bytes of free memory that are kept; what is beyond goes back to the kernel. glibc takes at most 2^31 - 1.

    Example:
        >>> keep_freed_memory(2**29)
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        limit = min(limit, 2**31 - 1)
        for parameter, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, limit), (_M_TOP_PAD, min(2**28, limit // 8))):
            mallopt(parameter, value)


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
"""Of glibc's malloc.h: free bytes that stay at the end of the heap, bytes asked for at once, and the number of blocks
that have pages of their own."""


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
