"""Video, frame by frame, with the frame times, the orientation and the sound of the original."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from adain_lit.errors import InputError
from adain_lit.inference.plan import OUTPUT_VIDEO_SUFFIXES
from adain_lit.inference.stylizer import Style, Stylizer
from adain_lit.io.files import write_atomically
from adain_lit.nets.style_transfer import Stats

CODECS = {".webm": "libvpx-vp9"}
"""Video codec by suffix; all others are H.264."""
BT709, LIMITED = 1, 1
"""FFmpeg's constants for the colour space of HD video and for luma from 16 to 235."""
STILL = 2
"""A pixel of the input that changes by less than this (of 255) from frame to frame counts as still."""


class VideoReport(NamedTuple):
    """What was made.

    Attributes:
        frames: the number of frames.
        flicker: mean absolute change from frame to frame (of 255) of the output, over pixels that are still in the
            input and should be still in the output.
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
    **controls: Any,
) -> VideoReport:
    """Stylise a video. Memory does not grow with its length.

    Args:
        stylizer: the network.
        source: a video that FFmpeg can read.
        styles: the encoded styles.
        output: the .mp4, .m4v, .mkv, .mov or .webm file, which is complete or not there at all.
        size: shorter side of the frames in pixels; None keeps it, except that an odd last row or column is cut off.
        tile: side of the tiles of large frames, see `Stylizer.__call__`.
        smooth: s in [0, 1) of the exponential moving average of the content statistics over frames,
            m_t = s m_(t-1) + (1 - s) mu(f(c_t)), the same for sigma. It calms parts that change only because something
            moves elsewhere in the frame, and keeps changes of the light, which are otherwise normalised away.
        controls: see `Stylizer.__call__`.

    Raises:
        InputError: if PyAV is not installed, the file is not a video, or the output's format cannot hold its sound.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("video needs PyAV; install adain_lit[video]") from error
    if output.suffix.lower() not in OUTPUT_VIDEO_SUFFIXES:
        raise InputError(f"cannot write a video to {output}; known are {', '.join(OUTPUT_VIDEO_SUFFIXES)}")
    if not 0 <= smooth < 1:
        raise InputError(f"smooth is {smooth}; it must be at least 0 and below 1")
    if smooth and not stylizer.net.fusion.tileable:
        raise InputError(f"smooth is for fusion=adain; this network has {stylizer.net.config.fusion}; set it to 0")
    frames = _Frames(stylizer, styles, {"size": size, "tile": tile}, smooth, controls, _Flicker())
    try:
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


@dataclass(eq=False)
class _Frames:
    """Stylises the frames of a video in order, with what each leaves for the next: statistics and flicker."""

    stylizer: Stylizer
    styles: Sequence[Style]
    sizes: dict[str, int | None]
    smooth: float
    controls: dict[str, Any]
    flicker: "_Flicker"
    stats: list[Stats] | None = None
    count: int = 0

    def stylize(self, image: Image.Image) -> Image.Image:
        """Stylise the next frame; an odd last row or column is cut off."""
        content = self.stylizer.encode_content(image, **self.sizes)
        if self.smooth:
            new = self.stylizer.statistics(content, self.controls.get("masks"))
            self.stats = new if self.stats is None else _blend(self.stats, new, self.smooth)
        (result,) = self.stylizer.many(content, self.styles, content_stats=self.stats, **self.controls)
        result = result.crop((0, 0, result.width // 2 * 2, result.height // 2 * 2))
        self.flicker.add(np.asarray(image.resize(result.size)), np.asarray(result))
        self.count += 1
        return result


def _transcode(source: Path, target: Path, frames: _Frames) -> None:
    """Write the frames of a video stylised, with its sound as it is."""
    import av

    with av.open(str(source)) as video:
        images, sounds = video.streams.best("video"), video.streams.audio
        if images is None:
            raise InputError(f"{source} has no video stream; give a video")
        images.thread_type = "AUTO"  # type: ignore[attr-defined]
        bar = tqdm(total=images.frames or None, desc=f"stylising {source.name}", unit="frame")
        with av.open(str(target), "w") as container, bar:
            writer = _Writer(container, images, sounds)
            for packet in video.demux([images, *sounds]):
                if packet.stream.type == "audio":
                    writer.add_sound(packet)
                    continue
                decoded: list[Any] = packet.decode()
                for frame in decoded:
                    writer.add_image(frames.stylize(_upright(frame)), frame)
                    bar.update()
            if not frames.count:
                raise InputError(f"{source} has no frames; give a video")
            writer.finish()


class _Writer:
    """Writes a video. Its streams are opened with the first image, whose size they need; sound waits until then."""

    def __init__(self, container: Any, source_images: Any, source_sounds: Sequence[Any]) -> None:
        self.container = container
        self.source_images = source_images
        self.source_sounds = source_sounds
        self.images: Any = None
        self.sounds: dict[int, Any] = {}
        self.waiting: list[Any] = []

    def add_image(self, image: Image.Image, frame: Any) -> None:
        """Write an image at the time of `frame`."""
        from av import VideoFrame

        if self.images is None:
            self._open_streams(*image.size)
        written = VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        written = written.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        written.pts, written.time_base = frame.pts, frame.time_base
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

    def _open_streams(self, width: int, height: int) -> None:
        suffix = Path(self.container.name).suffix.lower()
        codec = CODECS.get(suffix, "libx264")
        self.images = self.container.add_stream(codec, rate=self.source_images.average_rate, options={"crf": "18"})
        self.images.width, self.images.height, self.images.pix_fmt = width, height, "yuv420p"
        context = self.images.codec_context
        context.time_base = self.source_images.time_base
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


def _blend(old: Sequence[Stats], new: Sequence[Stats], smooth: float) -> list[Stats]:
    # for each region and each layer: mean with mean, standard deviation with standard deviation
    return [
        tuple(
            (mean.lerp(old_mean, smooth), std.lerp(old_std, smooth))
            for (old_mean, old_std), (mean, std) in zip(*layers, strict=True)
        )
        for layers in zip(old, new, strict=True)
    ]


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
        self.last: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
        self.sums = np.zeros(2)
        self.count = 0

    def add(self, source: NDArray[np.uint8], result: NDArray[np.uint8]) -> None:
        if self.last is not None:
            # int16: differences of bytes are negative, too
            pairs = zip((result, source), self.last, strict=True)
            changes = [np.abs(new.astype(np.int16) - old).mean(2) for new, old in pairs]
            still = changes[1] < STILL
            self.sums += [float(change[still].sum()) for change in changes]
            self.count += int(still.sum())
        self.last = (result, source)

    def means(self) -> tuple[float, float]:
        result, source = self.sums / max(self.count, 1)
        return float(result), float(source)
