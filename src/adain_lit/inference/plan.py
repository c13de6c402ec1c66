"""Which images `stylize` makes of what it was given, and where they go. Reads no image and needs no torch."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adain_lit.data.folders import find_images
from adain_lit.errors import InputError

WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""Suffixes of images that can be written."""
WRITABLE_VIDEO = (".m4v", ".mkv", ".mov", ".mp4", ".webm")
"""Suffixes of videos that can be written; what comes from .avi, which holds no times of frames, goes to .mkv."""
VIDEO_SUFFIXES = frozenset({*WRITABLE_VIDEO, ".avi"})


@dataclass(frozen=True)
class Found:
    """A file that was named, or found in a folder that was.

    Attributes:
        path: the file.
        within: its place below that folder, None for a file that was named itself.
    """

    path: Path
    within: Path | None


@dataclass(frozen=True)
class Job:
    """One image to make.

    Attributes:
        content: the image or video to stylise.
        styles: the styles that are mixed.
        output: the file to write.
    """

    content: Path
    styles: tuple[Path, ...]
    output: Path


def find(names: Sequence[str], what: str, *, video: bool = False) -> list[Found]:
    """The files that a person named: files, folders (searched below) and patterns that no shell expanded.

    ``demo``, where no such file is, stands for the demo's held-out photographs, and as a style for its paintings;
    ``noise``, as a content, for an image of white noise.

    Raises:
        InputError: if a name stands for nothing, or a folder holds no image.
    """
    found: list[Found] = []
    for name in names:
        path = Path(name).expanduser()
        matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        files = [Found(match, None) for match in matches if match.is_file()]
        folders = [match for match in matches if match.is_dir()]
        if not matches:
            files = [Found(file, None) for file in _own_images(name, what)]
        if not files and not folders:
            raise InputError(f"no {what} {name}; give a file, a folder or a pattern")
        found += files or [file for folder in folders for file in _below(folder, video=video)]
    return found


def _own_images(name: str, what: str) -> list[Path]:
    """The images of the package that a name stands for."""
    from adain_lit.data import demo  # and SciPy, which takes a moment

    if name == demo.NOISE and what == "content":
        return [demo.noise_image()]
    if name == demo.DEMO:
        return (demo.demo_style_images if what == "style" else demo.demo_content_images)(True)
    return []


def _below(folder: Path, *, video: bool) -> list[Found]:
    videos = sorted(p for p in folder.rglob("*") if is_video(p)) if video else []
    try:
        images = find_images(folder)
    except InputError:
        if not videos:
            raise
        images = []
    return [Found(file, file.relative_to(folder)) for file in [*images, *videos]]


def plan(
    contents: Sequence[Found],
    styles: Sequence[Found],
    output: Path | None,
    *,
    every_pair: bool = False,
    suffix: str | None = None,
    manner: str = "stylized",
) -> list[Job]:
    """The images to make.

    Args:
        contents: what to stylise.
        styles: the styles: mixed into one, or with `every_pair` each by itself.
        output: a file for a single image, or a folder; None: the folder where the command runs.
        every_pair: each content with each style.
        suffix: of the files to write; None keeps the content's where it can be written, else .png.
        manner: stands between the names of content and style.

    Raises:
        InputError: if one file would be written twice, or over an image that is read.
    """
    mixtures = [(style.path,) for style in styles] if every_pair else [tuple(style.path for style in styles)]
    pairs = [(content, mixture) for content in contents for mixture in mixtures]
    single = output is not None and len(pairs) == 1 and not output.is_dir() and output.suffix != ""
    if (
        output is not None
        and not single
        and not output.is_dir()
        and output.suffix.lower() in (*WRITABLE, *VIDEO_SUFFIXES)
    ):
        raise InputError(f"{len(pairs)} images cannot go into the one file {output}; give a folder")
    jobs = []
    for content, mixture in pairs:
        if single:
            assert output is not None
            path = output
        else:
            path = (output or Path()) / _place(content, mixture, every_pair=every_pair, suffix=suffix, manner=manner)
        _require_suffix(path, WRITABLE_VIDEO if is_video(content.path) else WRITABLE)
        jobs.append(Job(content.path, mixture, path))
    _require_distinct(jobs, [*contents, *styles])
    return jobs


def plan_grid(contents: Sequence[Found], styles: Sequence[Found], output: Path | None, *, suffix: str | None) -> Job:
    """The one sheet of all contents and styles: `output`, or a file named grid in that folder.

    Raises:
        InputError: if it would be written over an image that is read, or cannot be written.
    """
    path = output or Path()
    if path.is_dir() or not path.suffix:
        path = path / f"grid{suffix or '.png'}"
    _require_suffix(path, WRITABLE)
    job = Job(contents[0].path, tuple(style.path for style in styles), path)
    _require_distinct([job], [*contents, *styles])
    return job


def _require_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        raise InputError(f"cannot write {path}: its suffix must be one of {', '.join(known)}")


def _place(content: Found, mixture: Sequence[Path], *, every_pair: bool, suffix: str | None, manner: str) -> Path:
    """Where an image goes below the output folder: trees keep their shape and names, single files say their style."""
    own = content.path.suffix.lower()
    if own in VIDEO_SUFFIXES:
        ending = own if own in WRITABLE_VIDEO else ".mkv"
    else:
        ending = suffix or (content.path.suffix if own in WRITABLE else ".png")
    style = "+".join(path.stem for path in mixture)[:100]
    if content.within is not None:
        place = content.within.with_suffix(ending)
        return Path(style) / place if every_pair else place
    return Path(f"{content.path.stem}_{manner}_{style}{ending}")


def _require_distinct(jobs: Sequence[Job], read: Sequence[Found]) -> None:
    sources = {_real(found.path): found.path for found in read}
    seen: dict[str, Job] = {}
    for job in jobs:
        key = _real(job.output)
        if key in sources:
            raise InputError(f"{job.output} would be written over {sources[key]}; give another --output")
        if key in seen:
            raise InputError(
                f"{job.content} and {seen[key].content} would both be written to {job.output}; give folders of "
                "different trees, or run them one by one"
            )
        seen[key] = job


def _real(path: Path) -> str:
    return os.path.realpath(path)


def suffix_of(name: str) -> str:
    """``jpg`` or ``.JPG`` as ``.jpg``.

    Raises:
        InputError: if such a file cannot be written.
    """
    suffix = "." + name.lower().removeprefix(".")
    if suffix not in WRITABLE:
        raise InputError(f"cannot write {name} files; known are {', '.join(s[1:] for s in WRITABLE)}")
    return suffix


def is_video(path: Path) -> bool:
    """Whether a file's suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def missing(jobs: Sequence[Job]) -> list[Job]:
    """The jobs whose file is not there yet."""
    return [job for job in jobs if not job.output.exists()]
