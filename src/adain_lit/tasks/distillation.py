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

    At each layer the loss is the mean squared difference of the features, and `style_weight` times that of their
    means and standard deviations, which AdaIN and the style loss look at. Photographs and paintings are treated
    alike. The heads serve in training, and make the student stand for the teacher in a loss network; AdaIN works on
    the student's own features.
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
        """Losses of the photographs and the paintings of a batch."""
        return self.losses(torch.cat((batch.content, batch.style)))

    def configure_optimizers(self) -> Any:
        """Adam on the student and its heads."""
        heads = {"params": self.student.heads.parameters(), "lr": self.config.head_lr}
        return adam([{"params": self.student.encoder.parameters()}, heads], self.config)

    def on_fit_start(self) -> None:
        """Scale the teacher on the training photographs, unless a checkpoint brought the scale."""
        count = self.config.unit_mean_images
        if count and not self.teacher.scales:
            self.teacher.normalize(self.photographs(count))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the teacher out; keep what it takes to build it again."""
        self.leave_frozen_out(checkpoint)
        checkpoint["teacher"] = {"sha256": checksum(self.teacher), "mean_activations": self.teacher.scales}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the teacher that was built from the hyper-parameters beside the student of the checkpoint.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with another teacher.
        """
        saved = checkpoint.get("teacher")
        if saved is None:
            raise InputError("the checkpoint was not written by DistillationModule; give one of its runs")
        require_checksum(checksum(self.teacher), saved["sha256"], f"teacher {self.config.teacher}")
        self.teacher.scales = saved["mean_activations"]
        self.put_frozen_back(checkpoint)
