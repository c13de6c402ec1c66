"""Where networks run."""

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


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
