"""Reading every kind of image file, cutting crops out, and writing without ever leaving half a file."""

import copy
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, features

from adain_lit.errors import InputError
from adain_lit.io.files import write_atomically
from adain_lit.io.formats import decoding_bytes
from adain_lit.io.images import (
    ImageMetadata,
    ImageReadError,
    frame_count,
    read_image,
    read_image_and_metadata,
    resized_crop,
    resized_size,
    to_image,
    to_rgb,
    to_tensor,
    write_image,
)
from support import images
from support.images import small

GOOD = [
    "grey_png",
    "grey_jpeg",
    "one_bit",
    "palette",
    "palette_transparent",
    "rgba",
    "grey_alpha",
    "colour_key",
    "cmyk_jpeg",
    "grey16_png",
    "grey16_tiff",
    "grey16_big_endian_tiff",
    "grey32_tiff",
    "rgb16_png",
    "orientation_1",
    "orientation_2",
    "orientation_3",
    "orientation_4",
    "orientation_5",
    "orientation_6",
    "orientation_7",
    "orientation_8",
    "damaged_exif",
    "progressive_jpeg",
    "webp_lossy",
    "webp_lossless",
    "bmp",
    "several_pages_tiff",
    "several_pictures_jpeg",
    "upper_case_suffix",
    "png_named_jpg",
    "odd_name",
    "one_pixel",
    "panorama",
    "grey16_key",
    "rgb16_key",
    "grey2_key",
    "grey12_tiff",
    "exif_cut_short",
    "exif_orientation_text",
    "exif_gps_text",
    "exif_without_end",
    "icc_misnumbered",
    "exif_garbage_png",
    "jfif",
    "animated_gif",
    "animated_png",
    "ppm",
]
GOOD += [name for name, library in (("avif", "avif"), ("jpeg2000", "jpg_2000")) if features.check(library)]

BROKEN = {
    "truncated_jpeg": "truncated",
    "truncated_png": "truncated",
    "flipped_png": "data stream",
    "empty": "the file is empty",
    "text": "no image in a format that is read",
    "error_page": "no image in a format that is read",
    "postscript": "no image in a format that is read",
    "noise": "no image in a format that is read",
    "bomb": "exceeds limit|more than the limit",
    "float_tiff": "floating-point pixels have no known range; convert the file to 8 or 16 bits",
    "folder": "Is a directory",
    "dangling_link": "no such file",
    "no_permission": "Permission denied",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return images.write_good(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return images.write_broken(tmp_path_factory.mktemp("broken"))


def test_every_kind_of_file_is_tested(good: dict[str, Path], broken: dict[str, Path]) -> None:
    assert set(GOOD) == set(good)
    assert set(BROKEN) - {"no_permission"} == set(broken) - {"no_permission"}


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_file_is_read_as_upright_rgb_in_its_true_colours(name: str, good: dict[str, Path]) -> None:
    """Oracle: NumPy on the pixels that were written (tests/images.py)."""
    image = read_image(good[name])
    expected = images.true_colours(name).astype(int)
    assert image.mode == "RGB"
    assert image.size == (expected.shape[1], expected.shape[0])
    difference = np.abs(np.asarray(image).astype(int) - expected)
    if name in images.LOSSY:
        assert difference.mean() <= images.WITH_LOSS
    else:
        assert difference.max() <= images.WITHOUT_LOSS


def test_no_picture_of_the_tests_could_pass_for_another_orientation_or_channel_order() -> None:
    """The oracle itself: every wrong reading lies far outside the tolerance for lossy files."""
    right = images.true_colours("progressive_jpeg").astype(int)
    wrong = [right[:, ::-1], right[::-1], right[::-1, ::-1], right[..., ::-1], 255 - right]
    assert min(np.abs(right - other).mean() for other in wrong) > 2 * images.WITH_LOSS


def test_a_path_may_be_a_string_and_the_picture_outlives_the_file(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    small("coffee.png").save(path)
    image = read_image(str(path))
    path.unlink()
    assert image.tobytes() == small("coffee.png").tobytes()


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_file_is_refused_in_one_line_that_names_it(name: str, broken: dict[str, Path]) -> None:
    if name not in broken:
        pytest.skip("root may read every file")
    with pytest.raises(ImageReadError, match=BROKEN[name]) as caught:
        read_image(broken[name])
    error = caught.value
    assert error.path == broken[name]
    assert error.reason
    assert str(error) == f"cannot read {broken[name]} as an image: {error.reason}"
    assert "\n" not in str(error)
    assert isinstance(error, InputError)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError("two\nlines "), "two lines"), (SyntaxError(""), "SyntaxError"), (MemoryError(), "MemoryError")],
)
def test_whatever_pillow_raises_becomes_one_line(
    error: Exception, reason: str, good: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(ImageReadError) as caught:
        read_image(good["bmp"])
    assert caught.value.reason == reason
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_without_opening_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening the pipe would wait for ever: nobody writes to it."""
    path = tmp_path / "x.jpg"
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "a named pipe":
            os.mkfifo(path)
        elif kind == "a socket":
            monkeypatch.chdir(tmp_path)  # the name of a socket may have 107 bytes
            listener.bind(path.name)
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(ImageReadError, match=f"cannot read .*x.jpg as an image: it is {kind}, not a regular file"):
            read_image(path)
    assert frame_count(path) == 1


def test_frames_are_counted(good: dict[str, Path], broken: dict[str, Path]) -> None:
    counts = {name: frame_count(path) for name, path in good.items()}
    several = {"animated_gif", "animated_png", "several_pages_tiff"}
    assert counts == {name: 2 if name in several else 1 for name in good}
    assert {frame_count(path) for path in broken.values()} == {1}


def test_an_image_that_takes_too_much_memory_to_decode_is_refused_undecoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: 60 x 44 pixels of RGB take 8 bytes each, with their copy."""
    path = tmp_path / "image.png"
    small("coffee.png", (60, 44)).save(path)
    needed = 60 * 44 * 8
    assert read_image(path, max_bytes=needed).size == (60, 44)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageReadError, match=r"60x44 pixels of PNG take 0\.0 GB of memory to decode, more"):
        read_image(path, max_bytes=needed - 1)


@pytest.mark.parametrize("name", ["rgba", "grey16_key", "orientation_6"])
def test_an_image_takes_no_more_memory_than_was_estimated(name: str, good: dict[str, Path], tmp_path: Path) -> None:
    """Oracle: the peak of a process that reads it, 3000 x 2000 pixels, above that of one that reads a single pixel."""
    path = tmp_path / f"large{good[name].suffix}"
    with Image.open(good[name]) as image:
        options = {key: image.info[key] for key in ("transparency", "exif") if key in image.info}
        image.resize((3000, 2000), Image.Resampling.NEAREST).save(path, **options)
    with Image.open(path) as image:
        estimate = decoding_bytes(image)
    program = (
        "import sys\n"
        "from adain_lit.io.images import read_image\n"
        "read_image(sys.argv[1]); read_image(sys.argv[2])\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])\n"
    )

    def peak(*paths: Path) -> int:
        done = subprocess.run([sys.executable, "-c", program, *map(str, paths)], capture_output=True, check=True)
        return int(done.stdout) * 1024

    # both load the plug-in of the format; 16 MB for the band that is converted at a time, and the allocator
    assert peak(good[name], path) - peak(good[name], good["one_pixel"]) <= estimate + 16e6


def test_metadata_that_a_format_cannot_hold_do_not_keep_an_image_from_being_written(tmp_path: Path) -> None:
    """A PNG may hold more camera data than the 64 KB of a JPEG."""
    path = tmp_path / "image.jpg"
    write_image(small("coffee.png"), path, ImageMetadata(exif=b"Exif\0\0" + bytes(70_000)))
    assert read_image(path).size == (96, 72)


@pytest.mark.parametrize("name", ["rgba", "grey_alpha", "palette_transparent", "colour_key", "grey16_key"])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
def test_alpha_is_kept_on_request(name: str, suffix: str, good: dict[str, Path], tmp_path: Path) -> None:
    """Oracle: the alpha that Pillow itself reads, but for 16 bits, where it reads none."""
    image, metadata = read_image_and_metadata(good[name], keep_alpha=True)
    assert read_image_and_metadata(good[name])[1].alpha is None
    path = tmp_path / f"image{suffix}"
    write_image(image, path, metadata)
    with Image.open(good[name]) as source, Image.open(path) as written:
        expected = np.asarray(source.convert("RGBA"))[..., 3] if name != "grey16_key" else None
        found = np.asarray(written.convert("RGBA"))[..., 3]
    if expected is None:
        assert ((found == 0) == (images.true_colours(name)[..., 0] == 255)).mean() > 0.95
        assert (found == 0).any()
    else:
        assert np.array_equal(found, expected)
    with pytest.raises(InputError, match=r"jpg cannot hold transparency; write png, webp or tiff"):
        write_image(image, tmp_path / "image.jpg", metadata)
    assert not (tmp_path / "image.jpg").exists()


def test_a_missing_file_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match=r"cannot read .*nowhere\.jpg as an image: no such file$"):
        read_image(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("pillow_guards", [True, False])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    pillow_guards: bool, broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: decoding, which would take 10.8 GB, is never begun, whether or not Pillow's own limit is on."""
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self.size))
    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", lambda self: decoded.append(self.size))
    if not pillow_guards:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert broken["bomb"].stat().st_size < 1000
    with pytest.raises(ImageReadError, match=r"pixels"):
        read_image(broken["bomb"])
    assert decoded == []


def test_a_picture_over_the_limit_is_refused_undecoded_and_one_at_the_limit_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = images.write_large(tmp_path / "large.png")
    assert read_image(path, max_pixels=200 * 101).size == (200, 101)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageReadError, match=r"large\.png .*200x101 pixels, more than the limit of 20199 pixels"):
        read_image(path, max_pixels=200 * 101 - 1)


def test_reading_warns_of_nothing_and_leaves_no_file_open(
    good: dict[str, Path], broken: dict[str, Path], recwarn: pytest.WarningsRecorder
) -> None:
    def count_open() -> int:
        return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0

    before, kept = count_open(), []
    for path in [*good.values(), *broken.values()]:
        try:
            kept.append(read_image(path))
        except ImageReadError as error:
            kept.append(error)
    assert count_open() == before
    assert [
        str(w.message) for w in recwarn if issubclass(w.category, (Image.DecompressionBombWarning, ResourceWarning))
    ] == []
    assert [str(w.message) for w in recwarn if "PIL" in str(w.filename)] == []


def test_values_beyond_16_bits_are_clipped() -> None:
    values = Image.fromarray(np.array([[-5, 0, 65535, 1_000_000]], dtype=np.int32))
    assert np.asarray(to_rgb(values))[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_error_crosses_processes_whole(protocol: int) -> None:
    """A process pool sends exceptions pickled; the default would call the class with the message alone."""
    error = ImageReadError("a b.jpg", "the file is empty")
    for back in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(back) is ImageReadError
        assert (back.path, back.reason, str(back)) == (Path("a b.jpg"), "the file is empty", str(error))


@pytest.mark.parametrize(
    ("size", "shorter", "resized"),
    [
        ((640, 480), 512, (683, 512)),
        ((480, 640), 512, (512, 683)),
        ((512, 512), 512, (512, 512)),
        ((1, 1), 7, (7, 7)),
        ((4000, 4), 2, (2000, 2)),
        ((3, 2), 3, (4, 3)),
    ],
)
def test_the_shorter_side_gets_the_length_and_the_aspect_is_kept(
    size: tuple[int, int], shorter: int, resized: tuple[int, int]
) -> None:
    """Oracle: by hand; 640 x 512 / 480 is 682.7."""
    assert resized_size(*size, shorter) == resized


def resize_then_crop(image: Image.Image, resize: int | None, crop: int, at: tuple[float, float]) -> Image.Image:
    """The oracle: the whole image through Pillow, and then the window."""
    shorter = max(resize or min(image.size), crop)
    scale = shorter / min(image.size)
    width, height = (max(shorter, round(side * scale)) for side in image.size)
    left, top = (min(int(f * (side - crop + 1)), side - crop) for f, side in zip(at, (width, height), strict=True))
    whole = image.resize((width, height), Image.Resampling.BILINEAR)
    return whole.crop((left, top, left + crop, top + crop))


def noise(width: int, height: int) -> Image.Image:
    """The hardest image: a window off by a hundredth of a pixel shows in it."""
    values = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


position = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.tuples(st.integers(1, 150), st.integers(1, 150)),
    sides=st.tuples(st.integers(1, 90), st.one_of(st.none(), st.integers(0, 60))),
    at=st.tuples(position, position),
)
@example(size=(640, 480), sides=(64, 64), at=(0.3, 0.9))
@example(size=(1500, 3), sides=(16, 16), at=(1.0, 1.0))
@example(size=(1, 1), sides=(90, 60), at=(1.0, 0.0))
def test_a_crop_is_the_window_of_the_whole_resized_picture(
    size: tuple[int, int], sides: tuple[int, int | None], at: tuple[float, float]
) -> None:
    """Oracle: Pillow resizes all, then crops. Each of the two passes may round one level otherwise, no more."""
    crop, more = sides
    resize = None if more is None else crop + more
    if max(size) * (crop + (more or 0)) / min(size) > 20_000:
        return  # the oracle would need too much memory
    image = noise(*size)
    got, expected = resized_crop(image, resize, crop, at), resize_then_crop(image, resize, crop, at)
    assert got.size == (crop, crop)
    assert np.abs(np.asarray(got).astype(int) - np.asarray(expected).astype(int)).max() <= 2


@pytest.mark.parametrize("at", [(0.0, 0.0), (1.0, 1.0), (0.37, 0.81)])
@pytest.mark.parametrize(
    ("size", "resize", "crop"),
    [
        ((64, 48), None, 48),
        ((64, 48), None, 13),
        ((64, 48), 48, 20),
        ((64, 48), 24, 24),
        ((64, 48), 24, 7),
        ((64, 48), 12, 5),
        ((64, 48), 96, 31),
        ((51, 51), 37, 37),
        ((51, 51), 90, 90),
        ((30, 20), 80, 17),
        ((9, 5), None, 5),
    ],
)
def test_a_crop_is_exact_where_its_corners_are_exact_numbers(
    size: tuple[int, int], resize: int | None, crop: int, at: tuple[float, float]
) -> None:
    """Oracle: Pillow resizes all, then crops; equal bit for bit for powers of two and for whole squares."""
    image = noise(*size)
    assert resized_crop(image, resize, crop, at).tobytes() == resize_then_crop(image, resize, crop, at).tobytes()


def test_a_crop_of_an_unresized_picture_is_a_window_of_its_pixels_and_the_ends_are_its_corners() -> None:
    image = small("coffee.png", (50, 40))
    assert resized_crop(image, None, 16, (0, 0)).tobytes() == image.crop((0, 0, 16, 16)).tobytes()
    assert resized_crop(image, None, 16, (1, 1)).tobytes() == image.crop((34, 24, 50, 40)).tobytes()
    assert resized_crop(image, None, 16, (1, 0)).tobytes() == image.crop((34, 0, 50, 16)).tobytes()


def test_a_picture_smaller_than_the_crop_is_enlarged() -> None:
    """Oracle: Pillow's resize of the whole square."""
    image = small("coffee.png", (20, 20))
    expected = image.resize((33, 33), Image.Resampling.BILINEAR)
    assert resized_crop(image, None, 33, (0.2, 0.9)).tobytes() == expected.tobytes()


def test_a_very_long_picture_is_cropped_without_resizing_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the only resize is to the crop, where the whole would be 512000 x 512."""
    panorama, sizes = small("rocket.jpg", (3000, 3)), []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, size, *a, **k: sizes.append(size) or resize(self, size, *a, **k)
    )
    assert resized_crop(panorama, 512, 256, (1.0, 1.0)).size == (256, 256)
    assert sizes == [(256, 256)]


def test_tensor_and_picture_are_each_other_s_inverse() -> None:
    image = small("coffee.png", (31, 22))
    tensor = to_tensor(image)
    assert (tensor.shape, tensor.dtype) == ((3, 22, 31), torch.uint8)
    assert tensor.is_contiguous()
    assert tuple(tensor[:, 5, 9].tolist()) == image.getpixel((9, 5))
    assert to_image(tensor / 255).tobytes() == image.tobytes()


def test_a_tensor_beyond_0_and_1_is_clipped_and_rounded() -> None:
    """Oracle: by hand; 0.499 x 255 is 127.2 and 0.5 x 255 + 0.4 is 127.9."""
    tensor = torch.tensor([-3.0, 0.499, 127.9 / 255, 7.0], requires_grad=True).reshape(1, 1, 4).expand(3, 1, 4)
    assert np.asarray(to_image(tensor))[0, :, 1].tolist() == [0, 127, 128, 255]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_a_written_picture_is_read_again_in_the_format_of_its_suffix(suffix: str, tmp_path: Path) -> None:
    image, path = small("coffee.png"), tmp_path / "new" / f"image{suffix}"
    write_image(image, path)
    formats = {".png": "PNG", ".bmp": "BMP", ".tiff": "TIFF", ".webp": "WEBP", ".jpg": "JPEG"}
    with Image.open(path) as written:
        assert written.format == formats[suffix]
    difference = np.abs(np.asarray(read_image(path)).astype(int) - np.asarray(image))
    assert difference.mean() <= (10 if suffix in (".jpg", ".webp") else 0)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failing_writer_leaves_the_old_file_and_nothing_else(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "another.json", fail)
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    seen = []

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for _ in range(3):
                file.write(b"new")
                file.flush()
                seen.append(path.read_bytes())

    write_atomically(path, write)
    assert seen == [b"old"] * 3
    assert path.read_bytes() == b"newnewnew"


def test_a_thread_that_reads_all_the_time_never_sees_half_a_file(tmp_path: Path) -> None:
    """Oracle: every content is 200 kB of one letter."""
    path, stop, wrong, reads = tmp_path / "file.bin", threading.Event(), [], [0]
    path.write_bytes(b"a" * 200_000)

    def read() -> None:
        while not stop.is_set():
            content = path.read_bytes()
            reads[0] += 1
            if len(content) != 200_000 or len(set(content)) != 1:
                wrong.append(len(content))

    reader = threading.Thread(target=read)
    reader.start()
    for letter in b"bcdefghijklmnopqrstuvwxyz":
        content = bytes([letter]) * 200_000

        def write(temporary: Path, content: bytes = content) -> None:
            with temporary.open("wb", buffering=0) as file:
                for k in range(0, len(content), 20_000):
                    file.write(content[k : k + 20_000])

        write_atomically(path, write)
    stop.set()
    reader.join()
    assert reads[0] > 0
    assert wrong == []


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    program = (
        "import os, signal, sys\n"
        "from adain_lit.io.images import write_atomically\n"
        "def write(temporary):\n"
        "    temporary.write_text('ne')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], write)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_a_written_file_has_the_permissions_that_the_umask_leaves(umask: int, mode: int, tmp_path: Path) -> None:
    """Oracle: a file that `open` creates."""
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new.txt", lambda temporary: temporary.write_text("new"))
        (tmp_path / "plain.txt").write_text("plain")
        assert os.umask(umask) == umask  # left as it was
    finally:
        os.umask(before)
    assert (tmp_path / "new.txt").stat().st_mode & 0o777 == mode == (tmp_path / "plain.txt").stat().st_mode & 0o777
