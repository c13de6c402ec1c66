"""Which files ``stylize`` reads and which it writes, decided before any image is opened and without torch."""

import glob
import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path

from adain_lit.data.folders import find_images
from adain_lit.errors import InputError
from adain_lit.io.animation import ANIMATION_SUFFIXES, is_animation
from adain_lit.io.files import find_files, is_own_file

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
"""Suffixes of images that can be written."""
GRID_SUFFIXES = (*IMAGE_SUFFIXES, ".pdf")
"""Suffixes of grids that can be written."""
OUTPUT_VIDEO_SUFFIXES = (".m4v", ".mkv", ".mov", ".mp4", ".webm")
"""Suffixes of videos that can be written; all others become .mkv files."""
VIDEO_SUFFIXES = frozenset(
    {*OUTPUT_VIDEO_SUFFIXES, ".3g2", ".3gp", ".asf", ".avi", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".ts"}
    | {".vob", ".wmv"}
)
"""Suffixes of videos that can be read."""
MOVING_SUFFIXES = (*OUTPUT_VIDEO_SUFFIXES, *ANIMATION_SUFFIXES)
"""Suffixes of what can be written of a video or an animation."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InputFile:
    """A file given on the command line or found in a folder given there.

    Attributes:
        path: the file.
        relative: its path below that folder; None for a file that was given itself.
    """

    path: Path
    relative: Path | None = None


@dataclass(frozen=True)
class Output:
    """An image, an animation or a video to write.

    Attributes:
        content: the image, animation or video to stylise.
        styles: the style images, mixed into one if there are several.
        path: the file to write.
    """

    content: Path
    styles: tuple[Path, ...]
    path: Path

    @property
    def moving(self) -> bool:
        """Whether a video or an animation is written; an animation's first frame otherwise."""
        return self.path.suffix.lower() in MOVING_SUFFIXES and moves(self.content)


def find_inputs(names: Iterable[str], role: str, *, video: bool = False) -> list[InputFile]:
    """Expand files, folders (searched recursively) and glob patterns that no shell has expanded.

    Unless a file has that name, ``demo`` is the demo's held-out images and ``noise``, as a content, white noise.

    Args:
        names: what was given on the command line.
        role: ``content`` or ``style``.
        video: whether folders are searched for videos, too.

    Raises:
        InputError: if nothing matches a name, or a folder holds no image.

    Example:
        >>> [file.path.name for file in find_inputs(["demo"], "content")]
        ['chelsea.png', 'rocket.jpg']
    """
    found: list[InputFile] = []
    for name in names:
        path = Path(name).expanduser()
        matches = [path] if path.exists() else _expand(path)
        # a pipe or a device is a file here; reading it is refused, so that the others are made
        files = [InputFile(match) for match in matches if match.exists() and not match.is_dir()]
        folders = [match for match in matches if match.is_dir()]
        if not matches:
            files = [InputFile(file) for file in _built_in_images(name, role)]
        if not files and not folders:
            raise InputError(f"no {role} {name}; give a file, a folder or a pattern")
        found += files or [file for folder in folders for file in _search(folder, video=video)]
    return found


def _expand(pattern: Path) -> list[Path]:
    """What a pattern matches, without the files of operating systems unless the pattern names them."""
    named = set(pattern.parts)
    matches = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]
    return [match for match in matches if all(part in named or is_own_file(part) for part in match.parts)]


def _built_in_images(name: str, role: str) -> list[Path]:
    from adain_lit.data import demo  # takes a moment to import

    if name == demo.NOISE and role == "content":
        return [demo.noise_image()]
    if name == demo.DEMO:
        return (demo.demo_style_images if role == "style" else demo.demo_content_images)(True)
    return []


def _search(folder: Path, *, video: bool) -> list[InputFile]:
    videos = [path for path in find_files(folder, VIDEO_SUFFIXES) if not _is_source_code(path)] if video else []
    try:
        images = find_images(folder)
    except InputError:
        if not videos:
            raise
        images = []
    return [InputFile(file, file.relative_to(folder)) for file in [*images, *videos]]


def _is_source_code(path: Path) -> bool:
    """Whether an .ts file is TypeScript: the packets of a video all begin with the letter G."""
    if path.suffix.lower() != ".ts" or not path.is_file():
        return False
    with path.open("rb") as file:
        return not file.read(1) == b"G" == file.read(188)[187:]


def plan_outputs(
    contents: Sequence[InputFile],
    styles: Sequence[InputFile],
    output: Path | None,
    *,
    every_pair: bool = False,
    suffix: str | None = None,
    label: str = "stylized",
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> list[Output]:
    """Decide what is written where.

    Contents given as files become ``CONTENT_LABEL_STYLE.EXT``; those of a folder keep their names and subfolders, with
    `every_pair` below a folder for each style.

    Args:
        contents: images and videos to stylise.
        styles: the style images: mixed into one style, or with `every_pair` applied one at a time.
        output: a file, if there is one output; otherwise a folder. None is the current folder.
        every_pair: combine each content with each style.
        suffix: suffix of the files to write, of videos only if it is one of a video, ``.gif`` or ``.apng``; None keeps
            the content's if it can be written, else ``.png`` or ``.mkv``.
        label: the word between the content's and the style's name.
        suffixes: suffixes that images may have.

    Raises:
        InputError: if an output would overwrite an input, or a suffix cannot be written. Of outputs that would share
            a file all but the first get other names, which are logged.

    Example:
        >>> contents, styles = [InputFile(Path("cat.bmp"))], [InputFile(Path("wave.jpg"))]
        >>> [output.path.name for output in plan_outputs(contents, styles, None)]
        ['cat_stylized_wave.png']
    """
    mixtures = [(style.path,) for style in styles] if every_pair else [tuple(style.path for style in styles)]
    pairs = [(content, mixture) for content in contents for mixture in mixtures]
    file = output if output is not None and output.suffix and not output.is_dir() else None
    if file and len(pairs) > 1 and file.suffix.lower() in (*GRID_SUFFIXES, *VIDEO_SUFFIXES, *ANIMATION_SUFFIXES):
        raise InputError(f"{len(pairs)} images cannot go into the one file {file}; give a folder")
    outputs = []
    for content, mixture in pairs:
        if file and len(pairs) == 1:
            path = file
        else:
            path = (output or Path()) / _output_name(content, mixture, every_pair, suffix, label)
        _require_suffix(path, _suffixes_for(content.path, suffixes))
        outputs.append(Output(content.path, mixture, path))
    outputs = _distinct(outputs)
    _keep_inputs(outputs, [*contents, *styles])
    return outputs


def plan_grid(
    contents: Sequence[InputFile], styles: Sequence[InputFile], output: Path | None, *, suffix: str | None
) -> Output:
    """The one grid of all contents and styles: the file `output`, or a file named ``grid`` in that folder.

    Raises:
        InputError: if it would overwrite an input, or its suffix cannot be written.

    Example:
        >>> contents, styles = [InputFile(Path("cat.jpg"))], [InputFile(Path("wave.jpg"))]
        >>> plan_grid(contents, styles, Path("folder"), suffix=".jpg").path.as_posix()
        'folder/grid.jpg'
    """
    path = output or Path()
    if path.is_dir() or not path.suffix:
        path = path / f"grid{suffix or '.png'}"
    _require_suffix(path, GRID_SUFFIXES)
    grid = Output(contents[0].path, tuple(style.path for style in styles), path)
    _keep_inputs([grid], [*contents, *styles])
    return grid


def _require_suffix(path: Path, known: Sequence[str]) -> None:
    if path.suffix.lower() not in known:
        raise InputError(f"cannot write {path}: its suffix must be one of {', '.join(known)}")


def _suffixes_for(content: Path, suffixes: Sequence[str]) -> Sequence[str]:
    if is_video(content):
        return MOVING_SUFFIXES
    # grids (which may be PDF files) are made of the first frames
    moving = suffixes == IMAGE_SUFFIXES and is_animation(content)
    return tuple(dict.fromkeys((*suffixes, *MOVING_SUFFIXES))) if moving else suffixes


def _output_name(content: InputFile, mixture: Sequence[Path], every_pair: bool, suffix: str | None, label: str) -> Path:
    own = content.path.suffix.lower()
    if own in VIDEO_SUFFIXES:
        kept = own if own in OUTPUT_VIDEO_SUFFIXES else ".mkv"
        ending = suffix if suffix in (*OUTPUT_VIDEO_SUFFIXES, ".gif", ".apng") else kept
    elif label == "stylized" and own in ANIMATION_SUFFIXES and is_animation(content.path):
        ending = suffix or content.path.suffix
    else:
        ending = suffix or (content.path.suffix if own in IMAGE_SUFFIXES else ".png")
    style = _mixture_name(mixture)
    if content.relative is not None:
        below = content.relative.with_suffix(ending)
        return Path(style) / below if every_pair else below
    return Path(f"{_bounded(content.path.stem, 120)}_{label}_{style}{ending}")


def _mixture_name(mixture: Sequence[Path]) -> str:
    """Names of the styles, of many the first ones and how many more there are."""
    stems = [path.stem for path in mixture]
    shown = next((many for many in range(len(stems), 1, -1) if len("+".join(stems[:many])) <= 60), 1)
    more = [f"{len(stems) - shown}more"] if shown < len(stems) else []
    return "+".join([_bounded("+".join(stems[:shown]), 80), *more])


def _bounded(name: str, most: int) -> str:
    """A name in at most `most` bytes, since file systems limit it to 255; a cut one ends in a digest of the whole."""
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= most:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:6]
    return f"{encoded[: most - 7].decode(errors='ignore')}-{digest}"


def _distinct(outputs: Sequence[Output]) -> list[Output]:
    """The outputs, with other names for those whose file is taken: first with the suffix of the content, then a number.

    What was planned twice is planned once.
    """
    planned: dict[str, Output] = {}
    for output in outputs:
        stem, suffix = output.path.stem, output.path.suffix
        names = [output.path.name, f"{stem}_{output.content.suffix[1:].lower()}{suffix}"]
        for name in chain(names, (f"{stem}_{number}{suffix}" for number in count(2))):
            path = output.path.with_name(name)
            first = planned.setdefault(os.path.normcase(os.path.realpath(path)), replace(output, path=path))
            if (first.content, first.styles) == (output.content, output.styles):
                break
        if path != output.path:
            log.warning("%s is taken; the result for %s is %s", output.path, output.content, path)
    return list(planned.values())


def _keep_inputs(outputs: Sequence[Output], inputs: Sequence[InputFile]) -> None:
    sources = {os.path.realpath(file.path): file.path for file in inputs}
    for output in outputs:
        if source := sources.get(os.path.realpath(output.path)):
            raise InputError(f"{output.path} would overwrite the input {source}; give another --output")


def image_suffix(name: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> str:
    """The suffix of an image format, one of `suffixes`.

    Raises:
        InputError: if such a file cannot be written.

    Example:
        >>> image_suffix("jpg"), image_suffix(".TIF")
        ('.jpg', '.tif')
    """
    suffix = "." + name.lower().removeprefix(".")
    if suffix not in suffixes:
        raise InputError(f"cannot write {name} files; known are {', '.join(s[1:] for s in suffixes)}")
    return suffix


def is_video(path: Path) -> bool:
    """Whether a file's suffix is that of a video.

    Example:
        >>> is_video(Path("clip.MP4")), is_video(Path("clip.gif"))
        (True, False)
    """
    return path.suffix.lower() in VIDEO_SUFFIXES


def moves(path: Path) -> bool:
    """Whether a file is a video or an animation.

    Example:
        >>> moves(Path("clip.mp4")), moves(Path("cat.jpg"))
        (True, False)
    """
    return is_video(path) or is_animation(path)


def missing(outputs: Iterable[Output]) -> list[Output]:
    """The outputs whose file does not exist yet.

    Example:
        >>> output = Output(Path("cat.jpg"), (Path("wave.jpg"),), Path("no such folder", "cat.jpg"))
        >>> missing([output]) == [output]
        True
    """
    return [output for output in outputs if not output.path.exists()]
