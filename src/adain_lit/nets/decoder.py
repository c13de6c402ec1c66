"""The decoder g of the paper: the encoder mirrored (Sec. 6.1)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError
from adain_lit.functional.adain import is_exporting
from adain_lit.nets.batch_norm import GlobalBatchNorm2d
from adain_lit.nets.config import NetConfig
from adain_lit.nets.fusion import named_fusion
from adain_lit.nets.reflect_conv import ReflectConv2d, reflect_pad
from adain_lit.nets.rewrites import REFLECTED, REPLICATED, activated, rewritten, upsampled_conv
from adain_lit.nets.vgg import block_of, conv_names, named_widths

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": lambda channels: GlobalBatchNorm2d(channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
}
"""Normalisation after every convolution but the last: the paper's decoder has none; batch and instance are the
ablations Enc-AdaIN-BNDec and Enc-AdaIN-INDec (Sec. 7.2)."""


class Decoder(nn.Module):
    """Mirror of a `VGGEncoder`: nearest up-sampling for pooling, reflection padding, RGB output.

    Convolutions have the names of their counterparts in the encoder: ``conv4_1`` is the first.

    Args:
        widths: channels of the encoder's blocks, a name in `adain_lit.nets.WIDTHS` or a sequence.
        config: the options, see `NetConfig`.
        **options: fields of `NetConfig` that replace those of `config`.

    Shape:
        - input: (N, k C, H, W), and for each skip layer, the deepest first, (N, k C', H', W'); k is 2 for concatenated
          features and 1 otherwise
        - output: (N, 3, s H, s W), s = 2^(block of `content_layer` - 1), or the size of the features of relu1_1 if
          they are passed; RGB, not clipped to [0, 1]

    Raises:
        InputError: for an unknown norm or layer, or options that do not fit each other.

    Example:
        >>> Decoder("compact")(torch.rand(1, 128, 3, 2)).shape
        torch.Size([1, 3, 24, 16])
    """

    def __init__(self, widths: str | Sequence[int] = "vgg19", config: NetConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = config = replace(config or NetConfig(), **options)
        last, norm, inputs = config.content_layer, config.norm, named_fusion(config.fusion).channels
        if not 0 <= config.decoder_slope < 1:
            raise InputError(f"decoder_slope is {config.decoder_slope}; it must be at least 0 and less than 1")
        if norm not in NORMS:
            raise InputError(f"unknown decoder norm {norm!r}; known are {', '.join(NORMS)}")
        widths = named_widths(widths)
        names = conv_names(last)
        self.names = names[::-1]
        self.skips = {self._entrance(layer): layer for layer in config.skip_layers}
        if len(self.skips) < len(config.skip_layers):
            raise InputError(f"skip_layers {list(config.skip_layers)} name a block twice; give one layer for each")
        own = widths if config.decoder_widths is None else tuple(config.decoder_widths)
        if len(own) < block_of(last) or min(own) < 1:
            raise InputError(
                f"decoder_widths are {list(own)}; a decoder from {last} needs {block_of(last)} numbers of channels, "
                "from block 1 on, each 1 or more"
            )
        for i, name in enumerate(self.names):
            block = block_of(name) - 1
            channels = own[block] if i else widths[block] * inputs
            if name in self.skips:
                channels += widths[block] * inputs
            target = own[block_of(self.names[i + 1]) - 1] if i + 1 < len(names) else 3
            self.add_module(name, ReflectConv2d(channels, target))
            if norm != "none" and target != 3:
                self.get_parameter(f"{name}.bias").requires_grad_(False)  # cancelled: its gradient would be rounding
                self.add_module(name.replace("conv", "norm"), NORMS[norm](target))
        self.shortcuts = frozenset(name for name in names if config.residual and self._keeps_channels(name))
        self._initialise()

    def _keeps_channels(self, name: str) -> bool:
        conv = self.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        return conv.in_channels == conv.out_channels

    def _entrance(self, layer: str) -> str:
        """The convolution that takes in the features of a skip layer: the first of its block."""
        deepest = block_of(self.names[0])
        if block_of(layer) >= deepest:
            raise InputError(f"skip layer {layer} must lie in a lower block than {deepest}, the one that is decoded")
        return next(name for name in self.names if block_of(name) == block_of(layer))

    @torch.no_grad()
    def _initialise(self) -> None:
        """He initialisation with mid-grey output; under PyTorch's default the signal fades over nine layers.

        Convolutions with a shortcut start at a tenth of it, so that the signal does not grow with each of them.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        for name in self.shortcuts:
            self.get_parameter(f"{name}.weight").mul_(0.1)
        last = self.get_submodule(self.names[-1])
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.mul_(0.2)
        last.bias.fill_(0.5)

    @torch.no_grad()
    def init_from(self, other: "Decoder") -> None:
        """Initialise with a decoder of the same or fewer channels, so that both compute the same.

        Channels that `other` lacks keep their random weights and enter those of `other` with weight 0, so that only
        training brings them in (as in Net2WiderNet, Chen et al. 2016, but with new channels, not duplicated ones).

        Raises:
            InputError: if the shapes differ in any other way.
        """
        own, its = self.state_dict(), other.state_dict()
        if not (
            self.skips == other.skips
            and self.shortcuts == other.shortcuts
            and own.keys() == its.keys()
            and self._from_features() == other._from_features()
            and all(len(own[name]) >= len(tensor) for name, tensor in its.items() if tensor.ndim)
        ):
            raise InputError(
                "has another shape than this one (depth, skip layers, encoder widths, fusion, norm, shortcuts), "
                "and is not merely narrower"
            )
        for conv, fed in self._from_features().items():
            wide, narrow = own[f"{conv}.weight"], its[f"{conv}.weight"]
            outputs, passed = len(narrow), narrow.shape[1] - fed  # channels of the previous convolution, then features
            wide[:outputs] = 0
            wide[:outputs, :passed] = narrow[:, :passed]
            wide[:outputs, wide.shape[1] - fed :] = narrow[:, passed:]
        for name, tensor in its.items():
            if tensor.ndim == 1:  # biases, and parameters of norms
                own[name][: len(tensor)] = tensor
            elif not tensor.ndim:  # number of batches that a norm has tracked
                own[name].copy_(tensor)

    def _from_features(self) -> dict[str, int]:
        """Number of each convolution's input channels that are fused features."""
        before = (0, *(len(self.get_parameter(f"{name}.weight")) for name in self.names[:-1]))
        return {
            name: self.get_parameter(f"{name}.weight").shape[1] - passed
            for name, passed in zip(self.names, before, strict=True)
        }

    def forward(self, features: Tensor, *skips: Tensor) -> Tensor:
        """Map fused features back to an image."""
        compute = self._rewritten_forward if self._is_rewritten(features, skips) else self._plain_forward
        return compute(features, *skips)

    def _plain_forward(self, features: Tensor, *skips: Tensor) -> Tensor:
        """The layers one after the other, as the paper has them."""
        x, rest, negative_slope = features, iter(skips), self.config.decoder_slope
        modules = dict(self.named_children())
        for i, name in enumerate(self.names):
            if name in self.skips:
                skip = next(rest)
                x = torch.cat((cut(x, skip.shape[2:]), skip), dim=1)
            before, x = x, modules[name](x)
            if i + 1 == len(self.names):
                break
            norm = modules.get(name.replace("conv", "norm"))
            x = x if norm is None else norm(x)
            x = x + before if name in self.shortcuts else x
            x = F.leaky_relu(x, negative_slope, inplace=True) if negative_slope else F.relu(x, inplace=True)
            if block_of(self.names[i + 1]) < block_of(name):
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def _is_rewritten(self, features: Tensor, skips: Sequence[Tensor]) -> bool:
        """Whether `_rewritten_forward` can compute this; what is cut after up-sampling, only without a gradient."""
        plain = self.config.norm != "none" or self.shortcuts or len(self.names) == 1
        if plain or not rewritten(features):
            return False
        rest, size = iter(skips), list(features.shape[2:])
        for name, following in pairwise(self.names):
            if block_of(following) == block_of(name):
                continue
            size = [2 * length for length in size]
            if following in self.skips:
                own = next(rest).shape[2:]
                cut_off = [length - kept for length, kept in zip(size, own, strict=True)]
                size = list(own)
                if any(cut_off) and torch.is_grad_enabled():
                    return False
                if any(kept < 3 + gone for kept, gone in zip(own, cut_off, strict=True)):  # too small to be padded
                    return False
        return True

    def _rewritten_forward(self, features: Tensor, *skips: Tensor) -> Tensor:
        """`forward` by the rewrites; `x` is padded as the convolution that takes it in needs it."""
        rest, modules = iter(skips), dict(self.named_children())
        x, up = reflect_pad(features), False
        for name, following in pairwise(self.names):
            conv = modules[name]
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            was_up, up = up, block_of(following) < block_of(name)
            options: Any = {"slope": self.config.decoder_slope, "inset": REPLICATED if up else REFLECTED}
            if was_up:
                skip = next(rest) if name in self.skips else None
                x, _ = upsampled_conv(x, conv.weight, conv.bias, skip=skip, **options)
            else:
                x, _ = activated(F.conv2d(x, conv.weight, conv.bias), **options)
        last = modules[self.names[-1]]
        assert isinstance(last, nn.Conv2d)
        return F.conv2d(x, last.weight, last.bias)


def cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """The upper left part of (N, C, H, W) of height and width `size`: up-sampling may have rounded the size up.

    Example:
        >>> cut(torch.rand(1, 3, 8, 8), (7, 6)).shape
        torch.Size([1, 3, 7, 6])
    """
    if is_exporting():  # the exporter cannot know that x is at least as large; a slice could be shorter
        for axis, length in zip((2, 3), size, strict=True):
            x = x.index_select(axis, torch.arange(length, device=x.device))
        return x
    return x[..., : size[0], : size[1]]
