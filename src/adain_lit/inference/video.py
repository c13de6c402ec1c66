"""Videos and animations, frame by frame, with the frame times, the orientation and the sound of the original."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from adain_lit.errors import InputError
from adain_lit.inference.motion import camera_motion, moved
from adain_lit.inference.plan import OUTPUT_VIDEO_SUFFIXES, is_video
from adain_lit.inference.stylizer import Style, Stylizer
from adain_lit.io.animation import (
    ANIMATION_SUFFIXES,
    Frame,
    animation_info,
    read_frames,
    write_animation,
)
from adain_lit.io.files import write_atomically
from adain_lit.io.images import resize_shorter, to_image, to_tensor
from adain_lit.io.inputs import as_image
from adain_lit.io.memory import DECODE_BYTES

CODECS = {".webm": "libvpx-vp9"}
"""Video codec by suffix; all others are H.264."""
BT709, LIMITED = 1, 1
"""FFmpeg's constants for the colour space of HD video and for luma from 16 to 235."""
MILLISECOND = Fraction(1, 1000)
STILL = 2
"""A pixel of the input that changes by less than this (of 255) from frame to frame, along the motion of the camera,
counts as still."""
SAME = 12
"""Change of the input (of 255, mean over `AREA` pixels squared) at which a frame keeps 1/e of the one before."""
AREA = 9


class VideoReport(NamedTuple):
    """What was made.

    Attributes:
        frames: the number of frames.
        flicker: mean absolute change from frame to frame (of 255) of the output, along the motion of the camera, over
            pixels that are still in the input and should be still in the output.
        input_flicker: the same for the input, which is its noise.
    """

    frames: int
    flicker: float
    input_flicker: float


def stylize_video(
    stylizer: Stylizer,
    source: Path,
    styles: Sequence[Style],
    output: Path,
    *,
    size: int | None = None,
    tile: int | None = None,
    smooth: float = 0.0,
    keep_alpha: bool = False,
    **controls: Any,
) -> VideoReport:
    """Stylise a video or an animation.

    Memory does not grow with the length of a video; the frames of an animation are in memory until it is written.

    Args:
        stylizer: the network.
        source: a video that FFmpeg can read, or an animated GIF, WebP or PNG.
        styles: the encoded styles.
        output: the .mp4, .m4v, .mkv, .mov or .webm video, or the .gif, .webp, .png or .apng animation, which is
            complete or not there at all. Only a video made of a video has its sound.
        size: shorter side of the frames in pixels; None keeps it. Videos lose an odd last row or column.
        tile: side of the tiles of large frames, see `Stylizer.__call__`.
        smooth: s in [0, 1). Above 0, the network's grid moves with the camera, and each frame keeps
            s exp(-(d / 12)^2) of the one before, shifted by the camera's motion; d (of 255) is the local change of the
            input, so that what moves by itself leaves no trail.
        keep_alpha: keep the transparency of an animation in an animation.
        controls: see `Stylizer.__call__`.

    Raises:
        InputError: if PyAV is not installed, the file is not a video, the output's format cannot hold its sound, or an
            animation does not fit in memory.
    """
    known = (*OUTPUT_VIDEO_SUFFIXES, *ANIMATION_SUFFIXES)
    if output.suffix.lower() not in known:
        raise InputError(f"cannot write a video to {output}; known are {', '.join(known)}")
    if not 0 <= smooth < 1:
        raise InputError(f"smooth is {smooth}; it must be at least 0 and below 1")
    stylizer.check(len(styles), tile=tile, **controls)
    frames = _Frames(stylizer, styles, size, tile, smooth, controls)
    as_animation = output.suffix.lower() in ANIMATION_SUFFIXES
    if not is_video(source):
        info = animation_info(source)
        made = _stylized(frames, read_frames(source, keep_alpha=keep_alpha), source, info.frames)
        if as_animation:
            _write(made, output, plays=info.plays)
        else:
            _write_video(made, output)
    else:
        av = _import_av()
        try:
            if as_animation:
                _write(_stylized(frames, _video_frames(source), source, _length(source)), output, plays=0)
            else:
                write_atomically(output, lambda path: _transcode(source, path, frames))
        except av.FFmpegError as error:
            raise InputError(f"cannot stylise the video {source}: {error.strerror}") from error
    report = VideoReport(frames.count, *frames.flicker.means())
    tqdm.write(
        f"{output}: {report.frames} frames, flicker {report.flicker:.2f} of 255 where the input is still, "
        f"{flicker_in_words(report.flicker)} "
        f"(the input's own: {report.input_flicker:.2f})"
    )
    return report


def _import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError("video needs PyAV; install adain_lit[video]") from error
    return av


@dataclass(eq=False)
class _Frames:
    """Stylises frames in order, with what each leaves for the next: itself, its result and the camera's position.

    Attributes:
        previous: the last frame and its result, each (3, H, W), 0 to 255.
        position: of the camera, in pixels right and down of where it was in the first frame.
    """

    stylizer: Stylizer
    styles: Sequence[Style]
    size: int | None
    tile: int | None
    smooth: float
    controls: dict[str, Any]
    flicker: "_Flicker" = field(default_factory=lambda: _Flicker())
    previous: tuple[Tensor, Tensor] | None = None
    position: tuple[float, float] = (0.0, 0.0)
    count: int = 0

    @torch.inference_mode()
    def stylize(self, image: Image.Image) -> Image.Image:
        """Stylise the next frame."""
        image = resize_shorter(image, self.size)
        frame = to_tensor(image).float()
        motion = (0.0, 0.0)
        if self.previous is not None and self.previous[0].shape == frame.shape:
            motion = camera_motion(self.previous[0].mean(0), frame.mean(0))
        else:
            self.previous = None
        self.position = (self.position[0] + motion[0], self.position[1] + motion[1])
        made = self._stylize(image)
        result = to_tensor(made).float()
        if self.previous is not None:
            before = [moved(x, motion) for x in self.previous]
            if self.smooth:
                result = torch.lerp(result, before[1], self.smooth * _sameness(before[0], frame, motion))
            self.flicker.add((result, frame), (before[1], before[0]))
        self.previous = frame, result
        self.count += 1
        return to_image(result / 255) if self.smooth else made

    def _stylize(self, image: Image.Image) -> Image.Image:
        """Stylise a frame alone, on a grid that moves with the camera if frames are smoothed.

        The network works on blocks of as many pixels as its deepest stride. A texture that meets them at other places
        in each frame comes out differently; extended to the left and above, the frame meets them as the first one did.
        """
        stride = max(self.stylizer.net.strides)
        left, top = (round(x) % stride if self.smooth else 0 for x in self.position)
        controls = self.controls
        if left or top:
            masks = controls.get("masks")
            if masks is not None:
                resized = [as_image(mask, "mask", background="black").resize(image.size) for mask in masks]
                controls = controls | {"masks": [_extended(mask, left, top) for mask in resized]}
            image = _extended(image, left, top)
        content = self.stylizer.encode_content(image, tile=self.tile)
        (result,) = self.stylizer.many(content, self.styles, **controls)
        return result.crop((left, top, *result.size)) if left or top else result


def _extended(image: Image.Image, left: int, top: int) -> Image.Image:
    """An image mirrored at its left and upper edge, by so many pixels."""
    return Image.fromarray(np.pad(np.asarray(image), ((top, 0), (left, 0), (0, 0)), mode="symmetric"))


def _sameness(before: Tensor, now: Tensor, motion: tuple[float, float]) -> Tensor:
    """How much each pixel (1, H, W) shows what it showed before, 0 to 1; 0 where the camera had not looked."""
    change = (now - before).abs().mean(0, keepdim=True)
    pad = AREA // 2
    change = F.avg_pool2d(F.pad(change[None], (pad, pad, pad, pad), mode="replicate"), AREA, 1)[0]
    height, width = change.shape[1:]
    inside = [
        (torch.arange(side) + d >= 0) & (torch.arange(side) + d <= side - 1)
        for side, d in zip((height, width), reversed(motion), strict=True)
    ]
    return torch.exp(-((change / SAME) ** 2)) * (inside[0][:, None] & inside[1])


def _stylized(frames: _Frames, source: Iterator[Frame], path: Path, total: int | None) -> Iterator[Frame]:
    with tqdm(total=total, desc=f"stylising {path.name}", unit="frame") as bar:
        for frame in source:
            yield replace(frame, image=frames.stylize(frame.image))
            bar.update()
        bar.total = bar.n


def _write(frames: Iterator[Frame], output: Path, *, plays: int) -> None:
    """Write frames as an animation."""
    made: list[Frame] = []
    with closing(frames):  # type: ignore[type-var]
        for frame in frames:
            made.append(frame)
            taken = 4 * frame.image.width * frame.image.height
            if taken * len(made) > DECODE_BYTES:
                raise InputError(
                    f"{len(made)} frames of {frame.image.width}x{frame.image.height} pixels take {DECODE_BYTES >> 30} "
                    f"GB of memory; give an --output in .mp4, or a smaller --size"
                )
    write_animation(made, output, plays=plays)


def _write_video(frames: Iterator[Frame], output: Path) -> None:
    """Write frames as a video without sound."""
    av = _import_av()

    def write(path: Path) -> None:
        time = 0
        with av.open(str(path), "w") as container, closing(frames):  # type: ignore[type-var]
            writer = _Writer(container, None, ())
            for frame in frames:
                writer.add_image(frame.image, time, MILLISECOND, frame.duration)
                time += frame.duration
            writer.finish()

    write_atomically(output, write)


def _length(source: Path) -> int | None:
    """Number of frames of a video by its header, or by its duration; None if neither is there."""
    with _import_av().open(str(source)) as video:
        return _counted_frames(video, video.streams.best("video"))


def _counted_frames(video: Any, images: Any) -> int | None:
    if images is None:
        return None
    if not images.frames and video.duration and images.average_rate:
        return max(1, int(video.duration * images.average_rate / 1_000_000))
    return int(images.frames) or None


def _video_frames(source: Path) -> Iterator[Frame]:
    """The frames of a video with their durations; the last is shown as long as the one before."""
    waiting: Any = None
    duration = 0
    for frame in _decoded(source):
        if waiting is not None:
            duration = round(1000 * frame.time) - round(1000 * waiting.time)
            yield Frame(_upright(waiting), max(1, duration))
        waiting = frame
    if waiting is None:
        raise InputError(f"{source} has no frames; give a video")
    yield Frame(_upright(waiting), duration or 100)


def _decoded(source: Path) -> Iterator[Any]:
    with _import_av().open(str(source)) as video:
        images = video.streams.best("video")
        if images is None:
            raise InputError(f"{source} has no video stream; give a video")
        images.thread_type = "AUTO"
        yield from video.decode(images)


def _transcode(source: Path, target: Path, frames: _Frames) -> None:
    """Write the frames of a video stylised, with its sound as it is."""
    import av

    with av.open(str(source)) as video:
        images, sounds = video.streams.best("video"), video.streams.audio
        if images is None:
            raise InputError(f"{source} has no video stream; give a video")
        images.thread_type = "AUTO"  # type: ignore[attr-defined]
        bar = tqdm(total=_counted_frames(video, images), desc=f"stylising {source.name}", unit="frame")
        with av.open(str(target), "w") as container, bar:
            writer = _Writer(container, images, sounds)
            for packet in video.demux([images, *sounds]):
                if packet.stream.type == "audio":
                    writer.add_sound(packet)
                    continue
                decoded: list[Any] = packet.decode()
                for frame in decoded:
                    writer.add_image(frames.stylize(_upright(frame)), frame.pts, frame.time_base)
                    bar.update()
            if not frames.count:
                raise InputError(f"{source} has no frames; give a video")
            bar.total = bar.n
            writer.finish()


class _Writer:
    """Writes a video. Its streams are opened with the first image, whose size they need; sound waits until then.

    Args:
        container: the open file.
        source_images: the stream of images that has the rate and the time base; None if they are of an animation.
        source_sounds: the streams of sound to copy.
    """

    def __init__(self, container: Any, source_images: Any, source_sounds: Sequence[Any]) -> None:
        self.container = container
        self.source_images = source_images
        self.source_sounds = source_sounds
        self.images: Any = None
        self.sounds: dict[int, Any] = {}
        self.waiting: list[Any] = []

    def add_image(self, image: Image.Image, pts: int | None, time_base: Fraction, duration: int = 0) -> None:
        """Write an image, without an odd last row or column, at the time `pts` in units of `time_base` seconds."""
        from av import VideoFrame

        image = image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))
        if self.images is None:
            self._open_streams(*image.size, Fraction(1000, max(1, duration)))
        written = VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        written = written.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        written.pts, written.time_base, written.duration = pts, time_base, duration
        self.container.mux(self.images.encode(written))
        self._write_sounds()

    def add_sound(self, packet: Any) -> None:
        """Copy a packet of sound without decoding it."""
        if packet.dts is not None:  # the packet that ends a stream has none
            self.waiting.append(packet)
        if self.images is not None:
            self._write_sounds()

    def finish(self) -> None:
        """Write the frames that the encoder still buffers."""
        self.container.mux(self.images.encode())

    def _open_streams(self, width: int, height: int, rate: Fraction) -> None:
        suffix = Path(self.container.name).suffix.lower()
        source = self.source_images
        rate, time_base = (source.average_rate, source.time_base) if source else (rate, MILLISECOND)
        codec = CODECS.get(suffix, "libx264")
        self.images = self.container.add_stream(codec, rate=rate, options={"crf": "18"})
        self.images.width, self.images.height, self.images.pix_fmt = width, height, "yuv420p"
        context = self.images.codec_context
        context.time_base = time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709  # otherwise players guess
        context.color_range = LIMITED
        for stream in self.source_sounds:
            try:
                self.sounds[stream.index] = self.container.add_stream_from_template(stream)
            except ValueError as error:
                name = stream.codec_context.codec.canonical_name
                raise InputError(f"{suffix} files cannot hold the sound ({name}); give an --output in .mkv") from error

    def _write_sounds(self) -> None:
        for packet in self.waiting:
            packet.stream = self.sounds[packet.stream.index]
            self.container.mux(packet)
        self.waiting.clear()


def _upright(frame: Any) -> Image.Image:
    """The frame with the rotation applied that phones store as metadata."""
    image: Image.Image = frame.to_image()
    turn = int(getattr(frame, "rotation", 0)) % 360
    return image.rotate(turn, expand=True) if turn else image


def flicker_in_words(flicker: float) -> str:
    """How much a mean change from frame to frame (of 255) is to the eye, as a rule of thumb.

    Example:
        >>> flicker_in_words(0.8), flicker_in_words(15.0)
        ('hardly visible', 'strong; --smooth 0.8 may lower it')
    """
    if flicker < 2:
        return "hardly visible"
    return "visible" if flicker < 6 else "strong; --smooth 0.8 may lower it"


class _Flicker:
    """Mean absolute change from frame to frame, of output and input, where the input is still."""

    def __init__(self) -> None:
        self.sums = np.zeros(2)
        self.count = 0

    def add(self, now: tuple[Tensor, Tensor], before: tuple[Tensor, Tensor]) -> None:
        """Count a frame: result and input, and those of the frame before, brought to the same place; (3, H, W) each."""
        changes = [(new - old).abs().mean(0) for new, old in zip(now, before, strict=True)]
        still = changes[1] < STILL
        self.sums += [float(change[still].sum()) for change in changes]
        self.count += int(still.sum())

    def means(self) -> tuple[float, float]:
        result, source = self.sums / max(self.count, 1)
        return float(result), float(source)
