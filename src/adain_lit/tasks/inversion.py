"""Training a decoder that only inverts the encoder: the inverse network of Chen & Schmidt's style swap."""

import torch
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.losses import content_loss, total_variation
from adain_lit.nets.fusion import named_fusion
from adain_lit.tasks.config import InversionConfig
from adain_lit.tasks.style_transfer import StyleTransferModule, require_weights


class InversionModule(StyleTransferModule):
    """Inverse network for the features of content and style images, and for fused features.

    A third of each batch are features of content images, a third of style images, and a third fused features, which
    need not be the features of any image. Features of the decoded images are compared with the decoder's input; for
    content and style images pixels are compared too (Chen & Schmidt 2016, Sec. 4.2, and their code). Options:
    `InversionConfig`.

    Example:
        >>> module = InversionModule(encoder="distilled", unit_mean_images=0)
        >>> losses = module.losses(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32))
        >>> losses["inversion_loss"].shape, losses["tv_loss"].shape
        (torch.Size([2]), torch.Size([2]))
    """

    config_class = InversionConfig
    config: InversionConfig

    def configure_losses(self) -> None:
        """The losses of features, pixels and total variation."""
        c = self.config
        if named_fusion(c.fusion).content_target != "fused":
            raise InputError(f"fusion {c.fusion} gives no features of the encoder, which alone can be inverted")
        require_weights(c, "pixel_weight", "tv_weight")
        for name in ("skip_layers", "train_encoder", "loss_encoder", "skips_from", "identity_weight", "color_weight"):
            if getattr(c, name):
                raise InputError(f"{name} is {getattr(c, name)}; the inverse network has no use for it, leave it out")
        super().configure_losses()
        self.average_losses([*self.val_losses, "inversion_loss", "pixel_loss", "tv_loss"])

    def losses(self, content: Tensor, style: Tensor, skips: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of a batch of pairs; content and style images have the same size.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style: (N, 3, H, W), RGB in [0, 1].
            skips: unused; an inverse network has no skip layers.

        Returns:
            Each (N,): ``loss``; ``content_loss`` and ``style_loss`` of the fused images as in `PerceptualLoss`;
            ``inversion_loss``, the content loss of content and style images; ``pixel_loss``; ``tv_loss``.
        """
        net, layers, c, count = self.net, self.criterion.layers, self.config, len(content)
        images = torch.cat((content, style))
        if c.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            features = net.encoder(images, layers)
            plain = features[net.content_layer]  # (2 N, C, H', W')
            (fused,) = net.fuse((plain[:count],), [(plain[count:],)])
        made = net.decode((torch.cat((plain, fused)),), images.shape[2:])  # (3 N, 3, H, W)
        found = net.encoder(made, layers)
        of_fused = {layer: x[2 * count :] for layer, x in found.items()}
        losses: dict[str, Tensor] = self.criterion(of_fused, fused, {name: x[count:] for name, x in features.items()})
        inversion = content_loss(found[net.content_layer][: 2 * count], plain)
        pixel = (made[: 2 * count].float() - images.float()).abs().flatten(1).mean(1)
        losses["inversion_loss"] = inversion.view(2, count).mean(0)
        losses["pixel_loss"] = pixel.view(2, count).mean(0)
        losses["tv_loss"] = total_variation(made).view(3, count).mean(0)
        losses["loss"] = (
            (losses["content_loss"] + 2 * losses["inversion_loss"]) / 3
            + c.style_weight * losses["style_loss"]
            + c.pixel_weight * losses["pixel_loss"]
            + c.tv_weight * losses["tv_loss"]
        )
        return losses
