"""Video, frame by frame, with the rate, the length, the rotation and the sound of the original."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from adain_lit.errors import InputError
from adain_lit.inference.plan import WRITABLE_VIDEO
from adain_lit.inference.stylizer import Style, Stylizer
from adain_lit.io.files import write_atomically
from adain_lit.nets.style_transfer import Stats

CODECS = {".webm": "libvpx-vp9"}
"""Video codec by suffix; H.264 for all others."""
BT709, LIMITED = 1, 1
"""FFmpeg's numbers for the colours of high-definition video, and for brightness from 16 to 235."""
STILL = 2
"""Of 255: a pixel of the input that changes less from one frame to the next counts as still."""


class VideoReport(NamedTuple):
    """What was made.

    Attributes:
        frames: how many.
        flicker: mean change of the output's still pixels from frame to frame, of 255; what stands still in the input
            should stand still in the output.
        input_flicker: the same of the input, its noise.
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
    """Stylise a video; memory does not grow with its length.

    Args:
        stylizer: the network.
        source: a video that FFmpeg reads.
        styles: styles, encoded once.
        output: the video to write, .mp4, .m4v, .mkv, .mov or .webm; never half of it.
        size: shorter side of the frames in pixels, None keeps theirs (but for an odd last row or column).
        tile: side of the tiles of large frames, as for a call of the stylizer.
        smooth: share of the earlier frames' content statistics in those of a frame, 0 to below 1. Calms what changes
            because something moves elsewhere in the image. A change of the light over all of it then stays in the
            result, while without smoothing each frame is brought to the style's brightness.
        controls: as for a call of the stylizer.

    Raises:
        InputError: if PyAV is not installed, the file is no video, or the output's format cannot hold its sound.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("video needs PyAV; install adain_lit[video]") from error
    if output.suffix.lower() not in WRITABLE_VIDEO:
        raise InputError(f"cannot write a video to {output}; known are {', '.join(WRITABLE_VIDEO)}")
    if not 0 <= smooth < 1:
        raise InputError(f"smooth is {smooth}; it must be at least 0 and below 1")
    if smooth and not stylizer.net.fusion.tileable:
        raise InputError(f"smooth is for fusion=adain; this network has {stylizer.net.fusion_name}; set it to 0")
    flicker = _Flicker()
    frames = 0

    def write(path: Path) -> None:
        nonlocal frames
        with av.open(str(source)) as video:
            images = video.streams.best("video")
            if images is None:
                raise InputError(f"{source} has no video stream; give a video")
            images.thread_type = "AUTO"  # type: ignore[attr-defined]
            stats: list[Stats] | None = None
            with (
                av.open(str(path), "w") as container,
                tqdm(total=images.frames or None, desc=f"stylising {source.name}", unit="frame") as bar,
            ):
                made = _Made(container, images, video.streams.audio)
                for packet in video.demux([images, *video.streams.audio]):
                    if packet.stream.type == "audio":
                        made.add_sound(packet)
                        continue
                    decoded: list[Any] = packet.decode()
                    for frame in decoded:
                        image = _upright(frame)
                        content = stylizer.encode_content(image, size=size, tile=tile)
                        if smooth:
                            new = stylizer.statistics(content, controls.get("masks"))
                            stats = new if stats is None else _blend(stats, new, smooth)
                        (result,) = stylizer.many(content, styles, content_stats=stats, **controls)
                        result = result.crop((0, 0, result.width // 2 * 2, result.height // 2 * 2))
                        flicker.add(np.asarray(image.resize(result.size)), np.asarray(result))
                        made.add_image(result, frame)
                        frames += 1
                        bar.update()
                if not frames:
                    raise InputError(f"{source} holds no image; give a video")
                made.finish()

    try:
        write_atomically(output, write)
    except av.FFmpegError as error:
        raise InputError(f"cannot stylise the video {source}: {error.strerror}") from error
    report = VideoReport(frames, *flicker.means())
    tqdm.write(
        f"{output}: {frames} frames, flicker {report.flicker:.2f} of 255 where the input stands still "
        f"(the input's own: {report.input_flicker:.2f})"
    )
    return report


class _Made:
    """The video that is written. Its streams begin with the first image, which tells the size; sound waits for it."""

    def __init__(self, container: Any, images: Any, sounds: Sequence[Any]) -> None:
        self.container = container
        self.given = images
        self.given_sounds = sounds
        self.images: Any = None
        self.sounds: dict[int, Any] = {}
        self.waiting: list[Any] = []

    def add_image(self, image: Image.Image, frame: Any) -> None:
        """Write an image, to be shown when `frame` was."""
        from av import VideoFrame

        if self.images is None:
            self._begin(*image.size)
        made = VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
        made = made.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        made.pts, made.time_base = frame.pts, frame.time_base
        self.container.mux(self.images.encode(made))
        self._write_sounds()

    def add_sound(self, packet: Any) -> None:
        """Write a packet of sound as it is."""
        if packet.dts is not None:  # the last one of a stream is empty
            self.waiting.append(packet)
        if self.images is not None:
            self._write_sounds()

    def finish(self) -> None:
        """Write what the encoder still holds back."""
        self.container.mux(self.images.encode())

    def _begin(self, width: int, height: int) -> None:
        suffix = Path(self.container.name).suffix.lower()
        codec = CODECS.get(suffix, "libx264")
        self.images = self.container.add_stream(codec, rate=self.given.average_rate, options={"crf": "18"})
        self.images.width, self.images.height, self.images.pix_fmt = width, height, "yuv420p"
        context = self.images.codec_context
        context.time_base = self.given.time_base
        context.colorspace = context.color_primaries = context.color_trc = BT709  # else players guess from the size
        context.color_range = LIMITED
        for stream in self.given_sounds:
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
    """The frame as it is to be seen: the rotation that phones write beside the pixels is applied."""
    image: Image.Image = frame.to_image()
    turn = int(getattr(frame, "rotation", 0)) % 360
    return image.rotate(turn, expand=True) if turn else image


def _blend(old: Sequence[Stats], new: Sequence[Stats], smooth: float) -> list[Stats]:
    return [
        tuple((c.lerp(a, smooth), d.lerp(b, smooth)) for (a, b), (c, d) in zip(*layers, strict=True))
        for layers in zip(old, new, strict=True)
    ]


class _Flicker:
    """Mean change from frame to frame where the input stands still."""

    def __init__(self) -> None:
        self.last: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None = None
        self.sums = np.zeros(2)
        self.count = 0

    def add(self, given: NDArray[np.uint8], made: NDArray[np.uint8]) -> None:
        if self.last is not None:
            changes = [np.abs(x.astype(np.int16) - y).mean(2) for x, y in zip((made, given), self.last, strict=True)]
            still = changes[1] < STILL
            self.sums += [float(change[still].sum()) for change in changes]
            self.count += int(still.sum())
        self.last = (made, given)

    def means(self) -> tuple[float, float]:
        made, given = self.sums / max(self.count, 1)
        return float(made), float(given)
