"""Animated GIF, WebP and PNG."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.io import animation
from adain_lit.io.animation import AnimationInfo, Frame, animation_info, is_animation, read_frames, write_animation
from adain_lit.io.images import ImageReadError
from support.images import small

DURATIONS = [40, 70, 200, 40]
NAMES = ("coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png")
SUFFIXES = (".gif", ".webp", ".png", ".apng")


def photographs() -> list[Image.Image]:
    return [small(name, (40, 30)) for name in NAMES]


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("plays", [0, 1, 3])
def test_frames_durations_and_plays_come_back(tmp_path: Path, suffix: str, plays: int) -> None:
    """Oracle: what was written, within 256 colours or the loss of WebP."""
    path = tmp_path / f"clip{suffix}"
    frames = [Frame(image, ms) for image, ms in zip(photographs(), DURATIONS, strict=True)]
    write_animation(frames, path, plays=plays)
    assert is_animation(path)
    assert animation_info(path) == AnimationInfo(4, plays)
    back = list(read_frames(path))
    assert [frame.duration for frame in back] == DURATIONS
    for frame, image in zip(back, photographs(), strict=True):
        assert frame.image.mode == "RGB"
        assert difference(frame.image, image) < 6
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("suffix", "loop", "plays"), [(".gif", None, 1), (".gif", 0, 0), (".gif", 4, 5), (".webp", 2, 2)]
)
def test_plays_are_read_as_the_formats_count_them(tmp_path: Path, suffix: str, loop: int | None, plays: int) -> None:
    """Oracle: a GIF's entry is the number of repetitions and a WebP's that of plays."""
    first, *rest = photographs()
    options = {} if loop is None else {"loop": loop}
    first.save(tmp_path / f"a{suffix}", save_all=True, append_images=rest, **options)
    assert animation_info(tmp_path / f"a{suffix}").plays == plays


def test_durations_of_a_gif_do_not_drift(tmp_path: Path) -> None:
    """Oracle: 30 frames of 33 ms take 0.99 s, which hundredths of a second can say."""
    images = [Image.new("RGB", (4, 4), (8 * i, 0, 0)) for i in range(30)]
    write_animation([Frame(image, 33) for image in images], tmp_path / "a.gif")
    durations = [frame.duration for frame in read_frames(tmp_path / "a.gif")]
    assert sum(durations) == 990
    assert set(durations) == {30, 40}


def test_duration_of_zero_is_read_as_browsers_show_it(tmp_path: Path) -> None:
    first, *rest = photographs()
    first.save(tmp_path / "a.gif", save_all=True, append_images=rest, duration=0)
    assert {frame.duration for frame in read_frames(tmp_path / "a.gif")} == {100}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_transparency_is_kept_and_hides_nothing_of_the_frame_before(tmp_path: Path, suffix: str) -> None:
    """Oracle: stripes that are opaque in turn."""
    stripes = np.add.outer(np.arange(30), np.arange(40)) % 20 < 10
    alphas = [Image.fromarray(stripes == opaque).convert("L") for opaque in (True, False)]
    frames = [Frame(image, 50, alpha) for image, alpha in zip(photographs()[:2], alphas, strict=True)]
    write_animation(frames, tmp_path / f"a{suffix}")
    for frame, alpha in zip(read_frames(tmp_path / f"a{suffix}", keep_alpha=True), alphas, strict=True):
        assert frame.alpha is not None
        assert difference(frame.alpha, alpha) < 1
    for frame, opaque in zip(read_frames(tmp_path / f"a{suffix}"), (True, False), strict=True):
        assert frame.alpha is None
        assert np.asarray(frame.image)[stripes != opaque].min() > 250, "white"


def test_picture_for_viewers_without_animation_is_no_frame(tmp_path: Path) -> None:
    first, *rest = photographs()
    first.save(tmp_path / "a.png", save_all=True, append_images=rest, default_image=True, duration=60)
    assert animation_info(tmp_path / "a.png").frames == 3
    frames = list(read_frames(tmp_path / "a.png"))
    assert [difference(frame.image, image) for frame, image in zip(frames, rest, strict=True)] == [0, 0, 0]


def test_still_images_and_pages_are_no_animations(tmp_path: Path) -> None:
    first, *rest = photographs()
    first.save(tmp_path / "pages.tiff", save_all=True, append_images=rest)
    first.save(tmp_path / "still.gif")
    (tmp_path / "text.gif").write_text("no image")
    assert not any(is_animation(path) for path in [*tmp_path.iterdir(), tmp_path / "missing.gif"])


def test_damaged_frame_is_named(tmp_path: Path) -> None:
    """Oracle: the first frame is read, and the file that was cut in its middle is named with the next."""
    path = tmp_path / "a.webp"
    write_animation([Frame(image, 50) for image in photographs()], tmp_path / "a.gif")
    whole = (tmp_path / "a.gif").read_bytes()
    path = tmp_path / "cut.gif"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageReadError, match=rf"^cannot read {path} as an image: frame [234]: "):
        list(read_frames(path))
    path.write_text("no image")
    with pytest.raises(ImageReadError, match=r"^cannot read"):
        animation_info(path)


def test_what_cannot_be_written_or_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [Frame(image, 50) for image in photographs()]
    with pytest.raises(InputError, match=r"^cannot write an animation to .*\.jpg; known are \.gif, \.webp"):
        write_animation(frames, tmp_path / "a.jpg")
    monkeypatch.setattr(animation, "_WEBP_SIDE", 39)
    with pytest.raises(InputError, match=r"webp allows 39 pixels on a side; write png$"):
        write_animation(frames, tmp_path / "a.webp")
    write_animation(frames, tmp_path / "a.gif")
    with pytest.raises(ImageReadError, match=r"a frame of 40x30 pixels takes too much memory$"):
        list(read_frames(tmp_path / "a.gif", max_bytes=1000))
