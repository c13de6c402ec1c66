"""Training a small encoder to follow a large one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.losses import content_loss, style_loss
from adain_lit.nets import HeadedEncoder
from adain_lit.nets.vgg import PAPER_STYLE_LAYERS, deepest
from adain_lit.tasks.base import LossModule
from adain_lit.tasks.schedule import adam
from adain_lit.weights.encoders import checksum, load_encoder, load_loss_network, require_checksum


class DistillationModule(LossModule):
    """An encoder (the student) whose features, through 1x1 heads, follow those of a teacher.

    At each layer the loss is the mean squared difference of the features, and `style_weight` times that of their
    means and standard deviations, which AdaIN and the style loss look at. Photographs and paintings are treated
    alike. The heads serve in training, and make the student stand for the teacher in a loss network; AdaIN works on
    the student's own features.

    Args:
        encoder: the student's first weights, ``random`` or what `load_encoder` takes.
        encoder_widths: the student's channels for random weights: ``compact`` or ``vgg19``.
        encoder_preprocessing: what input the first weights expect; ``imagenet`` lets random ones begin with centred
            colours.
        teacher: weights as `load_loss_network` takes them: one name or file, or several of which each layer is taken
            from the first that reaches it.
        layers: the layers to follow; the deepest is where the student ends.
        unit_mean_images: number of training photographs on which every channel of the teacher is scaled to mean
            activation 1, so that all weigh alike.
        style_weight: weight of the differences of means and standard deviations.
        lr: learning rate of Adam for the encoder.
        head_lr: the same for the heads, whose weights have further to go.
        lr_schedule: ``inverse`` or ``cosine``, see `adain_lit.tasks.schedule.adam`.
        lr_decay: of ``inverse``.
        lr_steps: of ``cosine``: the step at which the rate reaches 0.
        lr_warmup: steps over which the rate rises first.
        channels_last: keep images and weights in channels-last memory, which convolutions prefer.
        compile: compile student and teacher with ``torch.compile``.
    """

    frozen = ("teacher.",)
    stylizes = False

    def __init__(
        self,
        *,
        encoder: str = "random",
        encoder_widths: str | None = "compact",
        encoder_preprocessing: str = "auto",
        teacher: str | Sequence[str] = "torchvision",
        layers: Sequence[str] = PAPER_STYLE_LAYERS,
        unit_mean_images: int = 64,
        style_weight: float = 1.0,
        lr: float = 1e-3,
        head_lr: float = 1e-2,
        lr_schedule: str = "inverse",
        lr_decay: float = 5e-5,
        lr_steps: int | None = None,
        lr_warmup: int = 0,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        layers = list(layers)
        teacher = teacher if isinstance(teacher, str) else list(teacher)
        self.save_hyperparameters(logger=False)
        self.teacher = load_loss_network(teacher, layers=layers)
        last = deepest(layers)
        student = load_encoder(encoder, widths=encoder_widths, last=last, preprocessing=encoder_preprocessing)
        self.student = HeadedEncoder(student, self.teacher.widths)
        if channels_last:
            self.to(memory_format=torch.channels_last)
        if compile:
            self.student.compile()
            self.teacher.compile()
        kinds = ("feature_loss", "style_loss")
        self.average_losses(("loss", *(f"{kind}/{layer}" for kind in kinds for layer in layers)))

    def losses(self, images: Tensor) -> dict[str, Tensor]:
        """Differences between student and teacher.

        Args:
            images: (N, 3, H, W), RGB in [0, 1].

        Returns:
            ``loss``, and ``feature_loss/<layer>`` and ``style_loss/<layer>`` (not weighted), each (N,).
        """
        if self.hparams["channels_last"]:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = self.teacher(images)
        found = self.student(images)
        features = {f"feature_loss/{layer}": content_loss(found[layer], x) for layer, x in wanted.items()}
        styles = {f"style_loss/{layer}": style_loss(found[layer], x) for layer, x in wanted.items()}
        total = torch.stack(list(features.values())).sum(0)
        total = total + self.hparams["style_weight"] * torch.stack(list(styles.values())).sum(0)
        return {"loss": total, **features, **styles}

    def batch_losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Losses of the photographs and the paintings of a batch."""
        return self.losses(torch.cat((batch.content, batch.style)))

    def configure_optimizers(self) -> Any:
        """Adam on the student and its heads."""
        h: Any = self.hparams
        return adam(
            [
                {"params": self.student.encoder.parameters()},
                {"params": self.student.heads.parameters(), "lr": h.head_lr},
            ],
            lr=h.lr,
            schedule=h.lr_schedule,
            decay=h.lr_decay,
            steps=h.lr_steps,
            warmup=h.lr_warmup,
        )

    def on_fit_start(self) -> None:
        """Scale the teacher on the training photographs, unless a checkpoint brought the scale."""
        count = self.hparams["unit_mean_images"]
        if count and not self.teacher.means:
            self.teacher.normalize(self.photographs(count))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the teacher out; keep what it takes to build it again."""
        self.leave_frozen_out(checkpoint)
        checkpoint["teacher"] = {"sha256": checksum(self.teacher), "mean_activations": self.teacher.means}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the teacher that was built from the hyper-parameters beside the student of the checkpoint.

        Raises:
            InputError: if the checkpoint is not of this class, or was trained with another teacher.
        """
        saved = checkpoint.get("teacher")
        if saved is None:
            raise InputError("the checkpoint was not written by DistillationModule; give one of its runs")
        require_checksum(checksum(self.teacher), saved["sha256"], f"teacher {self.hparams['teacher']}")
        self.teacher.means = saved["mean_activations"]
        self.put_frozen_back(checkpoint)
