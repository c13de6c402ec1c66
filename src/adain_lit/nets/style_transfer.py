"""The style transfer network T of the paper: encoder, fusion and decoder."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from adain_lit.errors import InputError, counted
from adain_lit.nets.config import NetConfig, select
from adain_lit.nets.decoder import Decoder, cut
from adain_lit.nets.fusion import named_fusion
from adain_lit.nets.vgg import VGGEncoder, conv_names, stride_of

Features = tuple[Tensor, ...]
"""Features of each fused layer, the deepest first: (N, C, H / s, W / s), sizes rounded up, s the layer's stride. In the
paper's network that is relu4_1 alone."""

Stats = tuple[tuple[Tensor, Tensor], ...]
"""Mean and standard deviation of each channel, each (N, C, 1, 1), for each fused layer."""


class StyleTransferNet(nn.Module):
    """T(c, s) = g(t), t = AdaIN(f(c), f(s)), with the runtime controls of Sec. 7.3.

    Args:
        encoder: f, frozen here; it must reach the content layer.
        config: the options, see `NetConfig`.
        **options: fields of `NetConfig` that replace those of `config`.

    Raises:
        InputError: for an unknown fusion, norm or layer, or options that do not fit each other.

    Example:
        >>> net = StyleTransferNet(VGGEncoder("compact"), residual=True).eval()
        >>> net(torch.rand(1, 3, 40, 32), torch.rand(1, 3, 24, 24), alpha=0.5).shape
        torch.Size([1, 3, 40, 32])
    """

    def __init__(self, encoder: VGGEncoder, config: NetConfig | None = None, **options: Any) -> None:
        super().__init__()
        self.config = select(NetConfig, vars(replace(config or NetConfig(), **options)))
        self.fusion = named_fusion(self.config.fusion)
        self.content_layer = self.config.content_layer
        self.skip_layers = tuple(sorted(self.config.skip_layers, key=lambda layer: -len(conv_names(layer))))
        self.encoder = encoder.requires_grad_(False)
        self.decoder = Decoder(encoder.widths, self.config)

    @property
    def fused_layers(self) -> tuple[str, ...]:
        """All fused layers, deepest first."""
        return (self.content_layer, *self.skip_layers)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the fused layers in pixels: 8 for relu4_1."""
        return tuple(stride_of(layer) for layer in self.fused_layers)

    @property
    def tileable(self) -> bool:
        """Whether tiles of an image can be processed one by one; instance norm in the decoder needs the whole image."""
        return self.fusion.tileable and self.config.norm != "instance"

    def encode(self, images: Tensor) -> Features:
        """Features f(x) of the fused layers, (N, 3, H, W) to (N, C, H', W') each."""
        features = self.encoder(images, self.fused_layers)
        return tuple(features[layer] for layer in self.fused_layers)

    def fuse(
        self,
        content: Features,
        styles: Sequence[Features],
        *,
        alpha: float = 1.0,
        weights: Sequence[float] | None = None,
        masks: Sequence[Tensor | Features] | None = None,
        content_stats: Sequence[Stats] | None = None,
    ) -> Features:
        """Decoder input for K styles: Eqs. 8, 14 and 15 and the spatial control of Sec. 7.3 together.

        With one style and no controls this is the fusion itself. Let u be the content fused with itself (f(c) for
        AdaIN) and F_k the content fused with style k within its mask, content statistics included. Then

            t = u + cover / sum_k(w_k m_k) * sum_k w_k (F_k - u),   cover = min(1, sum_k m_k),

        which is sum_k w_k F_k without masks, style k alone where only mask k is set, a mixture in proportion to w_k m_k
        where masks overlap, and the content where none is set. Alpha interpolates from u to t. This applies to every
        fused layer.

        Args:
            content: features of the content, for each layer (N, C, H, W).
            styles: K features, for each layer (N, C, H', W').
            alpha: degree of stylisation; 0 gives the content, 1 the styles.
            weights: K non-negative weights, divided by their sum; None weights all equally.
            masks: K masks, each (N, 1, h, w) in [0, 1] of any size and area-averaged to each layer's, or one for each
                layer. None: everywhere.
            content_stats: if `content` is a tile, the mean and standard deviation of the whole content, for each mask
                (once without masks) and each layer.

        Returns:
            Features for the decoder, for each layer (N, C', H, W).

        Raises:
            InputError: if the numbers of styles, weights and masks differ, or weights or masks are unusable.
        """
        normalised = normalised_weights(len(styles), weights)
        if masks is not None and len(masks) != len(styles):
            raise InputError(
                f"{counted(len(styles), 'style')} but {counted(len(masks), 'mask')}; give one mask for each style"
            )
        if content_stats is not None and not self.fusion.tileable:
            raise InputError("tiles need a fusion by statistics (fusion=adain); stylise the image in one piece")
        return tuple(
            self._fuse_layer(
                x,
                [style[i] for style in styles],
                alpha,
                normalised,
                None if masks is None else [mask if isinstance(mask, Tensor) else mask[i] for mask in masks],
                None if content_stats is None else [stats[i] for stats in content_stats],
            )
            for i, x in enumerate(content)
        )

    def _fuse_layer(
        self,
        content: Tensor,
        styles: Sequence[Tensor],
        alpha: float,
        weights: Sequence[float],
        masks: Sequence[Tensor] | None,
        content_stats: Sequence[tuple[Tensor, Tensor]] | None,
    ) -> Tensor:
        """The same for one layer, (N, C', H, W)."""
        if masks is None:
            (whole,) = content_stats or (None,)
            fused = [self.fusion.fuse(content, style, content_stats=whole) for style in styles]
            target = fused[0]
            if len(fused) > 1:
                target = torch.stack([w * x for w, x in zip(weights, fused, strict=True)]).sum(0)
            if alpha == 1.0:
                return target
            unstyled = self.fusion.fuse(content, content)
            return torch.lerp(unstyled, target, alpha)
        regions = [F.interpolate(mask.to(content.dtype), size=content.shape[2:], mode="area") for mask in masks]
        stats = [None] * len(masks) if content_stats is None else list(content_stats)
        unstyled = self.fusion.fuse(content, content)
        change = torch.zeros_like(unstyled)
        total = torch.zeros_like(regions[0])  # (N, 1, H, W)
        for w, style, mask, whole in zip(weights, styles, regions, stats, strict=True):
            change = change + w * (self.fusion.fuse(content, style, mask, content_stats=whole) - unstyled)
            total = total + w * mask
        cover = torch.stack(regions).sum(0).clamp(max=1.0)
        gain = torch.where(total > 0, cover / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)  # 0 where no mask is
        return unstyled + alpha * gain * change

    def decode(self, fused: Features, size: Sequence[int]) -> Tensor:
        """Image of height and width `size` from fused features; RGB, not clipped."""
        return cut(self.decoder(*fused), size)

    def forward(
        self,
        content: Tensor,
        styles: Tensor | Sequence[Tensor],
        *,
        alpha: float = 1.0,
        weights: Sequence[float] | None = None,
        masks: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Stylise a batch.

        Args:
            content: images, (N, 3, H, W), RGB in [0, 1].
            styles: one batch of style images (N, 3, H', W') or K of them, each of its own size.
            alpha: degree of stylisation (Eq. 14).
            weights: weights of the K styles (Eq. 15).
            masks: a region of the content for each style.

        Returns:
            Images, (N, 3, H, W), RGB in [0, 1].
        """
        styles = [styles] if isinstance(styles, Tensor) else styles
        features = [self.encode(style) for style in styles]
        fused = self.fuse(self.encode(content), features, alpha=alpha, weights=weights, masks=masks)
        return self.decode(fused, content.shape[2:]).clamp(0, 1)


def normalised_weights(count: int, weights: Sequence[float] | None) -> list[float]:
    """Weights of `count` styles divided by their sum; None weights all equally.

    Raises:
        InputError: if there is no style, or the weights are too few or many, negative, or all 0.

    Example:
        >>> normalised_weights(2, [3, 1])
        [0.75, 0.25]
    """
    if count == 0:
        raise InputError("no style was given; at least one is needed")
    weights = [1.0] * count if weights is None else list(weights)
    if len(weights) != count:
        raise InputError(
            f"{counted(count, 'style')} but {counted(len(weights), 'weight')}; give one weight for each style"
        )
    total = sum(weights)
    if not all(0 <= w < float("inf") for w in weights) or not total > 0:
        raise InputError(f"style weights {weights} must be 0 or more, with a sum above 0")
    return [w / total for w in weights]
