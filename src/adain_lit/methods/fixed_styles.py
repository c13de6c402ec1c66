"""Networks for fixed styles as methods that take style images, and loading any trained network as a method."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adain_lit.data.fixed_styles import read_styles
from adain_lit.errors import InputError
from adain_lit.io.images import ImageReadError
from adain_lit.nets import FixedStyleNet, StyleTransferNet, TransformerNet
from adain_lit.nets.transformer import require_known
from adain_lit.weights.files import read_checkpoint, usable, weights_file
from adain_lit.weights.networks import fill, load_network


class FixedStyles(nn.Module):
    """One or several networks for fixed styles as one method with the styles of all.

    Args:
        nets: the networks.
        files: the style images of each.

    Shape:
        - input: contents (N, 3, H, W) and styles (N, 3, H', W'), RGB in [0, 1]; the first network that knows a style
          is used
        - output: (N, 3, H, W), RGB in [0, 1]

    Example:
        >>> thumbnails = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 8, 8)
        >>> nets = [FixedStyleNet(TransformerNet(width=4, blocks=1), thumbnail[None]) for thumbnail in thumbnails]
        >>> method = FixedStyles(nets, [["dark.png"], ["light.png"]])
        >>> style = torch.full((1, 3, 32, 32), 0.8)
        >>> method.files, method(torch.rand(1, 3, 32, 32), style).shape
        (['dark.png', 'light.png'], torch.Size([1, 3, 32, 32]))
    """

    def __init__(self, nets: Sequence[FixedStyleNet], files: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.files = list(dict.fromkeys(file for own in files for file in own))

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Stylise each content with its style.

        Raises:
            InputError: if a style is none that any of the networks was trained on.
        """
        indices = torch.stack([net.nearest(style) for net in self.nets])  # type: ignore[operator]
        require_known(indices.max(0).values)  # an index is -1 where a network does not know the style
        owner = (indices >= 0).int().argmax(0)  # (N,), the first network that does
        out = torch.empty_like(content)
        for i, net in enumerate(self.nets):
            own = owner == i
            if own.any():
                out[own] = net(content[own], style[own]).to(out.dtype)
        return out


def style_images(files: Sequence[str], size: int) -> Tensor:
    """Read fixed styles as in training: centre crops, ``uint8`` of shape (S, 3, size, size).

    Raises:
        InputError: if one can no longer be read.

    Example:
        >>> from adain_lit.data.fixed_styles import style_files
        >>> style_images([str(path) for path in style_files("demo", count=2)], size=32).shape
        torch.Size([2, 3, 32, 32])
    """
    try:
        return read_styles(files, size)
    except ImageReadError as error:
        raise InputError(f"the style image {error.path} cannot be read: {error.reason}; put it back") from error


def load_method(source: str | Path, *, encoder: str | Path | None = None) -> StyleTransferNet | FixedStyles:
    """Load any network trained by this package as a method.

    Args:
        source: a checkpoint of `FixedStyleModule`, or whatever `load_network` takes.
        encoder: encoder weights if the file has none, see `load_network`.

    Example:
        >>> load_method("compact").config.fusion
        'adain'
    """
    path = weights_file(source)
    if path.suffix == ".ckpt" and "fixed_styles" in read_checkpoint(path):
        return load_fixed_styles(path)
    return load_network(source, encoder=encoder)


def load_fixed_styles(source: str | Path | Sequence[str | Path]) -> FixedStyles:
    """Load one or several networks for fixed styles as one method.

    Args:
        source: a checkpoint of `FixedStyleModule`, or several.

    Returns:
        The method, for inference, on the CPU.

    Raises:
        InputError: if a checkpoint is missing or of another kind of network.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    if not sources:
        raise InputError("no network for fixed styles was given; name at least one checkpoint")
    checkpoints = [read_checkpoint(path) for path in sources]
    nets = [fixed_style_net(checkpoint, path) for checkpoint, path in zip(checkpoints, sources, strict=True)]
    return FixedStyles(nets, [checkpoint["fixed_styles"]["files"] for checkpoint in checkpoints]).eval()


def fixed_style_net(checkpoint: Mapping[str, Any], source: str | Path) -> FixedStyleNet:
    """Build the network of a checkpoint of `FixedStyleModule`, frozen.

    Raises:
        InputError: if it is a checkpoint of another kind of network.
    """
    if "fixed_styles" not in checkpoint:
        raise InputError(f"{source} is no network for fixed styles; give a checkpoint of one, or method=network")
    try:
        shape = {name: value for name, value in checkpoint["fixed_styles"].items() if name != "files"}
        weights = usable(checkpoint["state_dict"], source)
        state = {key.removeprefix("net."): x for key, x in weights.items() if key.startswith("net.")}
        if shape["blocks"] > len(state):  # before so many are built
            raise ValueError(f"{shape['blocks']} blocks")
        with torch.device("meta"):
            net = FixedStyleNet(TransformerNet(**shape), state["thumbnails"])
        fill(net, state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{source} does not describe a network for fixed styles ({reason:.200})") from error
    return net.requires_grad_(False)
