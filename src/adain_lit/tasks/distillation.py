"""Training an encoder to follow another one."""

from typing import Any

import torch
from torch import Tensor

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import content_loss, style_loss
from adain_lit.nets import HeadedEncoder
from adain_lit.nets.vgg import VGGEncoder, deepest, mean_activations, normalize_activations
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.config import DistillationConfig
from adain_lit.tasks.schedule import adam
from adain_lit.weights.encoders import checksum, load_encoder, load_loss_network, require_checksum


class DistillationModule(LossModule):
    """An encoder (the student) whose features, through 1x1 heads, follow those of a teacher.

    At each layer the loss is the mean squared difference of the features, plus `style_weight` times that of their
    means and standard deviations, which AdaIN and the style loss use. Content and style images are treated alike. The
    heads are needed for training and when the student replaces the teacher in a loss network; AdaIN works on the
    student's own features. A student of the teacher's widths can do without heads, and can keep convolutions of
    `fixed_weights`, so that layers which are known stay exact. Options: `DistillationConfig`.

    Example:
        >>> module = DistillationModule(teacher="distilled", unit_mean_images=0, layers=["relu1_1", "relu2_1"])
        >>> sorted(module.losses(torch.rand(2, 3, 32, 32)))
        ['feature_loss/relu1_1', 'feature_loss/relu2_1', 'loss', 'style_loss/relu1_1', 'style_loss/relu2_1']
    """

    config_class = DistillationConfig
    config: DistillationConfig
    frozen = ("teacher.",)
    stylizes = False

    def configure_losses(self) -> None:
        """Two losses for each layer."""
        kinds = ("feature_loss", "style_loss")
        self.average_losses(("loss", *(f"{kind}/{layer}" for kind in kinds for layer in self.config.layers)))

    def configure_networks(self) -> None:
        """Load the teacher, and the student with heads of the teacher's widths."""
        c = self.config
        self.teacher = load_loss_network(c.teacher, layers=c.layers)
        student = load_encoder(
            c.encoder, widths=c.encoder_widths, last=deepest(c.layers), preprocessing=c.encoder_preprocessing
        )
        if c.fixed_weights is not None:
            self.fix(student, self.fixed_encoder())
        if not c.heads:
            self.require_widths(student)
        self.student = HeadedEncoder(student, self.teacher.widths if c.heads else {})

    def fixed_encoder(self) -> VGGEncoder:
        """The encoder of `fixed_weights`, which ends at `fixed_layer`."""
        c = self.config
        assert c.fixed_weights is not None
        return load_encoder(c.fixed_weights, last=c.fixed_layer, preprocessing=c.encoder_preprocessing)

    @staticmethod
    def fix(student: VGGEncoder, fixed: VGGEncoder) -> None:
        """Copy the convolutions of `fixed` into the student, and exclude them from training.

        Raises:
            InputError: if the student ends earlier or has other widths.
        """
        own = dict(student.convs())
        for name, conv in fixed.convs():
            if name not in own or own[name].weight.shape != conv.weight.shape:
                raise InputError(
                    f"the fixed weights do not fit the student at {name}; set model.encoder_widths to theirs, and "
                    "model.fixed_layer to a layer before the student's last"
                )
            own[name].load_state_dict(conv.state_dict())
            own[name].requires_grad_(False)

    def require_widths(self, student: VGGEncoder) -> None:
        """Refuse a student that has other widths than the teacher, if nothing maps one to the other.

        Raises:
            InputError: if the widths of a layer differ.
        """
        for layer, width in self.teacher.widths.items():
            if student.channels(layer) != width:
                raise InputError(
                    f"without heads the student needs the teacher's {width} channels at {layer}, but has "
                    f"{student.channels(layer)}; set model.encoder_widths, or model.heads=true"
                )

    def configure_compilation(self) -> None:
        """Compile student and teacher."""
        self.student.compile()
        self.teacher.compile()

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """Differences between student and teacher.

        Args:
            images: (N, 3, H, W), RGB in [0, 1].

        Returns:
            ``loss``, and ``feature_loss/<layer>`` and ``style_loss/<layer>`` (not weighted), each (N,).
        """
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = self.teacher(images)
        student = self.student if self.config.heads else self.student.encoder
        found = student(images, tuple(wanted))
        features = {f"feature_loss/{layer}": content_loss(found[layer], x) for layer, x in wanted.items()}
        styles = {f"style_loss/{layer}": style_loss(found[layer], x) for layer, x in wanted.items()}
        total = torch.stack(list(features.values())).sum(0)
        total = total + self.config.style_weight * torch.stack(list(styles.values())).sum(0)
        return {"loss": total, **features, **styles}

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the content and the style images of a batch."""
        return self.losses(torch.cat((batch.content, batch.style)))

    def configure_optimizers(self) -> Any:
        """Adam on what is trained of the student, and on its heads."""
        groups: list[dict[str, Any]] = [{"params": [p for p in self.student.encoder.parameters() if p.requires_grad]}]
        if self.config.heads:
            groups.append({"params": self.student.heads.parameters(), "lr": self.config.head_lr})
        return adam(groups, self.config)

    def on_fit_start(self) -> None:
        """Scale fixed convolutions and teacher on training images, unless a checkpoint provided the scales."""
        count = self.config.unit_mean_images
        if count and self.config.fixed_weights is not None and self.global_step == 0:
            fixed = self.fixed_encoder().to(self.device)
            normalize_activations(fixed, mean_activations(fixed, self.content_images(count)))
            self.fix(self.student.encoder, fixed)
        if count and not self.teacher.scales:
            self.teacher.normalize(self.content_images(count))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Exclude the teacher; save what is needed to rebuild it."""
        self.exclude_frozen(checkpoint)
        checkpoint["teacher"] = {"sha256": checksum(self.teacher), "mean_activations": self.teacher.scales}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the teacher from the hyper-parameters.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with another teacher.
        """
        saved = checkpoint.get("teacher")
        if saved is None:
            raise InputError("the checkpoint was not written by DistillationModule; give one of its runs")
        require_checksum(checksum(self.teacher), saved["sha256"], f"teacher {self.config.teacher}")
        self.teacher.scales = saved["mean_activations"]
        self.restore_frozen(checkpoint)
