"""The network of a run as it was before its first step."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adain_lit.methods.fixed_styles import FixedStyles
from adain_lit.nets import StyleTransferNet
from adain_lit.nets.vgg import normalize_activations
from adain_lit.tasks.fixed_style import FixedStyleModule
from adain_lit.tasks.inversion import InversionModule
from adain_lit.tasks.style_transfer import StyleTransferModule


def network_at_start(
    checkpoint: Mapping[str, Any], *, encoder: str | Path | None = None
) -> StyleTransferNet | FixedStyles:
    """Build the network of a checkpoint anew: its initial weights, from the same seed and files, and its scales.

    Args:
        checkpoint: of a style transfer network or of one for fixed styles.
        encoder: encoder weights in place of those that the checkpoint names.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        InputError: if a file that it started from is missing.
    """
    settings = dict(checkpoint["hyper_parameters"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(checkpoint["datamodule_hyper_parameters"]["seed"])  # that of the run unless set apart
        if "fixed_styles" in checkpoint:
            fixed = FixedStyleModule(**settings)
            return FixedStyles([fixed.net], [fixed.files]).eval()
        kind = InversionModule if "pixel_weight" in settings else StyleTransferModule
        module = kind(**settings | ({"encoder": str(encoder)} if encoder else {}))
    if scales := checkpoint["encoder"]["mean_activations"]:
        normalize_activations(module.net.encoder, scales)
    return module.net.eval()
