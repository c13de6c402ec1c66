"""Training a small encoder to follow a large one."""

from typing import Any

import torch
from torch import Tensor

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import content_loss, style_loss
from adain_lit.nets import HeadedEncoder
from adain_lit.nets.vgg import deepest
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.config import DistillationConfig
from adain_lit.tasks.schedule import adam
from adain_lit.weights.encoders import checksum, load_encoder, load_loss_network, require_checksum


class DistillationModule(LossModule):
    """An encoder (the student) whose features, through 1x1 heads, follow those of a teacher.

    At each layer the loss is the mean squared difference of the features, plus `style_weight` times that of their
    means and standard deviations, which AdaIN and the style loss use. Content and style images are treated alike. The
    heads are needed for training and when the student replaces the teacher in a loss network; AdaIN works on the
    student's own features. Options: `DistillationConfig`.

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
        self.student = HeadedEncoder(student, self.teacher.widths)

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
        found = self.student(images)
        features = {f"feature_loss/{layer}": content_loss(found[layer], x) for layer, x in wanted.items()}
        styles = {f"style_loss/{layer}": style_loss(found[layer], x) for layer, x in wanted.items()}
        total = torch.stack(list(features.values())).sum(0)
        total = total + self.config.style_weight * torch.stack(list(styles.values())).sum(0)
        return {"loss": total, **features, **styles}

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the content and the style images of a batch."""
        return self.losses(torch.cat((batch.content, batch.style)))

    def configure_optimizers(self) -> Any:
        """Adam on the student and its heads."""
        heads = {"params": self.student.heads.parameters(), "lr": self.config.head_lr}
        return adam([{"params": self.student.encoder.parameters()}, heads], self.config)

    def on_fit_start(self) -> None:
        """Scale the teacher on training images, unless a checkpoint provided the scales."""
        count = self.config.unit_mean_images
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
