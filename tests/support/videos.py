"""Small videos."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from support.images import small

Pixels = NDArray[np.uint8]
CONTAINERS = {".mp4": ("libx264", "aac"), ".mov": ("libx264", "aac"), ".mkv": ("libx264", "flac")}
SINE = 440


def moving(count: int, size: tuple[int, int]) -> list[Pixels]:
    """A window that moves over a photograph, one pixel with each frame."""
    photograph = np.asarray(small("coffee.png", (size[0] + count, size[1])))
    return [np.ascontiguousarray(photograph[:, i : i + size[0]]) for i in range(count)]


def write_video(
    path: Path,
    frames: Sequence[Pixels],
    *,
    rate: int = 12,
    times: Sequence[int] | None = None,
    tracks: int = 1,
    matrix: Sequence[int] | None = None,
    bt709: bool = False,
) -> Path:
    """A video with a sine tone in each of its sound tracks; `times` in milliseconds instead of a steady rate."""
    video_codec, audio_codec = CONTAINERS[path.suffix]
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as video:
        images = video.add_stream(video_codec, rate=rate, options={"crf": "10"})
        images.width, images.height = width, height
        images.pix_fmt = "yuv444p" if width % 2 or height % 2 else "yuv420p"
        if times is not None:
            images.codec_context.time_base = Fraction(1, 1000)
        if matrix is not None:
            images.set_display_matrix(matrix)
        if bt709:
            images.codec_context.colorspace = 1
        sounds = [video.add_stream(audio_codec, rate=48000, layout="stereo") for _ in range(tracks)]
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if bt709:
                frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts = i if times is None else times[i]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            video.mux(images.encode(frame))
        video.mux(images.encode())
        for sound in sounds:
            resampler = av.AudioResampler(format=sound.format, layout="stereo", rate=48000)
            for start in range(0, 48000 * len(frames) // rate, 960):
                tone = 0.3 * np.sin(2 * np.pi * SINE / 48000 * np.arange(start, start + 960))
                given = av.AudioFrame.from_ndarray(np.tile(tone.astype(np.float32), (2, 1)), format="fltp")
                given.sample_rate, given.pts, given.time_base = 48000, start, Fraction(1, 48000)
                for resampled in resampler.resample(given):
                    video.mux(sound.encode(resampled))
            video.mux(sound.encode())
    return path
