"""Training samples are a pure function of (seed, number); held-out pairs are fixed."""

import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from adain_lit.data import pairs
from adain_lit.data.folders import find_images
from adain_lit.data.pairs import (
    CONTENT,
    STYLE,
    HeldOutBatches,
    HeldOutPairs,
    ImageStream,
    PairBatch,
    PairDataset,
    SkippedFile,
    StepBatches,
    _generator,
    collate,
    read_held_out,
)
from adain_lit.errors import InputError
from adain_lit.io.images import ImageMetadata, read_image_and_metadata
from support.images import small

CROP = 12


def write_flat(folder: Path, count: int) -> list[Path]:
    """Images of one colour each, so that a crop says which file it is of: file k has red value 20 k."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{k}.bmp" for k in range(count)]
    for k, path in enumerate(paths):
        Image.new("RGB", (20 + k, 18), (20 * k, 255 - 20 * k, 7)).save(path)
    return paths


def write_ramp(path: Path, width: int, height: int) -> Path:
    """An image whose pixel at (x, y) is (x, y, 0), so that a crop says where it was cut out."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    Image.fromarray(np.dstack([x, y, np.zeros_like(x)])).save(path)
    return path


def stream(paths: list[Path], *, seed: int = 3, stream: int = CONTENT, **options: object) -> ImageStream:
    return ImageStream(paths, **{"seed": seed, "stream": stream, "resize": 16, "crop": CROP, **options})


def crops(source: ImageStream, numbers: range) -> list[Tensor]:
    return [source[i][0] for i in numbers]


def files(source: ImageStream, numbers: range) -> list[int]:
    """Which of the flat files each sample is of."""
    return [int(crop[0, 0, 0]) // 20 for crop in crops(source, numbers)]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_sample_depends_on_its_number_and_not_on_what_was_asked_before(photographs: Path) -> None:
    """Oracle: new objects, asked backwards, twice, and for one sample alone."""
    paths = find_images(photographs)
    forwards = crops(stream(paths), range(20))
    other = stream(paths)
    assert equal([other[i][0] for i in reversed(range(20))][::-1], forwards)
    assert equal(crops(other, range(20)), forwards)
    assert torch.equal(stream(paths)[17][0], forwards[17])
    assert (forwards[0].shape, forwards[0].dtype) == ((3, CROP, CROP), torch.uint8)


def test_another_process_sees_the_same_samples(photographs: Path, paintings: Path) -> None:
    """Oracle: checksums from an interpreter of its own with another hash seed, in another order."""
    program = (
        "import hashlib, sys\n"
        "from adain_lit.data.folders import find_images\n"
        "from adain_lit.data.pairs import CONTENT, STYLE, PairDataset, ImageStream\n"
        "o = dict(seed=11, resize=40, crop=32, flip=True)\n"
        "streams = [ImageStream(find_images(f), stream=s, **o) for f, s in zip(sys.argv[1:], (CONTENT, STYLE))]\n"
        "pairs = PairDataset(*streams)\n"
        "for i in (1000, 7, 0):\n"
        "    sample = pairs[i]\n"
        "    print(i, hashlib.sha256(sample.content.numpy().tobytes() + sample.style.numpy().tobytes()).hexdigest())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    done = subprocess.run(
        [sys.executable, "-c", program, photographs, paintings],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    options = {"seed": 11, "resize": 40, "crop": 32, "flip": True}
    pairs = PairDataset(
        ImageStream(find_images(photographs), stream=CONTENT, **options),
        ImageStream(find_images(paintings), stream=STYLE, **options),
    )
    for line in done.stdout.splitlines():
        number, checksum = line.split()
        sample = pairs[int(number)]
        assert hashlib.sha256(sample.content.numpy().tobytes() + sample.style.numpy().tobytes()).hexdigest() == checksum
    assert len(done.stdout.splitlines()) == 3


def test_every_epoch_shows_every_file_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    """Oracle: the colour of the crop names the file."""
    source = stream(write_flat(tmp_path, 9))
    epochs = [files(source, range(9 * e, 9 * e + 9)) for e in range(6)]
    assert all(sorted(epoch) == list(range(9)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 6


def test_seeds_and_streams_draw_other_files_and_other_places(tmp_path: Path) -> None:
    flat, ramp = write_flat(tmp_path / "flat", 9), [write_ramp(tmp_path / "ramp.bmp", 200, 150)]
    variants = [{"seed": 3}, {"seed": 4}, {"seed": 0}, {"seed": 3, "stream": STYLE}]
    orders = [tuple(files(stream(flat, **v), range(18))) for v in variants]
    places = [tuple(int(c[0, 0, 0]) for c in crops(stream(ramp, resize=None, **v), range(18))) for v in variants]
    assert len(set(orders)) == len(set(places)) == len(variants)


def test_content_and_style_are_drawn_independently(photographs: Path, paintings: Path, tmp_path: Path) -> None:
    """Oracle: the other side of the same data set with another folder of styles, or of contents."""

    def pairs(contents: list[Path], styles: list[Path]) -> list[PairBatch]:
        data = PairDataset(stream(contents, stream=CONTENT), stream(styles, stream=STYLE))
        return [data[i] for i in range(12)]

    photos, art, flat = find_images(photographs), find_images(paintings), write_flat(tmp_path, 4)
    one, other_styles, other_contents = pairs(photos, art), pairs(photos, flat), pairs(flat, art)
    assert equal([s.content for s in one], [s.content for s in other_styles])
    assert equal([s.style for s in one], [s.style for s in other_contents])
    assert not equal([s.style for s in one], [s.style for s in other_styles])
    assert [int(s.indices) for s in one] == list(range(12))
    same = pairs(photos, photos)
    assert not any(torch.equal(s.content, s.style) for s in same)


def with_broken(paths: list[Path], folder: Path, broken: set[int]) -> list[Path]:
    """A copy of the files, of which some are broken."""
    folder.mkdir()
    copies = [Path(shutil.copy(path, folder)) for path in paths]
    for k in broken:
        copies[k].write_bytes(b"no image")
    return copies


def test_a_broken_file_changes_no_sample_but_its_own(tmp_path: Path) -> None:
    """Oracle: the same files before two of them broke. A sample of another file is the same bit for bit; a sample of a
    broken file is of some readable one.
    """
    paths = write_flat(tmp_path / "whole", 7)
    broken = {2, 5}
    damaged = stream(with_broken(paths, tmp_path / "damaged", broken))
    numbers = range(70)
    drawn = files(stream(paths), numbers)
    for i, k in zip(numbers, drawn, strict=True):
        crop = damaged[i][0]
        if k in broken:
            assert int(crop[0, 0, 0]) // 20 not in broken
        else:
            assert torch.equal(crop, stream(paths)[i][0])
    replaced = [files(damaged, range(i, i + 1))[0] for i, k in zip(numbers, drawn, strict=True) if k in broken]
    assert len(set(replaced)) > 2  # by all the others in turn, not by one neighbour


def test_a_replacement_depends_on_its_number_and_not_on_which_files_are_known_to_be_broken(tmp_path: Path) -> None:
    """Oracle: each sample from an object that knows nothing, against one that met every broken file before."""
    paths = with_broken(write_flat(tmp_path / "whole", 6), tmp_path / "damaged", {0, 1, 2, 4})
    knowing = stream(paths)
    crops(knowing, range(60))
    assert equal(crops(knowing, range(60)), [stream(paths)[i][0] for i in range(60)])


def test_a_broken_file_is_reported_once(tmp_path: Path) -> None:
    paths = with_broken(write_flat(tmp_path / "whole", 6), tmp_path / "damaged", {1, 4})
    source = stream(paths)
    reported = [skipped for i in range(60) for skipped in source[i][1]]
    reason = "no image in a format that is read"
    assert sorted(reported) == [SkippedFile(str(paths[k]), reason) for k in (1, 4)]


def test_a_pair_reports_the_broken_files_of_both_sides(tmp_path: Path) -> None:
    contents = with_broken(write_flat(tmp_path / "a", 3), tmp_path / "contents", {0})
    styles = with_broken(write_flat(tmp_path / "b", 3), tmp_path / "styles", {2})
    data = PairDataset(stream(contents), stream(styles, stream=STYLE))
    batch = collate([data[i] for i in range(3)])
    assert sorted(skipped.path for skipped in batch.skipped) == [str(contents[0]), str(styles[2])]


def test_files_none_of_which_can_be_read_end_in_one_line_that_names_their_source(tmp_path: Path) -> None:
    paths = with_broken(write_flat(tmp_path / "whole", 3), tmp_path / "damaged", {0, 1, 2})
    with pytest.raises(InputError, match=r"^none of the 3 files in my photographs can be read as an image$"):
        stream(paths, source="my photographs")[0]


def test_a_line_says_once_that_of_several_frames_the_first_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [tmp_path / f"{k}.gif" for k in range(2)]
    for path in paths:
        frames = [Image.new("L", (40, 40), value) for value in (0, 255)]
        frames[0].save(path, save_all=True, append_images=frames[1:])
    assert all(not crop.any() for crop in crops(stream(paths), range(6)))
    (line,) = caplog.messages
    assert line.startswith("of images with several frames, such as ")


def test_a_picture_over_the_limit_is_replaced_and_reported(tmp_path: Path) -> None:
    paths = write_flat(tmp_path, 3)
    source = stream(paths, max_pixels=21 * 18)
    reported = [skipped for i in range(3) for skipped in source[i][1]]
    assert reported == [SkippedFile(str(paths[2]), "22x18 pixels, more than the limit of 378 pixels")]


def test_flipping_mirrors_half_of_the_crops_and_does_nothing_else(photographs: Path) -> None:
    """Oracle: the crops without flipping; 200 fair coins of a fixed seed."""
    paths = find_images(photographs)
    plain, flipped = crops(stream(paths), range(200)), crops(stream(paths, flip=True), range(200))
    mirrored = [
        torch.equal(b, torch.from_numpy(a.numpy()[:, :, ::-1].copy())) for a, b in zip(plain, flipped, strict=True)
    ]
    unchanged = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert all(m != u for m, u in zip(mirrored, unchanged, strict=True))
    assert 70 <= sum(mirrored) <= 130


def test_whether_a_crop_is_mirrored_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    """Oracle: the ramp falls from left to right in a mirrored crop; of 200 coins in each half about half are heads."""
    source = stream([write_ramp(tmp_path / "ramp.bmp", 200, 150)], resize=None, flip=True)
    drawn = crops(source, range(400))
    mirrored = np.array([int(crop[0, 0, 0]) > int(crop[0, 0, -1]) for crop in drawn])
    for side in (0, 1):
        place = np.array([int(crop[side].min()) for crop in drawn])
        half = place < np.median(place)
        assert abs(mirrored[half].mean() - mirrored[~half].mean()) < 0.2


def test_no_two_samples_share_random_numbers() -> None:
    """Oracle: 53-bit numbers of independent generators never meet; neither do those of neighbours, however many are
    drawn for replacements.
    """
    draws = [set(_generator(3, side, i).random(100)) for side in (CONTENT, STYLE) for i in range(10)]
    assert len(set.union(*draws)) == 20 * 100


def test_without_resizing_a_crop_is_a_window_of_the_picture(tmp_path: Path) -> None:
    """Oracle: NumPy; the ramp says where the window lies."""
    path = write_ramp(tmp_path / "ramp.bmp", 200, 150)
    whole = np.asarray(Image.open(path)).transpose(2, 0, 1)
    for crop in crops(stream([path], resize=None), range(20)):
        left, top = int(crop[0, 0, 0]), int(crop[1, 0, 0])
        assert np.array_equal(crop.numpy(), whole[:, top : top + CROP, left : left + CROP])


def test_without_resizing_a_small_picture_is_enlarged_to_the_crop(tmp_path: Path) -> None:
    Image.new("RGB", (3, 5), (9, 8, 7)).save(tmp_path / "small.png")
    crop = stream([tmp_path / "small.png"], resize=None)[0][0]
    assert crop.shape == (3, CROP, CROP)
    assert crop[:, 0, 0].tolist() == [9, 8, 7]


def test_crops_are_spread_evenly_over_all_places(tmp_path: Path) -> None:
    """Oracle: chi-square of 5 x 3 equally likely places with a fixed seed; 36.1 is exceeded once in 1000 seeds."""
    source = stream([write_ramp(tmp_path / "ramp.bmp", CROP + 4, CROP + 2)], resize=None)
    places = np.zeros((5, 3))
    for crop in crops(source, range(900)):
        places[int(crop[0, 0, 0]), int(crop[1, 0, 0])] += 1
    assert ((places - 60) ** 2 / 60).sum() < 36.1


def test_crops_of_a_resized_picture_reach_both_ends(tmp_path: Path) -> None:
    """Oracle: the ramp; at half its size the window moves over 88 columns and 63 rows of two pixels."""
    source = stream([write_ramp(tmp_path / "ramp.bmp", 200, 150)], resize=75)
    places = np.array([crop[:2, 0, 0].tolist() for crop in crops(source, range(400))]) / 2
    assert (places.min(0) <= 2).all()
    assert (places.max(0) >= [86, 61]).all()
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.15
    assert abs(places.mean(0) - [44, 31.5]).max() < 4


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 12])
def test_the_batches_of_all_processes_are_the_batch_of_one(world_size: int) -> None:
    """Oracle: the whole numbers in order, 12 for each step."""
    ranks = [iter(StepBatches(5, 12, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for step in range(5, 9):
        together = [next(rank) for rank in ranks]
        assert {len(part) for part in together} == {12 // world_size}
        assert list(itertools.chain(*together)) == list(range(12 * step, 12 * step + 12))


def test_batches_that_begin_later_are_the_later_batches() -> None:
    whole = list(itertools.islice(StepBatches(0, 3), 10))
    assert list(itertools.islice(StepBatches(6, 3), 4)) == whole[6:]


def test_batches_can_be_iterated_again_from_their_beginning() -> None:
    batches = StepBatches(2, 3)
    assert next(iter(batches)) == next(iter(batches)) == [6, 7, 8]


@pytest.mark.parametrize(
    ("batch_size", "world_size", "fits"),
    [
        (8, 3, "data.batch_size=6 or 9, or as many processes as one of 1, 2, 4, 8"),
        (1, 2, "data.batch_size=2, or as many processes as one of 1"),
    ],
)
def test_a_batch_that_the_processes_cannot_share_is_refused(batch_size: int, world_size: int, fits: str) -> None:
    message = f"^data.batch_size is {batch_size}, which {world_size} processes cannot share equally; give {fits}$"
    with pytest.raises(InputError, match=message):
        StepBatches(0, batch_size, rank=0, world_size=world_size)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("pairs", [1, 2, 5, 8, 9])
@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_processes_share_held_out_pairs_and_each_has_as_many_batches(
    pairs: int, batch_size: int, world_size: int
) -> None:
    """Oracle: every pair once; a rank with fewer gets a padding sample, whose index says so."""
    shares = [HeldOutBatches(pairs, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    assert len({tuple(len(batch) for batch in share) for share in shares}) == 1
    assert all(len(batch) <= max(1, batch_size // world_size) for share in shares for batch in share)
    numbers = [number for share in shares for batch in share for number in batch]
    assert sorted(number for number in numbers if number >= 0) == list(range(pairs))
    assert set(numbers) - set(range(pairs)) <= {-1}
    data = HeldOutPairs(numbered(pairs), numbered(1))
    assert (int(data[-1].content[0, 0, 0]), int(data[-1].indices)) == (pairs - 1, -1)


def numbered(count: int) -> Tensor:
    """Images of one pixel, whose value is their number."""
    return torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 3, 1, 1)


@pytest.mark.parametrize(("contents", "styles"), [(1, 1), (3, 3), (4, 6), (6, 4), (2, 17), (17, 2), (5, 1), (1, 5)])
def test_held_out_pairs_use_every_picture_first_and_then_every_pair_once(contents: int, styles: int) -> None:
    """Oracle: the Cartesian product."""
    data = HeldOutPairs(numbered(contents), numbered(styles))
    pairs = [(int(data[i].content[0, 0, 0]), int(data[i].style[0, 0, 0])) for i in range(len(data))]
    assert sorted(pairs) == list(itertools.product(range(contents), range(styles)))
    first = pairs[: max(contents, styles)]
    assert {content for content, _ in first} == set(range(contents))
    assert {style for _, style in first} == set(range(styles))
    assert [int(data[i].indices) for i in range(len(data))] == list(range(len(data)))


@pytest.mark.parametrize(("limit", "length"), [(1, 1), (5, 5), (12, 12), (13, 12), (1000, 12), (None, 12)])
def test_a_limit_takes_the_first_pairs(limit: int | None, length: int) -> None:
    data, every = HeldOutPairs(numbered(3), numbered(4), limit), HeldOutPairs(numbered(3), numbered(4))
    assert len(data) == length
    assert data.pairs == every.pairs[:length]


def test_collate_stacks_in_order_and_joins_what_was_skipped() -> None:
    """Oracle: by hand."""
    first = PairBatch(torch.full((3, 2, 2), 1), torch.full((3, 4, 4), 2), torch.tensor(10), [SkippedFile("a", "x")])
    second = PairBatch(torch.full((3, 2, 2), 3), torch.full((3, 4, 4), 4), torch.tensor(11), [])
    third = first._replace(skipped=[SkippedFile("b", "y"), SkippedFile("c", "z")])
    batch = collate([first, second, third])
    assert (batch.content.shape, batch.style.shape) == ((3, 3, 2, 2), (3, 3, 4, 4))
    assert batch.content[:, 0, 0, 0].tolist() == [1, 3, 1]
    assert batch.style[:, 0, 0, 0].tolist() == [2, 4, 2]
    assert batch.indices.tolist() == [10, 11, 10]
    assert [skipped.path for skipped in batch.skipped] == ["a", "b", "c"]


def test_held_out_pictures_are_the_first_readable_ones_cropped_at_their_centre(tmp_path: Path) -> None:
    """Oracle: the ramp says where the window lies: (21 - 11) / 2 = 5 and (15 - 11) / 2 = 2."""
    ramp = write_ramp(tmp_path / "0.bmp", 21, 15)
    (tmp_path / "1.bmp").write_bytes(b"no image")
    (tmp_path / "3.bmp").write_bytes(b"no image either")
    Image.new("RGB", (30, 30), (200, 0, 0)).save(tmp_path / "2.bmp")
    paths = [ramp, tmp_path / "1.bmp", tmp_path / "2.bmp", tmp_path / "3.bmp"]
    read, skipped = read_held_out(paths, limit=2, resize=None, size=11)
    assert (read.shape, read.dtype) == ((2, 3, 11, 11), torch.uint8)
    assert read[:, :2, 0, 0].tolist() == [[5, 2], [200, 0]]
    assert [s.path for s in skipped] == [str(tmp_path / "1.bmp")]  # file 3 need not be read
    everything, skipped = read_held_out(paths, limit=None, resize=None, size=11)
    assert len(everything) == len(skipped) == 2


def test_held_out_files_none_of_which_can_be_read_give_no_picture_and_all_reasons(tmp_path: Path) -> None:
    read, skipped = read_held_out([tmp_path / "a.jpg", tmp_path / "b.jpg"], limit=5, resize=8, size=8)
    assert read.shape == (0, 3, 8, 8)
    assert [s.reason for s in skipped] == ["no such file"] * 2


def test_kept_pictures_change_no_sample_and_are_read_once(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the stream that keeps nothing."""
    paths = find_images(photographs)
    reads: list[Path] = []

    def counted(path: Path, **limits: int) -> tuple[Image.Image, ImageMetadata]:
        reads.append(path)
        return read_image_and_metadata(path, **limits)

    monkeypatch.setattr(pairs, "read_image_and_metadata", counted)
    plain, keeping = (ImageStream(paths, seed=3, stream=CONTENT, resize=40, crop=32, cache=n) for n in (0, 4))
    crops = [plain[i][0] for i in range(18)]
    assert len(reads) == 18
    reads.clear()
    assert all(torch.equal(keeping[i][0], crop) for i, crop in enumerate(crops))
    assert len(reads) == 4 + 3 * 2  # four are kept; the other two are read in each of three epochs


def large_jpeg(folder: Path, size: tuple[int, int], orientation: int = 1) -> Path:
    """A photograph enlarged to a JPEG, whose EXIF data may turn it."""
    path = folder / f"{size[0]}x{size[1]}-{orientation}.jpg"
    exif = Image.Exif()
    exif[274] = orientation
    small("chelsea.png", (240, 180)).resize(size, Image.Resampling.BICUBIC).save(path, quality=90, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(417, 281), (283, 300), (300, 300)], ids=str)
def test_a_drafted_crop_is_that_of_the_whole_image(size: tuple[int, int], orientation: int, tmp_path: Path) -> None:
    """Oracle: the crop of the image decoded in full; a crop box one pixel off would differ by more."""
    path = large_jpeg(tmp_path, size, orientation)
    options: dict[str, Any] = {"seed": 0, "stream": CONTENT, "resize": 64, "crop": 40}
    drafted, whole = ImageStream([path], **options), ImageStream([path], draft=False, **options)
    errors = [(drafted[i][0].float() - whole[i][0].float()).abs().mean().item() for i in range(4)]
    assert 0 < max(errors) < 2.5  # at a quarter; one pixel off is more than 6


def test_what_is_less_than_twice_the_size_is_decoded_in_full(tmp_path: Path) -> None:
    path = large_jpeg(tmp_path, (200, 127))
    options: dict[str, Any] = {"seed": 0, "stream": CONTENT, "crop": 40}
    for resize in (64, None):
        drafted, whole = (ImageStream([path], draft=draft, resize=resize, **options)[0][0] for draft in (True, False))
        assert torch.equal(drafted, whole)


def test_fewer_pixels_are_decoded(tmp_path: Path) -> None:
    """Oracle: the size that libjpeg gives at an eighth, rounded up."""
    image, metadata = read_image_and_metadata(large_jpeg(tmp_path, (1030, 700), 6), shorter=80)
    assert image.size == (88, 129)
    assert metadata.drafted == ((700, 1030), (0.5, 0, 88, 128.75))
