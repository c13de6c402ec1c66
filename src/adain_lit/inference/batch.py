"""The work behind ``python -m adain_lit.stylize``: reading ahead, stylising, writing behind, going on after a fault."""

import argparse
import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from PIL import Image
from tqdm import tqdm

from adain_lit.errors import InputError
from adain_lit.inference import grids as sheets
from adain_lit.inference.plan import Job, is_video
from adain_lit.inference.stylizer import Content, Style, Stylizer, load
from adain_lit.inference.video import stylize_video
from adain_lit.io.images import ImageMetadata, read_image_and_metadata, write_image
from adain_lit.io.inputs import as_image

T = TypeVar("T")
R = TypeVar("R")

MAX_PIXELS = 2_000_000_000
"""Of one image. Large ones go through in tiles, which leaves some 12 bytes of memory a pixel."""


class _Loaded(NamedTuple):
    """What is to be made of one content, and that content."""

    jobs: list[Job]
    image: Image.Image
    metadata: ImageMetadata

    @property
    def kind(self) -> tuple[object, ...]:
        """Size and styles."""
        return (self.image.size, *(job.styles for job in self.jobs))


class Run:
    """One call of the command.

    Args:
        arguments: the command line, see `adain_lit.stylize.parser`.
        count: how many styles are used together.

    Raises:
        InputError: if the network or a mask cannot be loaded, or for controls that do not fit.
    """

    def __init__(self, arguments: argparse.Namespace, count: int) -> None:
        self.arguments = arguments
        self.stylizer: Stylizer = load(
            arguments.checkpoint,
            encoder=arguments.encoder,
            device=arguments.device,
            dtype=getattr(torch, arguments.dtype),
        )
        self.styles: dict[Path, Style] = {}
        self.failed: list[str] = []
        self.controls: dict[str, Any] = {
            "alpha": arguments.alpha,
            "weights": arguments.weights,
            "masks": arguments.mask,
            "preserve_color": arguments.preserve_color,
        }
        self.stylizer.check(count, tile=arguments.tile, **self.controls)
        if arguments.mask:
            self.controls["masks"] = [as_image(mask, "mask") for mask in arguments.mask]

    def make(self, jobs: Sequence[Job], sheet: str | None) -> list[str]:
        """Make the images and videos of `jobs`, or a `sheet` for each; a line for each that failed.

        Raises:
            InputError: if not one of them has a style that can be read.
            OSError: if the disk is full.
        """
        possible = self._encode_styles(jobs)
        images = [job for job in possible if not is_video(job.content)]
        videos = [job for job in possible if is_video(job.content)]
        with (
            tqdm(total=len(images), desc="stylising", unit="image", disable=len(images) < 2) as bar,
            ThreadPoolExecutor(self.arguments.jobs) as pool,
        ):
            self._images(images, sheet, pool, bar)
        for video in videos:
            with self._guarded([video]):
                self._video(video)
        return self.failed

    def grid(self, contents: Sequence[Path], styles: Sequence[Path], output: Path) -> list[str]:
        """One sheet of all contents x all styles; a line for each that failed."""
        possible = self._encode_styles([Job(output, (path,), output) for path in styles])
        used = [job.styles[0] for job in possible]
        rows: list[list[Image.Image | None]] = [[None, *(sheets.fit(as_image(path), sheets.SIDE) for path in used)]]
        for path in tqdm(contents, desc="stylising", unit="row"):
            job = Job(path, tuple(used), output)
            with self._guarded([job]):
                rows.append(self._row(job))
        if len(rows) > 1:
            write_image(sheets.table(rows), output)
        return self.failed

    def _row(self, job: Job) -> list[Image.Image | None]:
        loaded = self._read([job])
        content = self._content([loaded])
        made = (self.stylizer(content, self.styles[path], **self.controls) for path in job.styles)
        return [sheets.fit(image, sheets.SIDE) for image in (loaded.image, *made)]

    def _images(self, jobs: Sequence[Job], sheet: str | None, pool: ThreadPoolExecutor, bar: "tqdm[Any]") -> None:
        groups = [list(group) for _, group in groupby(jobs, key=lambda job: job.content)]
        writing: deque[tuple[Job, Future[None]]] = deque()
        most = self.arguments.batch_size if sheet is None else 1
        for batch in self._batches(_ahead(pool, self._read, groups, self.arguments.jobs), most):
            jobs_of_batch = [job for loaded in batch for job in loaded.jobs]
            with self._guarded(jobs_of_batch):
                self._batch(batch, sheet, pool, writing)
            bar.update(len(jobs_of_batch))
            while len(writing) > 2 * self.arguments.jobs:
                self._written(*writing.popleft())
        while writing:
            self._written(*writing.popleft())

    def _batches(self, loading: Iterable[tuple[list[Job], "Future[_Loaded]"]], most: int) -> Iterator[list[_Loaded]]:
        """Up to `most` contents that go through the network together: of one size, and wanted in the same styles."""
        batch: list[_Loaded] = []
        for jobs, future in loading:
            with self._guarded(jobs):
                loaded = future.result()
                if batch and (len(batch) == most or loaded.kind != batch[0].kind):
                    yield batch
                    batch = []
                batch.append(loaded)
        if batch:
            yield batch

    def _batch(
        self,
        batch: Sequence[_Loaded],
        sheet: str | None,
        pool: ThreadPoolExecutor,
        writing: "deque[tuple[Job, Future[None]]]",
    ) -> None:
        """Stylise contents of one size in all the styles that are wanted of them."""
        content = self._content(batch)
        for jobs in zip(*(loaded.jobs for loaded in batch), strict=True):
            styles = [self.styles[path] for path in jobs[0].styles]
            if sheet is None:
                made = self.stylizer.many(content, styles, **self.controls)
            else:
                draw = sheets.SHEETS[sheet]
                controls = {k: v for k, v in self.controls.items() if k not in sheets.SET_BY_SHEETS[sheet]}
                made = [draw(self.stylizer, content, styles, **controls)]
            for job, image, loaded in zip(jobs, made, batch, strict=True):
                metadata = loaded.metadata if sheet is None else None
                writing.append((job, pool.submit(write_image, image, job.output, metadata)))

    def _content(self, batch: Sequence[_Loaded]) -> Content:
        images = [loaded.image for loaded in batch]
        return self.stylizer.encode_content(images, size=self.arguments.size or None, tile=self.arguments.tile)

    def _read(self, jobs: list[Job]) -> _Loaded:
        image, metadata = read_image_and_metadata(jobs[0].content, max_pixels=MAX_PIXELS)
        if self.arguments.crop:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        return _Loaded(jobs, image, metadata)

    def _video(self, job: Job) -> None:
        stylize_video(
            self.stylizer,
            job.content,
            [self.styles[path] for path in job.styles],
            job.output,
            size=self.arguments.size or None,
            tile=self.arguments.tile,
            smooth=self.arguments.smooth,
            **self.controls,
        )

    def _encode_styles(self, jobs: Sequence[Job]) -> list[Job]:
        """Encode each style once; the jobs all of whose styles could be read."""
        size = self.arguments.style_size or None
        keep = self.arguments.preserve_color == "coral"
        errors: dict[Path, InputError] = {}
        for path in dict.fromkeys(path for job in jobs for path in job.styles):
            try:
                self.styles[path] = self.stylizer.encode_style(path, size=size, keep_image=keep)
            except InputError as error:
                errors[path] = error
        for job in jobs:
            broken = [path for path in job.styles if path in errors]
            if broken:
                self._fail(job, errors[broken[0]])
        possible = [job for job in jobs if not any(path in errors for path in job.styles)]
        if not possible:
            raise next(iter(errors.values()))
        return possible

    @contextmanager
    def _guarded(self, jobs: Sequence[Job]) -> Iterator[None]:
        """What is done for `jobs`; if it fails, they are on the list of those that did, and the run goes on."""
        try:
            yield
        except (InputError, OSError, MemoryError, RuntimeError) as error:
            full = isinstance(error, OSError) and error.errno == errno.ENOSPC
            if full or (isinstance(error, RuntimeError) and not _lacks_memory(error)):
                raise
            for job in jobs:
                self._fail(job, error)

    def _written(self, job: Job, future: "Future[None]") -> None:
        with self._guarded([job]):
            future.result()

    def _fail(self, job: Job, error: Exception) -> None:
        line = " ".join(str(error).split()) or type(error).__name__
        if _lacks_memory(error):
            line = f"{job.content} needs more memory than there is; give --tile 512, or a smaller --size"
        elif isinstance(error, OSError):
            line = f"{error.filename or job.output}: {error.strerror or line}"
        elif not any(str(path) in line for path in (job.content, *job.styles, job.output)):
            line = f"{job.content}: {line}"
        if line not in self.failed:
            self.failed.append(line)


def _lacks_memory(error: Exception) -> bool:
    """Of the CPU, where torch has no type for it, or of the device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], depth: int
) -> Iterator[tuple[T, "Future[R]"]]:
    """Each item with the call of `function` on it, begun `depth` items before it is asked for."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        waiting.append((item, pool.submit(function, item)))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting
