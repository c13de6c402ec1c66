"""The content and style images of training, validation and evaluation, as a Lightning data module."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from adain_lit.data.demo import DEMO, demo_content_images, demo_style_images
from adain_lit.data.folders import hold_out
from adain_lit.data.lists import find_source_images
from adain_lit.data.pairs import (
    CONTENT,
    PREFETCH,
    STYLE,
    HeldOutBatches,
    HeldOutPairs,
    ImageStream,
    PairBatch,
    PairDataset,
    SkippedFile,
    StepBatches,
    WorkerLoader,
    collate,
    read_held_out,
    require_shared_memory,
)
from adain_lit.errors import InputError, counted
from adain_lit.io.images import MAX_PIXELS


class PairedDataModule(L.LightningDataModule):
    """Independent content and style images, paired at random (Sec. 6.2).

    A training sample is a pure function of (seed, index): both files and both crop boxes. It does not depend on
    resuming, on the number of workers or on the number of processes.

    Args:
        content_dir: content images: a folder (searched recursively), a list written by ``adain_lit.prepare``, or
            ``demo``.
        style_dir: style images, likewise.
        val_content_dir: held-out content images; None holds out `val_fraction` of the content files.
        val_style_dir: held-out style images, likewise.
        val_fraction: fraction of the files held out where no folder is given, in (0, 1).
        resize: shorter side before cropping, in pixels, aspect kept; None keeps the size of each image.
        crop: side of the random crop, in pixels, at most `resize`.
        flip: mirror half of the crops; the paper does not.
        batch_size: pairs per optimiser step, over all processes.
        seed: seed of the samples, at least 0.
        val_pairs: number of fixed validation pairs.
        num_workers: processes that read images, per training process; 0 reads in the training process.
        cache: number of decoded content images and of style images that each worker keeps in memory; useful for small
            folders.
        draft: decode large JPEGs of training at a fraction of their size, see `ImageStream`.
        max_pixels: larger images are skipped.

    Raises:
        InputError: if a size or fraction is out of range, and in ``setup`` if a folder is missing or unreadable.

    Example:
        >>> data = PairedDataModule("demo", "demo", crop=64, resize=64, batch_size=4, num_workers=0)
        >>> data.setup("fit")
        >>> batch = next(iter(data.train_dataloader()))
        >>> batch.content.shape, batch.style.dtype, batch.indices.tolist()
        (torch.Size([4, 3, 64, 64]), torch.uint8, [0, 1, 2, 3])
    """

    def __init__(
        self,
        content_dir: str,
        style_dir: str,
        *,
        val_content_dir: str | None = None,
        val_style_dir: str | None = None,
        val_fraction: float = 0.05,
        resize: int | None = 512,
        crop: int = 256,
        flip: bool = False,
        batch_size: int = 8,
        seed: int = 0,
        val_pairs: int = 32,
        num_workers: int = 2,
        cache: int = 0,
        draft: bool = True,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        super().__init__()
        if resize is not None and crop > resize:
            raise InputError(f"data.crop is {crop}, more than data.resize {resize}; crop at most the resized side")
        for name, value, least in (
            ("crop", crop, 1),
            ("batch_size", batch_size, 1),
            ("val_pairs", val_pairs, 1),
            ("seed", seed, 0),
            ("num_workers", num_workers, 0),
            ("cache", cache, 0),
        ):
            if value < least:
                raise InputError(f"data.{name} is {value}; it must be at least {least}")
        if not 0 < val_fraction < 1:
            raise InputError(f"data.val_fraction is {val_fraction}; it must lie between 0 and 1")
        self.save_hyperparameters(logger=False)
        self.skipped: list[SkippedFile] = []
        self.train_set: PairDataset | None = None

    def setup(self, stage: str | None = None) -> None:
        """Find all content and style images and read the held-out ones; a second call does nothing."""
        if self.train_set is not None:
            return
        h: Any = self.hparams
        contents, self.held_out_contents = self._sources(CONTENT)
        styles, self.held_out_styles = self._sources(STYLE)
        if stage in ("fit", None):
            self._require_readable(contents, h.content_dir)
            self._require_readable(styles, h.style_dir)
            crops = {key: h[key] for key in ("seed", "resize", "crop", "flip", "cache", "draft", "max_pixels")}
            self.train_set = PairDataset(
                ImageStream(contents, stream=CONTENT, source=h.content_dir, **crops),
                ImageStream(styles, stream=STYLE, source=h.style_dir, **crops),
            )
            self.val_set = self.held_out_pairs(pairs=h.val_pairs)

    def held_out_pairs(
        self,
        *,
        pairs: int | None = None,
        contents: int | None = None,
        styles: int | None = None,
        size: int | None = None,
    ) -> HeldOutPairs:
        """Fixed pairs of held-out images, cropped at their centre.

        Args:
            pairs: number of pairs; None pairs every content with every style.
            contents: maximum number of content images; None: all, or as many as the pairs need.
            styles: maximum number of style images, likewise.
            size: side of the crops in pixels; None: `crop`.

        Raises:
            InputError: if none of the held-out files of one side can be read.
        """
        h: Any = self.hparams
        size = size or int(h.crop)
        read = {"resize": None if h.resize is None else max(h.resize, size), "size": size, "max_pixels": h.max_pixels}
        images = []
        for paths, limit, source in (
            (self.held_out_contents, contents or pairs, h.val_content_dir or h.content_dir),
            (self.held_out_styles, styles or pairs, h.val_style_dir or h.style_dir),
        ):
            read_images, skipped = read_held_out(paths, limit=limit, **read)
            self.skipped += skipped
            if not len(read_images):
                raise InputError(
                    f"none of the {counted(len(paths), 'held-out file')} of {source} can be read as an image"
                )
            images.append(read_images)
        return HeldOutPairs(images[0], images[1], pairs)

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """Endless batches, starting at the current step of the trainer."""
        if self.train_set is None:
            raise RuntimeError("setup has not run; call setup('fit') first")
        first = 0 if self.trainer is None else self.trainer.global_step * self.trainer.accumulate_grad_batches
        batches = StepBatches(first, self.hparams["batch_size"], **self._process())
        workers, size = self.hparams["num_workers"], batches.size
        here = 1 if self.trainer is None else self.trainer.world_size // self.trainer.num_nodes
        require_shared_memory(size * (2 * 3 * self.hparams["crop"] ** 2 + 8), workers, here)
        return WorkerLoader(
            self.train_set,
            batch_sampler=batches,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            prefetch_factor=PREFETCH if workers else None,
        )

    def val_dataloader(self) -> DataLoader[PairBatch]:
        """The fixed held-out pairs, in order, from memory, distributed over the processes."""
        batches = HeldOutBatches(len(self.val_set), self.hparams["batch_size"], **self._process())
        return DataLoader(self.val_set, batch_sampler=batches, collate_fn=collate)

    def fingerprints(self) -> dict[str, dict[str, Any]]:
        """Number of files and SHA-256 of their sorted names of each part; two runs with equal ones had the same lists.

        Names are relative to the folder. What is in the files is not read.
        """
        if self.train_set is None:
            return {}
        h: Any = self.hparams
        parts = {
            "train content": (self.train_set.contents.paths, h.content_dir),
            "train style": (self.train_set.styles.paths, h.style_dir),
            "held-out content": (self.held_out_contents, h.val_content_dir or h.content_dir),
            "held-out style": (self.held_out_styles, h.val_style_dir or h.style_dir),
        }
        found = {}
        for part, (paths, source) in parts.items():
            root = Path(source).absolute()
            names = sorted(
                (path.absolute().relative_to(root) if path.absolute().is_relative_to(root) else Path(path.name))
                .as_posix()
                .encode(errors="surrogateescape")
                for path in paths
            )
            found[part] = {"files": len(names), "sha256": hashlib.sha256(b"\n".join(names)).hexdigest()}
        return found

    def _process(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def files(self, indices: Sequence[int]) -> list[tuple[Path, Path]]:
        """The content and the style file of training samples; the images are read once more."""
        if self.train_set is None:
            raise RuntimeError("setup has not run; call setup('fit') first")
        return [(self.train_set.contents.path(i), self.train_set.styles.path(i)) for i in indices]

    def content_images(self, count: int) -> list[Tensor]:
        """The first `count` content crops of training, each (1, 3, H, W) in [0, 1]."""
        if self.train_set is None:
            raise RuntimeError("setup has not run; call setup('fit') first")
        images = []
        for index in range(count):
            crop, skipped = self.train_set.contents[index]
            self.skipped += skipped
            images.append(crop.unsqueeze(0) / 255)
        return images

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Convert bytes to RGB in [0, 1], on the device and in the precision of the network."""
        dtype = torch.float32 if self.trainer is None else self.trainer.lightning_module.dtype
        return batch._replace(content=batch.content.to(dtype) / 255, style=batch.style.to(dtype) / 255)

    def _sources(self, side: int) -> tuple[list[Path], list[Path]]:
        """Training and held-out files of one side, `CONTENT` or `STYLE`."""
        h: Any = self.hparams
        source = (h.content_dir, h.style_dir)[side]
        val_source = (h.val_content_dir, h.val_style_dir)[side]
        demo = (demo_content_images, demo_style_images)[side]
        if source == DEMO:
            train, held_out = demo(held_out=False), demo(held_out=True)
        elif val_source is None:
            paths, root = find_source_images(source)
            train, held_out = hold_out(paths, root, h.val_fraction)
        else:
            train, held_out = find_source_images(source)[0], []
        if val_source is not None:
            held_out = demo(held_out=True) if val_source == DEMO else find_source_images(val_source)[0]
        return train, held_out

    def _require_readable(self, paths: list[Path], source: str) -> None:
        """Refuse a folder without a readable image here, not in a worker, whose traceback would hide the message."""
        images, skipped = read_held_out(paths, limit=1, resize=None, size=1, max_pixels=self.hparams["max_pixels"])
        self.skipped += skipped
        if not len(images):
            raise InputError(
                f"none of the {counted(len(paths), 'file')} in {source} can be read as an image: {skipped[0].reason}"
            )
