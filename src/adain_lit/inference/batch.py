"""Stylising many files: reads ahead, writes behind, and carries on after a file that fails."""

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from PIL import Image
from tqdm import tqdm

from adain_lit.devices import keep_freed_memory, slow_bfloat16
from adain_lit.errors import InputError
from adain_lit.inference import grids
from adain_lit.inference.failures import Failures, is_out_of_memory
from adain_lit.inference.plan import Output
from adain_lit.inference.stylizer import Content, Style, load
from adain_lit.inference.video import stylize_video
from adain_lit.io.files import irregular_kind
from adain_lit.io.images import ImageMetadata, central_square, image_size, read_image_and_metadata, write_image
from adain_lit.io.inputs import as_image, warn_of_frames
from adain_lit.io.memory import DECODE_BYTES, available_memory, feature_budget
from adain_lit.reports.image_grid import DPI, fit, image_grid

T = TypeVar("T")
R = TypeVar("R")

LANCZOS = Image.Resampling.LANCZOS
MAX_PIXELS = 2_000_000_000
"""Largest content that is read. Large images are tiled, which needs about 12 bytes of memory per pixel."""


class LoadedContent(NamedTuple):
    """A content image and the outputs to make of it."""

    outputs: list[Output]
    image: Image.Image
    metadata: ImageMetadata

    @property
    def batch_key(self) -> tuple[object, ...]:
        """Contents of the same size and styles can share a batch."""
        return (self.image.size, *(output.styles for output in self.outputs))


class BatchStylizer:
    """Makes the outputs of one ``stylize`` command.

    Args:
        options: the parsed command line, see `adain_lit.stylize.parser`.
        styles: the number of styles that are used together.

    Attributes:
        failures: what could not be made.

    Raises:
        InputError: if the network or a mask cannot be loaded, or if controls do not fit together.
    """

    def __init__(self, options: argparse.Namespace, styles: int) -> None:
        self.options = options
        self.failures = Failures()
        self.stylizer = load(
            options.checkpoint,
            encoder=options.encoder,
            device=options.device,
            dtype=getattr(torch, options.dtype),
            memory=None if options.memory is None else options.memory * 1_000_000,
        )
        keep_freed_memory(self.stylizer.memory or feature_budget())
        if options.dtype == "bfloat16" and (line := slow_bfloat16(self.stylizer.device)):
            sys.stderr.write(f"--dtype bfloat16: {line}\n")
        self.styles: dict[Path, Style] = {}
        # images of a grid have the size that the command line gives, or one that fits on a page
        self.side = None if options.size else grids.SIDE
        self.controls: dict[str, Any] = {
            "alpha": options.alpha,
            "weights": options.weights,
            "masks": options.mask,
            "preserve_color": options.preserve_color,
        }
        self.stylizer.check(styles, tile=options.tile, **self.controls)
        if options.mask:
            self.controls["masks"] = [as_image(mask, "mask", background="black") for mask in options.mask]

    def make(self, outputs: Sequence[Output], kind: str | None = None) -> None:
        """Make images, animations and videos, or for each image the grid of that `kind` (a key of `grids.GRIDS`).

        Raises:
            InputError: if no output has styles that can be read.
            OSError: if the disk is full.
        """
        possible = self._encode_styles(outputs)
        moving = [kind is None and output.moving for output in possible]
        images = [output for output, moves in zip(possible, moving, strict=True) if not moves]
        videos = [output for output, moves in zip(possible, moving, strict=True) if moves]
        with (
            tqdm(total=len(images), desc="stylising", unit="image", disable=len(images) < 2) as bar,
            ThreadPoolExecutor(self.options.jobs) as pool,
        ):
            self._make_images(images, kind, pool, bar)
        for output in videos:
            with self.failures.caught([output]):
                self._make_video(output)

    def make_grid(self, contents: Sequence[Path], styles: Sequence[Path], path: Path) -> None:
        """Make one grid of all contents (rows) and styles (columns).

        With masks, the styles are used together: each row has its content, the styles, their masks and the result.

        Raises:
            InputError: if no style can be read.
        """
        masked = bool(self.options.mask)
        todo = [Output(path, tuple(styles), path)] if masked else [Output(s, (s,), path) for s in styles]
        readable = [style for output in self._encode_styles(todo) for style in output.styles]
        rows: list[list[Image.Image]] = []
        names: list[str] = []
        for content in tqdm(contents, desc="stylising", unit="row"):
            output = Output(content, tuple(readable), path)
            with self.failures.caught([output]):
                rows.append(self._masked_row(output) if masked else self._grid_row(output))
                names.append(content.stem)
        if not rows:
            return
        columns = ["", *(style.stem for style in readable)]
        shown: list[Sequence[Image.Image | None]] = [*rows]
        if masked:
            columns = [
                "content",
                *(f"{what} {i + 1}" for i in range(len(readable)) for what in ("style", "mask")),
                "result",
            ]
        else:
            size = max(row[0].width for row in rows), max(row[0].height for row in rows)
            shown = [[None, *(grids.thumbnail(style, size) for style in readable)], *rows]
            names = ["", *names]
        if not self.options.labels:
            columns = names = []
        write_image(image_grid(shown, columns=columns, names=names), path, dpi=DPI)

    def _grid_row(self, row: Output) -> list[Image.Image]:
        """The content and the content in each style."""
        loaded = self._read_content([row])
        content = self._encode([loaded])
        results = [self.stylizer(content, self.styles[path], **self.controls) for path in row.styles]
        return [self._cell(image) for image in (loaded.image.resize(results[0].size, LANCZOS), *results)]

    def _masked_row(self, row: Output) -> list[Image.Image]:
        """The content, each style with its mask, and the content in the styles."""
        loaded = self._read_content([row])
        result = self.stylizer(self._encode([loaded]), [self.styles[path] for path in row.styles], **self.controls)
        styles = [grids.thumbnail(path, result.size) for path in row.styles]
        masks = [mask.resize(result.size, LANCZOS) for mask in self.controls["masks"]]
        pairs = [image for pair in zip(styles, masks, strict=True) for image in pair]
        return [self._cell(image) for image in (loaded.image.resize(result.size, LANCZOS), *pairs, result)]

    def _cell(self, image: Image.Image) -> Image.Image:
        """Scale to the grid's cells at once, so that rows of large images do not fill the memory."""
        return fit(image, self.side) if self.side else image

    def _make_images(
        self, outputs: Sequence[Output], kind: str | None, pool: ThreadPoolExecutor, bar: "tqdm[Any]"
    ) -> None:
        by_content = [list(group) for _, group in groupby(outputs, key=lambda output: output.content)]
        loading = _prefetch(
            pool,
            self._read_content,
            by_content,
            self.options.jobs,
            lambda group: _rgb_bytes(image_size(group[0].content)),
        )
        writes = _Writes(pool, self.failures)
        for batch in self._batches(loading, self.options.batch_size if kind is None else 1):
            outputs_of_batch = [output for loaded in batch for output in loaded.outputs]
            with self.failures.caught(outputs_of_batch):
                self._make_batch(batch, kind, writes)
            bar.update(len(outputs_of_batch))
            writes.wait(pending=2 * self.options.jobs)
        writes.wait(pending=0)

    def _batches(
        self, loading: Iterable[tuple[list[Output], "Future[LoadedContent]"]], size: int
    ) -> Iterator[list[LoadedContent]]:
        """Up to `size` contents that can go through the network together."""
        batch: list[LoadedContent] = []
        for outputs, future in loading:
            with self.failures.caught(outputs):
                loaded = future.result()
                if batch and (len(batch) == size or loaded.batch_key != batch[0].batch_key):
                    yield batch
                    batch = []
                batch.append(loaded)
        if batch:
            yield batch

    def _make_batch(self, batch: Sequence[LoadedContent], kind: str | None, writes: "_Writes") -> None:
        content = self._encode(batch)
        # contents of a batch have the same styles in the same order: the k-th outputs of all share theirs
        for outputs in zip(*(loaded.outputs for loaded in batch), strict=True):
            styles = [self.styles[path] for path in outputs[0].styles]
            if kind is None:
                images = self.stylizer.many(content, styles, **self.controls)
            else:
                draw, set_by_grid = grids.GRIDS[kind]
                controls = {name: value for name, value in self.controls.items() if name not in set_by_grid}
                images = [
                    draw(
                        self.stylizer,
                        content,
                        styles,
                        side=self.side,
                        style_images=outputs[0].styles,
                        labels=self.options.labels,
                        **controls,
                    )
                ]
            for output, image, loaded in zip(outputs, images, batch, strict=True):
                if kind is None:
                    writes.add(output, image, metadata=loaded.metadata)
                else:
                    writes.add(output, image, dpi=DPI)

    def _read_content(self, outputs: list[Output]) -> LoadedContent:
        image, metadata = read_image_and_metadata(
            outputs[0].content,
            max_pixels=MAX_PIXELS,
            max_bytes=available_memory() or sys.maxsize,
            keep_alpha=self.options.keep_alpha,
        )
        warn_of_frames(outputs[0].content, metadata.frames)
        if self.options.crop:
            image, metadata = central_square(image, metadata)
        return LoadedContent(outputs, image, metadata)

    def _encode(self, batch: Sequence[LoadedContent]) -> Content:
        images = [loaded.image for loaded in batch]
        return self.stylizer.encode_content(images, size=self.options.size or None, tile=self.options.tile)

    def _encode_styles(self, outputs: Sequence[Output]) -> list[Output]:
        """Encode each style once and return the outputs whose styles can all be read."""
        size = self.options.style_size or None
        keep_image = self.options.preserve_color == "coral"
        errors: dict[Path, Exception] = {}
        for path in dict.fromkeys(path for output in outputs for path in output.styles):
            try:
                self.styles[path] = self.stylizer.encode_style(path, size=size, keep_image=keep_image)
            except (InputError, MemoryError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                    raise
                memory = InputError(f"{path} needs more memory than there is; give a smaller --style-size")
                errors[path] = memory if is_out_of_memory(error) else error
        possible = []
        for output in outputs:
            if broken := [path for path in output.styles if path in errors]:
                self.failures.add(output, errors[broken[0]])
            else:
                possible.append(output)
        if not possible:
            raise next(iter(errors.values()))
        return possible

    def _make_video(self, output: Output) -> None:
        if kind := irregular_kind(output.content):
            raise InputError(f"cannot read {output.content} as a video: it is {kind}, not a regular file")
        stylize_video(
            self.stylizer,
            output.content,
            [self.styles[path] for path in output.styles],
            output.path,
            size=self.options.size or None,
            tile=self.options.tile,
            smooth=self.options.smooth,
            keep_alpha=self.options.keep_alpha,
            **self.controls,
        )


class _Writes:
    """Images being written in other threads."""

    def __init__(self, pool: ThreadPoolExecutor, failures: Failures) -> None:
        self.pool = pool
        self.failures = failures
        self.pending: deque[tuple[Output, int, Future[None]]] = deque()

    def add(self, output: Output, image: Image.Image, **options: Any) -> None:
        future = self.pool.submit(write_image, image, output.path, **options)
        self.pending.append((output, _rgb_bytes(image.size), future))

    def wait(self, *, pending: int) -> None:
        """Wait until at most `pending` images are unwritten, or one that fills the memory for images."""
        while len(self.pending) > pending or (len(self.pending) > 1 and self._bytes() > DECODE_BYTES):
            output, _, future = self.pending.popleft()
            with self.failures.caught([output]):
                future.result()

    def _bytes(self) -> int:
        return sum(size for _, size, _ in self.pending)


def _rgb_bytes(size: tuple[int, int]) -> int:
    """Memory of an RGB image, which Pillow stores in 4 bytes per pixel."""
    return 4 * size[0] * size[1]


def _prefetch(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], depth: int, memory: Callable[[T], int]
) -> Iterator[tuple[T, "Future[R]"]]:
    """Each item with the future of `function` on it, submitted `depth` items ahead.

    Fewer where their results, by the estimate `memory` in bytes, would take more than `DECODE_BYTES`.
    """
    waiting: deque[tuple[T, int, Future[R]]] = deque()
    for item in items:
        needed = memory(item)
        while waiting and (len(waiting) > depth or needed + sum(taken for _, taken, _ in waiting) > DECODE_BYTES):
            first, _, future = waiting.popleft()
            yield first, future
        waiting.append((item, needed, pool.submit(function, item)))
    yield from ((item, future) for item, _, future in waiting)
