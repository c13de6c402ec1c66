"""Stylised video: the original's frames, times, size and sound, upright, and never half a file."""

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import adain_lit
from adain_lit import stylize
from adain_lit.errors import InputError
from adain_lit.inference import video
from adain_lit.inference.stylizer import Style, Stylizer
from adain_lit.inference.video import stylize_video
from adain_lit.io.animation import AnimationInfo, Frame, animation_info, read_frames, write_animation
from support.commands import run_here
from support.images import small
from support.videos import CONTAINERS, Pixels, moving, write_video

CONTAINERS |= {".m4v": ("libx264", "aac"), ".webm": ("libvpx-vp9", "libopus")}


class Video(NamedTuple):
    """What a file holds."""

    frames: list[Pixels]
    times: list[float]
    rate: Fraction
    seconds: float
    colorspace: int
    sound: list[tuple[str, list[bytes]]]
    """Codec and packets of each track."""


def read_video(path: Path) -> Video:
    with av.open(str(path)) as video:
        assert video.streams[0].type == "video"
        images = video.streams.video[0]
        packets: dict[int, list[bytes]] = {stream.index: [] for stream in video.streams.audio}
        frames, times = [], []
        for packet in video.demux():
            if packet.stream.type == "audio":
                packets[packet.stream.index].append(bytes(packet))
                continue
            for frame in packet.decode():
                assert frame.rotation == 0
                frames.append(frame.to_ndarray(format="rgb24"))
                times.append(float(frame.time))
        sound = [(stream.codec_context.name, packets[stream.index]) for stream in video.streams.audio]
        assert video.duration is not None
        seconds = video.duration / 1e6
        return Video(frames, times, images.average_rate, seconds, images.codec_context.colorspace, sound)


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return adain_lit.load("compact", device="cpu")


@pytest.fixture(scope="module")
def style(stylizer: Stylizer) -> Style:
    return stylizer.encode_style(small("chelsea.png"))


def assert_kept(made: Video, given: Video) -> None:
    """Frames, their times, the length and the sound, byte for byte."""
    frame = 1 / float(given.rate)
    assert len(made.frames) == len(given.frames)
    assert float(made.rate) == pytest.approx(float(given.rate), rel=1e-3)
    assert made.times == pytest.approx(given.times, abs=1e-3)
    assert made.seconds == pytest.approx(given.seconds, abs=frame / 2)
    assert made.sound == given.sound


def difference(a: Pixels, b: Image.Image | Pixels) -> float:
    """Mean over all values of 255."""
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_video_keeps_frames_times_size_and_sound(
    tmp_path: Path, stylizer: Stylizer, style: Style, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the original file, and each of its frames stylised as an image, within the loss of the codec."""
    given = read_video(write_video(tmp_path / f"video{suffix}", moving(12, (64, 48)), tracks=2))
    assert len(given.sound) == 2
    output = tmp_path / f"made{suffix}"
    report = stylize_video(stylizer, tmp_path / f"video{suffix}", [style], output)
    made = read_video(output)
    assert_kept(made, given)
    assert report.frames == 12
    assert f"{output}: 12 frames, flicker {report.flicker:.2f} of 255" in capsys.readouterr().out
    expected = [stylizer(Image.fromarray(frame), style) for frame in given.frames]
    for i, frame in enumerate(made.frames):
        assert frame.shape == (48, 64, 3)
        assert difference(frame, expected[i]) < 8  # 5 from half the resolution of the colours
        assert difference(frame, expected[i]) < min(difference(frame, x) for x in expected[:i] + expected[i + 1 :])
        assert difference(frame, given.frames[i]) > 20  # it was stylised


def test_colours_are_those_that_the_files_declare(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    """Oracle: each frame stylised as an image, as it was and as the video has it.

    BT.601 for BT.709 is 10 of 255 off in the reddest of them where it is read, 2.5 where it is written.
    """
    photograph = np.asarray(small("coffee.png", (64, 48)), dtype=float)
    tints = ((1.0, 0.2, 0.2), (0.2, 1.0, 0.3), (0.2, 0.3, 1.0))
    frames = [(photograph * tint).round().astype(np.uint8) for tint in tints]
    for bt709 in (False, True):
        given = read_video(write_video(tmp_path / "video.mp4", frames, bt709=bt709))
        assert given.colorspace == (1 if bt709 else 2)  # ITU-T H.273: BT.709, unspecified
        stylize_video(stylizer, tmp_path / "video.mp4", [style], tmp_path / "made.mp4")
        made = read_video(tmp_path / "made.mp4")
        assert made.colorspace == 1
        for oracle, tolerance in ((frames, 5), (given.frames, 2)):
            for got, pixels in zip(made.frames, oracle, strict=True):
                expected = np.asarray(stylizer(Image.fromarray(pixels), style), dtype=float)
                assert np.abs(got.mean((0, 1)) - expected.mean((0, 1))).max() < tolerance


def test_odd_size_loses_one_row_or_column_only(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    """Oracle: the frame stylised whole, without its last row and column; H.264 in yuv420p takes even sizes only."""
    given = read_video(write_video(tmp_path / "video.mp4", moving(3, (65, 49))))
    assert given.frames[0].shape == (49, 65, 3)
    stylize_video(stylizer, tmp_path / "video.mp4", [style], tmp_path / "made.mp4")
    made = read_video(tmp_path / "made.mp4")
    assert_kept(made, given)
    assert difference(made.frames[1], stylizer(Image.fromarray(given.frames[1]), style).crop((0, 0, 64, 48))) < 8


# Matrices of ISO/IEC 14496-12, 8.3.2: a pixel at (p, q) is shown at (a p + c q, b p + d q), rows [a b u] [c d v] ...
TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("clockwise", TURNS)
def test_video_of_a_phone_comes_out_upright(tmp_path: Path, stylizer: Stylizer, style: Style, clockwise: int) -> None:
    """Oracle: the stored frames turned by NumPy, and no rotation left in the file (`read_video`)."""
    frames = moving(3, (64, 48))
    a, b, c, d = (value << 16 for value in TURNS[clockwise])
    write_video(tmp_path / "video.mp4", frames, matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    stylize_video(stylizer, tmp_path / "video.mp4", [style], tmp_path / "made.mp4")
    made = read_video(tmp_path / "made.mp4")
    assert len(made.frames) == 3
    for got, stored in zip(made.frames, frames, strict=True):
        upright = np.rot90(stored, -clockwise // 90).copy()
        assert got.shape == upright.shape
        assert difference(got, stylizer(Image.fromarray(upright), style)) < 10


def test_frames_at_uneven_times_keep_them(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    """Oracle: the times that were written, in both directions between clocks of 1/1000 s and 1/16000 s."""
    times = [0, 40, 80, 300, 340, 700, 740, 800, 1000, 1100, 1500, 1501]
    for given, made in (("a.mp4", "b.mkv"), ("b.mkv", "c.mp4")):
        if given == "a.mp4":
            write_video(tmp_path / given, moving(12, (64, 48)), times=times, tracks=0)
        stylize_video(stylizer, tmp_path / given, [style], tmp_path / made)
        assert read_video(tmp_path / made).times == pytest.approx([t / 1000 for t in times], abs=1e-3)


def test_size_is_the_shorter_side_and_the_sound_stays(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    given = read_video(write_video(tmp_path / "video.mp4", moving(3, (64, 48))))
    stylize_video(stylizer, tmp_path / "video.mp4", [style], tmp_path / "made.mp4", size=24)
    made = read_video(tmp_path / "made.mp4")
    assert_kept(made, given)
    assert made.frames[0].shape == (24, 32, 3)


def test_smoothing_calms_what_stands_still(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    """Oracle: flicker by its definition, from frames stylised one by one; a still image with a lamp that wavers."""
    still = np.asarray(small("coffee.png", (160, 120)), dtype=float)
    noise = np.random.default_rng(0)
    frames = []
    for light in noise.uniform(0, 200, 10):
        frame = still + noise.normal(0, 0.5, still.shape)
        frame[:24, :24] += light
        frames.append(frame.clip(0, 255).round().astype(np.uint8))
    video = write_video(tmp_path / "video.mp4", frames)
    rough, smooth = (stylize_video(stylizer, video, [style], tmp_path / "made.mp4", smooth=x) for x in (0.0, 0.9))
    given = read_video(video).frames
    images = [np.asarray(stylizer(Image.fromarray(frame), style)) for frame in given]
    changes = [np.abs(np.diff(np.stack(x).astype(float), axis=0)).mean(-1) for x in (given, images)]
    at_rest = changes[0] < 2
    assert 0.5 < at_rest.mean() < 0.99
    assert rough.input_flicker == pytest.approx(changes[0][at_rest].mean(), rel=1e-3)
    assert rough.flicker == pytest.approx(changes[1][at_rest].mean(), rel=1e-3)
    assert smooth.input_flicker == rough.input_flicker
    assert smooth.flicker < 0.8 * rough.flicker


def pan(count: int, size: tuple[int, int], motion: tuple[int, int]) -> list[Pixels]:
    """Frames of a camera that moves over a photograph by whole pixels, right and down."""
    width, height = size
    right, down = (n * (count - 1) for n in motion)
    scene = np.asarray(small("coffee.png", (width + right, height + down)))
    return [scene[motion[1] * i :][:height, motion[0] * i :][:, :width] for i in range(count)]


def stylised_frames(stylizer: Stylizer, style: Style, frames: list[Pixels], **controls: Any) -> list[NDArray[Any]]:
    made = video._Frames(stylizer, [style], None, None, controls.pop("smooth"), controls)
    return [np.asarray(made.stylize(Image.fromarray(frame)), dtype=float) for frame in frames]


def flicker_along(motion: tuple[int, int], frames: list[NDArray[Any]]) -> float:
    """Mean change of what the camera still sees, over the mean change from pixel to pixel; without the border."""
    right, down = motion
    height, width = frames[0].shape[:2]
    changes = [
        np.abs(old[down:, right:] - new[: height - down, : width - right])[8:-8, 8:-8].mean()
        for old, new in pairwise(frames)
    ]
    gradient = np.mean([np.abs(np.diff(frame, axis=axis)).mean() for frame in frames for axis in (0, 1)])
    return float(np.mean(changes) / gradient)


def test_smoothing_follows_the_camera(stylizer: Stylizer, style: Style) -> None:
    """Oracle: frames cut from one photograph 3 pixels right and 1 down, so that each pixel has its twin.

    Frames keep their detail: the flicker is held against it.
    """
    frames = pan(7, (128, 96), (3, 1))
    assert flicker_along((3, 1), [x.astype(float) for x in frames]) == 0
    rough, smooth = (stylised_frames(stylizer, style, frames, smooth=s) for s in (0.0, 0.8))
    assert flicker_along((3, 1), smooth) < 0.2 * flicker_along((3, 1), rough)


def test_smoothing_follows_the_camera_with_masks(stylizer: Stylizer, style: Style) -> None:
    """Oracle: outside the mask the frame is nearly the reconstruction, and inside it is not."""
    frames = pan(5, (128, 96), (3, 1))
    left = Image.fromarray(np.repeat(np.arange(128)[None] < 64, 96, 0))
    made = stylised_frames(stylizer, style, frames, smooth=0.8, masks=[left])[-1]
    plain = np.asarray(stylizer(Image.fromarray(frames[-1]), style, alpha=0), dtype=float)
    difference = np.abs(made - plain).mean((0, 2))
    assert difference[80:].mean() < 0.25 * difference[:48].mean()


def test_smoothing_calms_noise(stylizer: Stylizer, style: Style) -> None:
    """Oracle: a still photograph with noise of its own in each frame."""
    still, noise = np.asarray(small("coffee.png", (128, 96)), dtype=float), np.random.default_rng(0)
    frames = [(still + noise.normal(0, 5, still.shape)).clip(0, 255).round().astype(np.uint8) for _ in range(7)]
    rough, smooth = (flicker_along((0, 0), stylised_frames(stylizer, style, frames, smooth=s)) for s in (0.0, 0.8))
    assert smooth < 0.5 * rough


def test_smoothing_leaves_no_trail(stylizer: Stylizer, style: Style) -> None:
    """Oracle: the frame stylised alone; a black square that crosses a photograph faster than it is wide."""
    still = np.asarray(small("coffee.png", (128, 96)))
    frames = []
    for x in (8, 44, 80):
        frame = still.copy()
        frame[30:62, x : x + 32] = 0
        frames.append(frame)
    made = stylised_frames(stylizer, style, frames, smooth=0.8)
    plain = np.asarray(stylizer(Image.fromarray(frames[-1]), style), dtype=float)
    error = np.abs(made[-1] - plain).mean(2)
    uncovered, covered = error[36:56, 50:70].mean(), error[36:56, 86:106].mean()
    assert max(uncovered, covered) < 0.1 * np.abs(made[1] - plain)[36:56, 50:70].mean()


def refused(stylizer: Stylizer, style: Style, video: Path, output: Path, **controls: Any) -> str:
    """The one line of the error; the folder of the video is as it was before."""
    before = sorted(video.parent.rglob("*"))
    with pytest.raises(InputError) as caught:
        stylize_video(stylizer, video, [style], output, **controls)
    assert sorted(video.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_are_no_video_are_refused_and_leave_nothing(
    tmp_path: Path, stylizer: Stylizer, style: Style
) -> None:
    """Oracle: one line that names the file."""
    video, output = tmp_path / "video.mp4", tmp_path / "made.mp4"
    video.write_text("The video is in the other folder.\n")
    assert refused(stylizer, style, video, output).startswith(f"cannot stylise the video {video}: ")
    video.touch()
    assert refused(stylizer, style, video, output).startswith(f"cannot stylise the video {video}: ")
    whole = write_video(tmp_path / "video.mp4", moving(3, (64, 48))).read_bytes()
    video.write_bytes(whole[: len(whole) // 2])  # MP4 has its table of contents at the end
    assert refused(stylizer, style, video, output).startswith(f"cannot stylise the video {video}: ")
    with av.open(str(video), "w") as sound_only:
        sound = sound_only.add_stream("aac", rate=48000, layout="stereo")
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp")
        silence.sample_rate = 48000
        sound_only.mux(sound.encode(silence))
        sound_only.mux(sound.encode())
    assert refused(stylizer, style, video, output) == f"{video} has no video stream; give a video"


def test_what_cannot_be_done_is_refused_in_one_line(
    tmp_path: Path, stylizer: Stylizer, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, output = write_video(tmp_path / "video.mp4", moving(3, (64, 48))), tmp_path / "made.mp4"
    webm = "webm files cannot hold the sound (aac); give an --output in .mkv"
    assert refused(stylizer, style, video, tmp_path / "made.webm").endswith(webm)
    for name in ("made.jpg", "made.avi", "made"):
        known = ".m4v, .mkv, .mov, .mp4, .webm, .gif, .webp, .png, .apng"
        assert refused(stylizer, style, video, tmp_path / name).endswith(f"{tmp_path / name}; known are {known}")
    for smooth in (1.0, -0.1, float("nan")):
        assert refused(stylizer, style, video, output, smooth=smooth).startswith(f"smooth is {smooth}; it must be at l")
    monkeypatch.setitem(sys.modules, "av", None)
    assert refused(stylizer, style, video, output) == "video needs PyAV; install adain_lit[video]"


def test_existing_file_survives_a_failure(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    video, output = write_video(tmp_path / "video.mp4", moving(3, (64, 48))), tmp_path / "made.mp4"
    output.write_bytes(b"made before")
    refused(stylizer, style, video, output, alpha=-1)
    assert output.read_bytes() == b"made before"


def test_command_makes_a_video_and_names_one_that_it_cannot_read(
    tmp_path: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the images that `stylize_video` with the same settings hands to the encoder (which is not exact)."""
    monkeypatch.chdir(tmp_path)
    encoded: list[Image.Image] = []
    add_image = video._Writer.add_image

    def watched(self: Any, image: Image.Image, *time: Any) -> None:
        encoded.append(image)
        add_image(self, image, *time)

    monkeypatch.setattr(video._Writer, "add_image", watched)
    given = read_video(write_video(tmp_path / "video.mp4", moving(6, (64, 48))))
    painting = sorted(paintings.iterdir())[0]
    options = ["--style", str(painting), "--device", "cpu", "--alpha", "0.8", "--smooth", "0.5"]
    assert run_here(stylize.main, ["video.mp4", *options], monkeypatch) == 0
    name = f"video_stylized_{painting.stem}.mp4"
    assert capfd.readouterr().out.splitlines()[-1] == name
    assert_kept(read_video(tmp_path / name), given)
    stylizer = adain_lit.load("compact", device="cpu")
    directly = [stylizer.encode_style(painting)]
    stylize_video(stylizer, tmp_path / "video.mp4", directly, tmp_path / "directly.mp4", alpha=0.8, smooth=0.5)
    assert len(encoded) == 12
    assert all(np.array_equal(a, b) for a, b in zip(encoded[:6], encoded[6:], strict=True))

    (tmp_path / "text.mp4").write_text("no video")
    capfd.readouterr()
    assert run_here(stylize.main, ["text.mp4", *options], monkeypatch) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("adain_lit.stylize: error: cannot stylise the video text.mp4: ")
    assert {path.name for path in tmp_path.iterdir()} == {"directly.mp4", "video.mp4", name, "text.mp4"}


def test_video_in_avi_goes_to_mkv(tmp_path: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the frames in order, a twelfth of a second apart; AVI itself stores no times."""
    monkeypatch.chdir(tmp_path)
    with av.open("video.avi", "w") as video:
        images = video.add_stream("mpeg4", rate=12)
        images.width, images.height = 64, 48
        for pixels in moving(6, (64, 48)):
            video.mux(images.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        video.mux(images.encode())
    painting = sorted(paintings.iterdir())[0]
    assert run_here(stylize.main, ["video.avi", "--style", str(painting), "--device", "cpu"], monkeypatch) == 0
    made = read_video(tmp_path / f"video_stylized_{painting.stem}.mkv")
    assert len(made.frames) == 6
    assert np.diff(made.times) == pytest.approx([1 / 12] * 5, abs=2e-3)


@pytest.mark.slow
def test_ten_seconds_at_640x360(tmp_path: Path, stylizer: Stylizer, style: Style) -> None:
    """Oracle: 250 frames, 10 s, the sound byte for byte."""
    given = read_video(write_video(tmp_path / "video.mp4", moving(250, (640, 360)), rate=25))
    report = stylize_video(stylizer, tmp_path / "video.mp4", [style], tmp_path / "made.mp4")
    made = read_video(tmp_path / "made.mp4")
    assert_kept(made, given)
    assert (report.frames, made.seconds, made.frames[0].shape) == (250, pytest.approx(10, abs=0.05), (360, 640, 3))
    assert len(made.sound[0][1]) == pytest.approx(10 * 48000 / 1024, abs=3)


PEAK = """
import sys
from pathlib import Path
import adain_lit
from adain_lit.inference.video import stylize_video
stylizer = adain_lit.load("compact", device="cpu")
style = stylizer.encode_style(sys.argv[2], size=64)
stylize_video(stylizer, Path(sys.argv[1]), [style], Path("made.mp4"), smooth=0.5)
print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path, paintings: Path) -> None:
    """Oracle: peak memory of two processes, one with a video four times as long, whose frames alone take 83 MB more."""
    peaks = []
    for count in (120, 480):
        video = write_video(tmp_path / "video.mp4", moving(count, (320, 240)), rate=24)
        command = [sys.executable, "-c", PEAK, str(video), str(sorted(paintings.iterdir())[0])]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
    assert peaks[1] - peaks[0] < 30


def write_clip(path: Path, *, durations: tuple[int, ...] = (40, 120, 80), plays: int = 2) -> list[Pixels]:
    """An animation of a window that moves over a photograph; its frames as a reader gets them."""
    images = [Image.fromarray(pixels) for pixels in moving(len(durations), (63, 48))]
    write_animation([Frame(image, ms) for image, ms in zip(images, durations, strict=True)], path, plays=plays)
    return [np.asarray(frame.image) for frame in read_frames(path)]


@pytest.mark.parametrize(
    ("given", "options", "made"),
    [
        ("clip.gif", [], "clip_stylized_{}.gif"),
        ("clip.webp", [], "clip_stylized_{}.webp"),
        ("clip.png", ["--smooth", "0.5"], "clip_stylized_{}.png"),
        ("clip.webp", ["--output", "made.gif"], "made.gif"),
        ("clip.gif", ["--format", "webp"], "clip_stylized_{}.webp"),
    ],
)
def test_command_makes_an_animation_of_an_animation(
    tmp_path: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    options: list[str],
    made: str,
) -> None:
    """Oracle: durations and plays of the given file, and each of its frames stylised as an image."""
    monkeypatch.chdir(tmp_path)
    frames = write_clip(tmp_path / given)
    painting = sorted(paintings.iterdir())[0]
    assert run_here(stylize.main, [given, "--style", str(painting), "--device", "cpu", *options], monkeypatch) == 0
    path = tmp_path / made.format(painting.stem)
    assert animation_info(path) == AnimationInfo(3, 2)
    back = list(read_frames(path))
    assert [frame.duration for frame in back] == [40, 120, 80]
    stylizer = adain_lit.load("compact", device="cpu")
    for frame, pixels in zip(back, frames, strict=True):
        expected = np.asarray(stylizer(Image.fromarray(pixels), painting))
        assert np.asarray(frame.image).shape == expected.shape == (48, 63, 3)
        if "--smooth" not in options:
            assert difference(np.asarray(frame.image), expected) < 12  # 256 colours


def test_animation_becomes_a_video_and_a_video_an_animation(
    tmp_path: Path, stylizer: Stylizer, style: Style, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the times of the frames; an odd column is left out of the video alone."""
    write_clip(tmp_path / "clip.gif")
    stylize_video(stylizer, tmp_path / "clip.gif", [style], tmp_path / "made.mp4")
    made = read_video(tmp_path / "made.mp4")
    assert made.times == pytest.approx([0, 0.04, 0.16])
    assert made.frames[0].shape == (48, 62, 3)
    write_video(tmp_path / "clip.mp4", moving(6, (64, 48)))
    report = stylize_video(stylizer, tmp_path / "clip.mp4", [style], tmp_path / "made.gif")
    frames = list(read_frames(tmp_path / "made.gif"))
    assert report.frames == len(frames) == animation_info(tmp_path / "made.gif").frames == 6
    assert sum(frame.duration for frame in frames) == pytest.approx(500, abs=10)
    assert animation_info(tmp_path / "made.gif").plays == 0
    assert "6/6" in capsys.readouterr().err, "the number of frames is known, and with it the time left"


def test_animation_that_would_fill_the_memory_is_refused(
    tmp_path: Path, stylizer: Stylizer, style: Style, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "clip.gif")
    monkeypatch.setattr(video, "DECODE_BYTES", 4 * 63 * 48 * 2)
    message = refused(stylizer, style, tmp_path / "clip.gif", tmp_path / "made.webp")
    assert message.startswith("3 frames of 63x48 pixels take ")
    assert "give an --output in .mp4, or a smaller --size" in message


def test_still_format_takes_the_first_frame(
    tmp_path: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the first frame as an image, to the bit; a format that moves is refused for a still image."""
    monkeypatch.chdir(tmp_path)
    first = write_clip(tmp_path / "clip.gif")[0]
    Image.fromarray(first).save("still.png")
    painting = sorted(paintings.iterdir())[0]
    options = ["--style", str(painting), "--device", "cpu"]
    for given, output in (("clip.gif", "clip.tiff"), ("still.png", "still.tiff")):
        assert run_here(stylize.main, [given, "--output", output, *options], monkeypatch) == 0
    assert np.array_equal(np.asarray(Image.open("clip.tiff")), np.asarray(Image.open("still.tiff")))
    assert run_here(stylize.main, ["still.png", "--format", "gif", *options], monkeypatch) == 2
    assert "cannot write still_stylized" in capfd.readouterr().err
    assert run_here(stylize.main, ["clip.gif", "--backend", "onnx", *options], monkeypatch) == 2
    assert "--backend onnx cannot do an animation" in capfd.readouterr().err
