"""Training samples as a pure function of (seed, index), and the held-out pairs of validation and evaluation."""

import logging
import math
import os
import signal
from collections.abc import Collection, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from itertools import count
from multiprocessing import active_children
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from adain_lit.errors import InputError, counted
from adain_lit.io.images import (
    MAX_PIXELS,
    Drafted,
    ImageReadError,
    read_image,
    read_image_and_metadata,
    resized_crop,
    to_tensor,
)

log = logging.getLogger(__name__)

PREFETCH = 2
"""Batches that each loader worker holds ready; torch's default."""
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_ADVICE = (
    "set a lower data.num_workers (0 needs none) or data.batch_size, or start the container with a larger --shm-size"
)
CONTENT, STYLE = 0, 1
"""Streams of random numbers: content and style images are drawn independently."""


class LoaderError(InputError):
    """The loader of a training cannot go on: a worker died, or the shared memory is full."""


class SkippedFile(NamedTuple):
    """A file that could not be read, and the reason."""

    path: str
    reason: str


class PairBatch(NamedTuple):
    """A batch of content and style images.

    Attributes:
        content: (N, 3, H, W), ``uint8`` from the loader, float in [0, 1] after the transfer to the device.
        style: the style images, likewise.
        indices: index of each sample, (N,); -1 for a padding sample, see `HeldOutBatches`.
        skipped: files that turned out to be unreadable.
    """

    content: Tensor
    style: Tensor
    indices: Tensor  # "index" is a method of every tuple
    skipped: list[SkippedFile]


_Read = tuple[Image.Image, Drafted | None]
"""An image, and whether it was decoded at a fraction of its size."""


@dataclass(eq=False, repr=False)
class ImageStream:
    """Endless random crops of a list of files; crop i is a pure function of (files, seed, stream, i).

    Every epoch visits each file once, in a new order. An unreadable file is replaced by the next draw of that sample's
    own generator, so no other sample changes.

    Args:
        paths: the files, in a fixed order.
        seed: seed of the run, at least 0.
        stream: `CONTENT` or `STYLE`.
        resize: shorter side before cropping, in pixels; None keeps the size of each image.
        crop: side of the crop, in pixels.
        flip: mirror half of the crops.
        max_pixels: larger images count as unreadable.
        cache: number of decoded images that each process keeps in memory.
        draft: decode JPEGs of twice `resize` or more at a fraction of their size. Crops then differ from those of the
            whole image by 0.7 of 255 on average (1500 x 2000 pixels, resized to 512).
        source: name of the folder or list, for error messages.

    Example:
        >>> from adain_lit.data.demo import demo_style_images
        >>> stream = ImageStream(demo_style_images(held_out=True), seed=0, stream=STYLE, crop=64)
        >>> crop, skipped = stream[7]
        >>> crop.shape, crop.dtype, skipped
        (torch.Size([3, 64, 64]), torch.uint8, [])
    """

    paths: Sequence[Path]
    _: KW_ONLY
    seed: int
    stream: int
    resize: int | None = 512
    crop: int = 256
    flip: bool = False
    max_pixels: int = MAX_PIXELS
    cache: int = 0
    draft: bool = True
    source: str = "the list"
    unreadable: set[int] = field(default_factory=set, init=False)  # saves reading them again; no sample depends on it
    kept: dict[int, _Read] = field(default_factory=dict, init=False)
    warned: bool = field(default=False, init=False)

    def __getitem__(self, index: int) -> tuple[Tensor, list[SkippedFile]]:
        """Crop `index`, (3, crop, crop) in ``uint8``, and the files newly found unreadable."""
        _, (image, drafted), at, mirror, skipped = self._draw(index)
        crop = to_tensor(resized_crop(image, self.resize, self.crop, at, drafted=drafted))
        return (crop.flip(2) if self.flip and mirror < 0.5 else crop), skipped

    def path(self, index: int) -> Path:
        """The file of crop `index`; it is read, since an unreadable one is replaced."""
        return self.paths[self._draw(index)[0]]

    def _draw(self, index: int) -> tuple[int, _Read, tuple[float, float], float, list[SkippedFile]]:
        """Index of the file of crop `index`, its image, position and mirroring, and files newly found unreadable."""
        epoch, position = divmod(index, len(self.paths))
        generator = _generator(self.seed, self.stream, index)
        x, y, mirror = generator.random(3)  # drawn before the file is known: a replacement file keeps the crop box
        choice = int(_permutation(self.seed, self.stream, epoch, len(self.paths))[position])
        skipped: list[SkippedFile] = []
        while len(self.unreadable) < len(self.paths):
            if choice not in self.unreadable:
                try:
                    image = self._read(choice)
                except ImageReadError as error:
                    self.unreadable.add(choice)
                    skipped.append(SkippedFile(str(error.path), error.reason))
                else:
                    return choice, image, (x, y), mirror, skipped
            choice = int(generator.integers(len(self.paths)))
        raise InputError(f"none of the {counted(len(self.paths), 'file')} in {self.source} can be read as an image")

    def _read(self, choice: int) -> _Read:
        if choice in self.kept:
            return self.kept[choice]
        shorter = self.resize if self.draft else None
        image, metadata = read_image_and_metadata(self.paths[choice], max_pixels=self.max_pixels, shorter=shorter)
        if metadata.frames > 1 and not self.warned:
            log.warning("of images with several frames, such as %s, the first is used", self.paths[choice])
            self.warned = True
        if len(self.kept) < self.cache:
            self.kept[choice] = image, metadata.drafted
        return image, metadata.drafted


class PairDataset(Dataset[PairBatch]):
    """Sample i pairs content crop i with style crop i.

    Example:
        >>> from adain_lit.data.demo import demo_content_images, demo_style_images
        >>> contents = ImageStream(demo_content_images(held_out=True), seed=0, stream=CONTENT, crop=32)
        >>> styles = ImageStream(demo_style_images(held_out=True), seed=0, stream=STYLE, crop=32)
        >>> sample = PairDataset(contents, styles)[7]
        >>> sample.content.shape, sample.indices
        (torch.Size([3, 32, 32]), tensor(7))
    """

    def __init__(self, contents: ImageStream, styles: ImageStream) -> None:
        self.contents = contents
        self.styles = styles

    def __getitem__(self, index: int) -> PairBatch:
        """Sample `index` as a batch without its first dimension."""
        content, skipped = self.contents[index]
        style, skipped_styles = self.styles[index]
        return PairBatch(content, style, torch.tensor(index), skipped + skipped_styles)


class HeldOutPairs(Dataset[PairBatch]):
    """A fixed list of pairs of held-out images, kept in memory.

    Pair k has content k mod n and style (k + k // lcm(n, m)) mod m: the pairs run down the diagonals of the n x m
    table, so the first max(n, m) pairs already use every image.

    Args:
        contents: (n, 3, H, W), ``uint8``.
        styles: (m, 3, H, W), ``uint8``.
        pairs: number of pairs; None, or more than n m, gives all n m.

    Example:
        >>> contents = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
        >>> styles = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
        >>> HeldOutPairs(contents, styles).pairs
        [(0, 0), (1, 1), (0, 1), (1, 0)]
    """

    def __init__(self, contents: Tensor, styles: Tensor, pairs: int | None = None) -> None:
        self.contents = contents
        self.styles = styles
        every = len(contents) * len(styles)
        self.pairs = [self._pair(k) for k in range(min(pairs or every, every))]

    def _pair(self, k: int) -> tuple[int, int]:
        shift = k // math.lcm(len(self.contents), len(self.styles))  # that many pairs close a diagonal
        return k % len(self.contents), (k + shift) % len(self.styles)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> PairBatch:
        """Pair `index` as a batch without its first dimension."""
        content, style = self.pairs[index]
        return PairBatch(self.contents[content], self.styles[style], torch.tensor(index), [])


def per_process(batch_size: int, world_size: int) -> int:
    """Pairs of a batch for each of `world_size` processes.

    Raises:
        InputError: if the batch size is not a multiple of `world_size`.

    Example:
        >>> per_process(8, world_size=2)
        4
    """
    if batch_size % world_size:
        below = batch_size // world_size * world_size
        sizes = " or ".join(str(size) for size in (below, below + world_size) if size)
        counts = ", ".join(str(count) for count in range(1, batch_size + 1) if batch_size % count == 0)
        raise InputError(
            f"data.batch_size is {batch_size}, which {world_size} processes cannot share equally; "
            f"give data.batch_size={sizes}, or as many processes as one of {counts}"
        )
    return batch_size // world_size


class StepBatches(Sampler[list[int]]):
    """Endless batches of sample indices that depend only on the index of the batch.

    Args:
        first: index of the first batch; for a resumed run, the number of batches trained on before.
        batch_size: pairs per optimiser step, over all processes; a multiple of `world_size`.
        rank: rank of this process, which gets its part of each batch.
        world_size: number of processes.

    Raises:
        InputError: if the batch size is not a multiple of `world_size`.

    Example:
        >>> batches = iter(StepBatches(first=10, batch_size=4, rank=1, world_size=2))
        >>> next(batches), next(batches)
        ([42, 43], [46, 47])
    """

    def __init__(self, first: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        self.first = first
        self.batch_size = batch_size
        self.rank = rank
        self.size = per_process(batch_size, world_size)

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.first):
            begin = step * self.batch_size + self.rank * self.size
            yield list(range(begin, begin + self.size))


class HeldOutBatches(Sampler[list[int]]):
    """Indices of the held-out pairs of one process, in the same number of batches for every process.

    If the pairs do not divide evenly, the remaining ranks get a padding sample (index -1) that is ignored; otherwise
    collectives would hang.

    Args:
        pairs: total number of pairs.
        batch_size: pairs in a batch, over all processes.
        rank: rank of this process.
        world_size: number of processes.

    Example:
        >>> list(HeldOutBatches(5, batch_size=4, rank=1, world_size=2))
        [[1, 3], [-1]]
    """

    def __init__(self, pairs: int, batch_size: int, *, rank: int = 0, world_size: int = 1) -> None:
        own = [*range(rank, pairs, world_size)]
        own += [-1] * (math.ceil(pairs / world_size) - len(own))  # as many as rank 0 has
        size = max(1, batch_size // world_size)
        self.batches = [own[i : i + size] for i in range(0, len(own), size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def collate(samples: Sequence[PairBatch]) -> PairBatch:
    """Stack samples to a batch and concatenate their lists of skipped files.

    Example:
        >>> image = torch.zeros(3, 8, 8, dtype=torch.uint8)
        >>> batch = collate([PairBatch(image, image, torch.tensor(i), []) for i in (4, 5)])
        >>> batch.content.shape, batch.indices
        (torch.Size([2, 3, 8, 8]), tensor([4, 5]))
    """
    contents, styles, indices, skipped = zip(*samples, strict=True)
    tensors = [torch.stack(part) for part in (contents, styles, indices)]
    if get_worker_info() is not None:
        # Otherwise the thread of the worker's queue does so, where a full shared memory loses the batch without an
        # error, and the training process waits for it for ever.
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    return PairBatch(tensors[0], tensors[1], tensors[2], [file for files in skipped for file in files])


class WorkerLoader(DataLoader[PairBatch]):
    """A loader whose workers ignore signals to the process group, and end with the process that iterates over it.

    The training process decides what a signal means, and needs its workers until the current step is complete. At its
    exit multiprocessing sends every worker a SIGTERM and waits for it, so they have to be killed before.
    """

    def __init__(self, dataset: Dataset[PairBatch], **options: Any) -> None:
        super().__init__(dataset, collate_fn=collate, worker_init_fn=ignore_signals, **options)

    def __iter__(self) -> Any:
        """Start the workers, if there are any, and iterate.

        Raises:
            LoaderError: if a worker died, or the shared memory is full.
        """
        before = set(active_children())
        batches = super().__iter__()
        workers = set(active_children()) - before
        for worker in workers:
            Finalize(None, worker.kill, exitpriority=0)  # unlike atexit, in children of multiprocessing too
        return _explained(batches, workers)


def _explained(batches: Iterator[PairBatch], workers: Collection[BaseProcess]) -> Iterator[PairBatch]:
    """The batches; a worker's death, which surfaces as whatever error reading from it gives, is named."""
    try:
        yield from batches
    except (RuntimeError, OSError, EOFError) as error:
        wait([worker.sentinel for worker in workers], timeout=2)  # the error may come before the system reports it
        status = next((worker.exitcode for worker in workers if worker.exitcode), None)
        bus_error = status is not None and status == -getattr(signal, "SIGBUS", 0)
        if bus_error or "No space left on device" in str(error):
            raise LoaderError(f"the shared memory (/dev/shm) is full; {SHARED_MEMORY_ADVICE}") from error
        if status is None:
            raise
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        raise LoaderError(
            f"a loader worker was ended by {name}, most often because memory ran out; set a lower data.num_workers or "
            "data.cache, or give it more memory"
        ) from error


def require_shared_memory(batch_bytes: int, workers: int, processes: int = 1, folder: Path = SHARED_MEMORY) -> None:
    """Check that all batches which the workers hold ready fit into the shared memory, if the system shows its size.

    Args:
        batch_bytes: of one batch of one process.
        workers: loader workers of each process, each of which holds `PREFETCH` batches ready; two more are in use.
        processes: training processes on this machine.
        folder: where the shared memory is mounted.

    Raises:
        InputError: if they do not fit.

    Example:
        >>> require_shared_memory(1000, workers=2)
    """
    if not workers or not folder.is_dir() or not hasattr(os, "statvfs"):
        return
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    needed = batch_bytes * (PREFETCH * workers + 2) * processes
    if needed > free:
        raise InputError(
            f"data.num_workers={workers} needs up to {needed / 1e6:.0f} MB of shared memory, {folder} has "
            f"{free / 1e6:.0f} MB free; {SHARED_MEMORY_ADVICE}"
        )


def ignore_signals(worker: int) -> None:
    """Keep a loader's worker alive when Ctrl-C or a scheduler signals the whole process group."""
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
        if hasattr(signal, name):  # Windows lacks the last two
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def read_held_out(
    paths: Sequence[Path], *, limit: int | None, resize: int | None, size: int, max_pixels: int = MAX_PIXELS
) -> tuple[Tensor, list[SkippedFile]]:
    """Read the first `limit` readable images, resized and cropped at their centre.

    Returns:
        The images (n, 3, size, size) in ``uint8``, n possibly 0, and the files that were skipped.

    Example:
        >>> from adain_lit.data.demo import demo_content_images
        >>> images, skipped = read_held_out(demo_content_images(held_out=True), limit=2, resize=64, size=48)
        >>> images.shape, skipped
        (torch.Size([2, 3, 48, 48]), [])
    """
    images: list[Tensor] = []
    skipped: list[SkippedFile] = []
    for path in paths:
        if limit is not None and len(images) == limit:
            break
        try:
            image = read_image(path, max_pixels=max_pixels)
        except ImageReadError as error:
            skipped.append(SkippedFile(str(error.path), error.reason))
        else:
            images.append(to_tensor(resized_crop(image, resize, size, (0.5, 0.5))))
    return torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8), skipped


def _generator(seed: int, stream: int, index: int) -> np.random.Generator:
    """Counter-based generator keyed by (seed, stream), with its own range of the counter for each sample."""
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, index, 0, 0]))


@lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, size: int) -> NDArray[np.int64]:
    bits = np.random.Philox(key=[seed, stream], counter=[0, epoch, 1, 0])  # 1: disjoint from the samples' counters
    return np.random.Generator(bits).permutation(size)
