"""Training a decoder to do nothing but undo the encoder: the inverse network of Chen & Schmidt's style swap."""

import torch
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.losses import content_loss, total_variation
from adain_lit.nets.fusion import named_fusion
from adain_lit.nets.vgg import PAPER_STYLE_LAYERS
from adain_lit.tasks.style_transfer import StyleTransferModule


class InversionModule(StyleTransferModule):
    """Inverse network for features of photographs and paintings, and for features that a fusion makes of both.

    A third of each batch is photographs, a third paintings, a third fused features, which may be features of no
    image. Of every image that is made the features are compared with those that it was made of; of photographs
    and paintings also the pixels (Chen & Schmidt 2016, Sec. 4.2, and their code).

    Args:
        fusion: ``style_swap`` or another name in `adain_lit.nets.FUSIONS` whose result lies in the encoder's space.
        norm: normalisation in the decoder: ``none``, ``batch`` (theirs) or ``instance``.
        encoder: weights, see `StyleTransferModule`.
        encoder_widths: the same.
        encoder_preprocessing: the same.
        unit_mean_images: the same.
        decoder: the same.
        content_layer: the layer that is fused and inverted.
        style_weight: weight of the style loss of fused images; theirs is 0, and it is logged all the same.
        pixel_weight: weight of the mean absolute difference of pixels; an option of their code.
        tv_weight: weight of the total variation of all images that are made.
        lr: learning rate of Adam.
        lr_schedule: ``inverse``, theirs, or ``cosine``, see `adain_lit.tasks.schedule.adam`.
        lr_decay: of ``inverse``.
        lr_steps: of ``cosine``: the step at which the rate reaches 0.
        lr_warmup: steps over which the rate rises first.
        channels_last: keep images and weights in channels-last memory, which convolutions prefer.
        compile: compile encoder and decoder with ``torch.compile``.
    """

    def __init__(
        self,
        *,
        fusion: str = "style_swap",
        norm: str = "batch",
        encoder: str = "torchvision",
        encoder_widths: str | None = None,
        encoder_preprocessing: str = "auto",
        unit_mean_images: int = 64,
        decoder: str | None = None,
        content_layer: str = "relu3_1",
        style_weight: float = 0.0,
        pixel_weight: float = 1.0,
        tv_weight: float = 0.1,
        lr: float = 1e-3,
        lr_schedule: str = "inverse",
        lr_decay: float = 1e-4,
        lr_steps: int | None = None,
        lr_warmup: int = 0,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        if named_fusion(fusion).content_target != "fused":
            raise InputError(f"fusion {fusion} gives no features of the encoder, which alone can be inverted")
        for name, weight in (("pixel_weight", pixel_weight), ("tv_weight", tv_weight)):
            if not 0 <= weight < float("inf"):
                raise InputError(f"{name} is {weight}; it must be 0 or more")
        super().__init__(
            fusion=fusion,
            norm=norm,
            encoder=encoder,
            encoder_widths=encoder_widths,
            encoder_preprocessing=encoder_preprocessing,
            unit_mean_images=unit_mean_images,
            decoder=decoder,
            content_layer=content_layer,
            style_weight=style_weight,
            lr=lr,
            lr_schedule=lr_schedule,
            lr_decay=lr_decay,
            lr_steps=lr_steps,
            lr_warmup=lr_warmup,
            channels_last=channels_last,
            compile=compile,
        )
        names = ["loss", "content_loss", "style_loss", *(f"style_loss/{layer}" for layer in PAPER_STYLE_LAYERS)]
        self.average_losses([*names, "inversion_loss", "pixel_loss", "tv_loss"])

    def losses(self, content: Tensor, style: Tensor, skips: Tensor | None = None) -> dict[str, Tensor]:
        """Losses of a batch of pairs, whose images are all of one size.

        Args:
            content: (N, 3, H, W), RGB in [0, 1].
            style: (N, 3, H, W), RGB in [0, 1].
            skips: as in the parent; without skip layers it changes nothing.

        Returns:
            Each (N,): ``loss``; ``content_loss`` and ``style_loss`` of the fused images as `PerceptualLoss` gives
            them; ``inversion_loss``, the content loss of photographs and paintings; ``pixel_loss``; ``tv_loss``.
        """
        net, layers, h, count = self.net, self.criterion.layers, self.hparams, len(content)
        images = torch.cat((content, style))
        if h["channels_last"]:
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
            + h["style_weight"] * losses["style_loss"]
            + h["pixel_weight"] * losses["pixel_loss"]
            + h["tv_weight"] * losses["tv_loss"]
        )
        return losses
