"""Batches of pairs: the same for any number of workers and processes, and after resuming."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from adain_lit.data import datamodule as datamodule_module
from adain_lit.data import demo
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.folders import find_images, hold_out
from adain_lit.data.lists import ImageList, check_images, write_list
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.io.images import resized_crop, to_tensor
from support import images


def make(contents: Path | str, styles: Path | str, **options: object) -> PairedDataModule:
    settings = {"resize": 24, "crop": 16, "batch_size": 4, "val_pairs": 4, "num_workers": 0, "seed": 5, **options}
    return PairedDataModule(str(contents), str(styles), **settings)


def ready(contents: Path | str, styles: Path | str, **options: object) -> PairedDataModule:
    data = make(contents, styles, **options)
    data.setup("fit")
    return data


def batches(data: PairedDataModule, count: int) -> list[PairBatch]:
    loader: Iterator[PairBatch] = iter(data.train_dataloader())
    return list(itertools.islice(loader, count))


def at_step(data: PairedDataModule, step: int, *, accumulate: int = 1, rank: int = 0, world_size: int = 1) -> None:
    """Give the data module a trainer at a step."""
    data.trainer = SimpleNamespace(
        global_step=step, accumulate_grad_batches=accumulate, global_rank=rank, world_size=world_size, num_nodes=1
    )


def assert_same(a: list[PairBatch], b: list[PairBatch]) -> None:
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x.indices, y.indices)
        assert torch.equal(x.content, y.content)
        assert torch.equal(x.style, y.style)


def write_flat(folder: Path, count: int) -> Path:
    """Images of one colour each: the red value of any crop is the file's number."""
    folder.mkdir(parents=True)
    for k in range(count):
        Image.new("RGB", (20, 18), (k, 255 - k, 7)).save(folder / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A folder of 200 tiny images, among them one broken file of each kind, and the paths of those."""
    folder = tmp_path_factory.mktemp("damaged")
    broken = images.write_broken(folder / "broken")
    broken.pop("folder").rmdir()  # `find_images` looks into a folder, it never takes it for an image
    broken["large"] = images.write_large(folder / "broken" / "large.png")
    good = images.write_good(folder / "good")
    for k in range(200 - len(broken) - len(good)):
        Image.new("RGB", (19, 17), (k, 80, 255 - k)).save(folder / "good" / f"flat_{k}.png")
    assert len(find_images(folder)) == 200
    return folder, {str(path) for path in broken.values()}


def test_batches_have_the_declared_shape_and_number(photographs: Path, paintings: Path) -> None:
    for step, batch in enumerate(batches(ready(photographs, paintings), 3)):
        assert batch.content.shape == batch.style.shape == (4, 3, 16, 16)
        assert batch.content.dtype == batch.style.dtype == torch.uint8
        assert batch.indices.tolist() == list(range(4 * step, 4 * step + 4))
        assert batch.skipped == []


def test_the_number_of_workers_changes_neither_batches_nor_their_order(
    damaged: tuple[Path, set[str]], paintings: Path
) -> None:
    """Oracle: the batches of the training process, in a folder with broken files."""
    folder, broken = damaged
    options = {"val_content_dir": str(paintings), "max_pixels": images.SMALL_LIMIT, "flip": True}
    here = batches(ready(folder, paintings, num_workers=0, **options), 50)
    workers = batches(ready(folder, paintings, num_workers=2, **options), 50)
    assert_same(here, workers)
    reported = Counter(skipped.path for batch in workers for skipped in batch.skipped)
    assert set(reported) == broken
    assert max(reported.values()) <= 2  # once by each process


def test_one_epoch_over_a_damaged_folder_finds_exactly_the_broken_files(
    damaged: tuple[Path, set[str]], photographs: Path, paintings: Path
) -> None:
    """Oracle: the broken files that were written; every sample is there all the same."""
    folder, broken = damaged
    options = {"val_content_dir": str(photographs), "val_style_dir": str(paintings), "batch_size": 8}
    data = ready(folder, paintings, max_pixels=images.SMALL_LIMIT, **options)
    before = [skipped.path for skipped in data.skipped]
    epoch = batches(data, 25)
    assert torch.cat([batch.indices for batch in epoch]).tolist() == list(range(200))
    reported = [skipped.path for batch in epoch for skipped in batch.skipped]
    assert sorted(reported) == sorted(broken)
    assert len(before) == len(set(before)) > 0  # "broken" sorts before "good", so setup comes across some
    assert set(before) <= broken
    assert all(len(skipped.reason.splitlines()) == 1 for batch in epoch for skipped in batch.skipped)
    assert [skipped for batch in batches(data, 25) for skipped in batch.skipped] == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_run_goes_on_with_the_batch_that_comes_next(
    num_workers: int, photographs: Path, paintings: Path
) -> None:
    """Oracle: an unbroken run, from another object."""
    unbroken = batches(ready(photographs, paintings), 9)
    resumed = ready(photographs, paintings, num_workers=num_workers)
    at_step(resumed, 6)
    assert_same(batches(resumed, 3), unbroken[6:])
    at_step(resumed, 3, accumulate=2)
    assert_same(batches(resumed, 3), unbroken[6:])
    at_step(resumed, 0)
    assert_same(batches(resumed, 9), unbroken)


@pytest.mark.parametrize("world_size", [2, 4])
def test_the_shares_of_all_processes_are_the_batches_of_one(
    world_size: int, photographs: Path, paintings: Path
) -> None:
    """Oracle: the batches of one process, after resuming at step 2."""
    single = batches(ready(photographs, paintings), 5)[2:]
    shares = []
    for rank in range(world_size):
        data = ready(photographs, paintings)
        at_step(data, 2, rank=rank, world_size=world_size)
        shares.append(batches(data, 3))
    for step, batch in enumerate(single):
        parts = [share[step] for share in shares]
        assert torch.equal(torch.cat([part.indices for part in parts]), batch.indices)
        assert torch.equal(torch.cat([part.content for part in parts]), batch.content)
        assert torch.equal(torch.cat([part.style for part in parts]), batch.style)


def test_a_batch_that_the_processes_cannot_share_is_refused(photographs: Path, paintings: Path) -> None:
    data = ready(photographs, paintings)
    at_step(data, 0, world_size=3)
    with pytest.raises(InputError, match=r"^data\.batch_size is 4, which 3 processes cannot share equally; "):
        data.train_dataloader()


def reds(pictures_: torch.Tensor) -> set[int]:
    return set(pictures_[:, 0, 0, 0].tolist())


def test_held_out_pictures_never_occur_in_training(tmp_path: Path) -> None:
    """Oracle: the colour names the file. Seven epochs see all the others."""
    contents, styles = write_flat(tmp_path / "contents", 30), write_flat(tmp_path / "styles", 25)
    data = ready(contents, styles, val_fraction=0.3, val_pairs=1000)
    seen = batches(data, 53)
    for count, trained, held_out in (
        (30, reds(torch.cat([b.content for b in seen])), reds(data.val_set.contents)),
        (25, reds(torch.cat([b.style for b in seen])), reds(data.val_set.styles)),
    ):
        assert held_out
        assert not trained & held_out
        assert trained | held_out == set(range(count))


def test_folders_of_their_own_hold_out_nothing_of_the_training_folders(tmp_path: Path, paintings: Path) -> None:
    contents, held_out = write_flat(tmp_path / "contents", 10), write_flat(tmp_path / "held out", 3)
    data = ready(contents, paintings, val_content_dir=str(held_out), val_style_dir=str(paintings))
    assert reds(torch.cat([b.content for b in batches(data, 10)])) == set(range(10))
    assert data.held_out_contents == find_images(held_out)
    assert data.held_out_styles == find_images(paintings)


def test_validation_pairs_are_fixed_and_in_order(photographs: Path, paintings: Path) -> None:
    """Oracle: the first loader against a later one, another seed, and other training settings."""
    data = ready(photographs, paintings, val_fraction=0.5, val_pairs=6, batch_size=4)
    first = list(data.val_dataloader())
    assert [len(batch.content) for batch in first] == [4, 2]
    assert torch.cat([batch.indices for batch in first]).tolist() == list(range(6))
    batches(data, 3)
    assert_same(list(data.val_dataloader()), first)
    other = ready(
        photographs, paintings, val_fraction=0.5, val_pairs=6, batch_size=4, seed=99, flip=True, num_workers=2
    )
    assert_same(list(other.val_dataloader()), first)


def test_validation_uses_as_many_pairs_as_are_asked_for(photographs: Path, paintings: Path) -> None:
    sources = {"val_content_dir": str(photographs), "val_style_dir": str(paintings)}  # 6 and 5 images
    assert len(ready(photographs, paintings, val_pairs=7, **sources).val_set) == 7


def test_validation_uses_no_more_pairs_than_there_are(photographs: Path, paintings: Path) -> None:
    data = ready(photographs, paintings, val_fraction=0.01, val_pairs=50)
    assert len(data.val_set) == len(data.held_out_contents) * len(data.held_out_styles) == 1


def test_held_out_pairs_take_their_number_and_size_from_the_caller(tmp_path: Path) -> None:
    """Oracle: the Cartesian product of what was asked for."""
    contents, styles = write_flat(tmp_path / "contents", 7), write_flat(tmp_path / "styles", 8)
    options = {"val_content_dir": str(contents), "val_style_dir": str(styles)}
    data = make(contents, styles, **options)
    data.setup("validate")
    pairs = data.held_out_pairs(contents=2, styles=3, size=40)
    assert pairs.contents.shape == (2, 3, 40, 40)
    assert pairs.styles.shape == (3, 3, 40, 40)
    assert sorted(pairs.pairs) == list(itertools.product(range(2), range(3)))
    assert len(data.held_out_pairs()) == 56
    assert data.held_out_pairs(pairs=5).contents.shape == (5, 3, 16, 16)
    assert data.train_set is None  # validation needs no training files


ARGUMENTS = [
    ({"crop": 25}, r"^data\.crop is 25, more than data\.resize 24; crop at most the resized side$"),
    ({"resize": 0}, r"^data\.crop is 16, more than data\.resize 0; "),
    ({"crop": 0}, r"^data\.crop is 0; it must be at least 1$"),
    ({"crop": -3, "resize": None}, r"^data\.crop is -3; it must be at least 1$"),
    ({"batch_size": 0}, r"^data\.batch_size is 0; it must be at least 1$"),
    ({"val_pairs": 0}, r"^data\.val_pairs is 0; it must be at least 1$"),
    ({"seed": -1}, r"^data\.seed is -1; it must be at least 0$"),
    ({"num_workers": -1}, r"^data\.num_workers is -1; it must be at least 0$"),
    ({"val_fraction": 0.0}, r"^data\.val_fraction is 0\.0; it must lie between 0 and 1$"),
    ({"val_fraction": 1.0}, r"^data\.val_fraction is 1\.0; it must lie between 0 and 1$"),
    ({"val_fraction": math.nan}, r"^data\.val_fraction is nan; it must lie between 0 and 1$"),
]


@pytest.mark.parametrize(("options", "message"), ARGUMENTS)
def test_an_argument_out_of_range_is_refused_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("nowhere", "nowhere", **options)


def test_the_limits_of_the_arguments_are_allowed(photographs: Path, paintings: Path) -> None:
    data = ready(photographs, paintings, crop=1, resize=1, batch_size=1, val_pairs=1, seed=0, val_fraction=0.999)
    assert batches(data, 1)[0].content.shape == (1, 3, 1, 1)
    assert batches(ready(photographs, paintings, crop=24, resize=24), 1)[0].content.shape == (4, 3, 24, 24)
    assert batches(ready(photographs, paintings, crop=90, resize=None), 1)[0].content.shape == (4, 3, 90, 90)


def all_broken(folder: Path) -> Path:
    folder.mkdir()
    for k in range(3):
        (folder / f"{k}.jpg").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize("side", ["content_dir", "style_dir", "val_content_dir", "val_style_dir"])
@pytest.mark.parametrize("kind", ["missing", "empty", "broken", "empty list"])
def test_a_folder_of_no_use_ends_setup_in_one_line_that_names_it(
    kind: str, side: str, tmp_path: Path, photographs: Path, paintings: Path
) -> None:
    source, held_out = tmp_path / "my images", side.startswith("val")
    if kind == "empty":
        source.mkdir()
    elif kind == "broken":
        all_broken(source)
    elif kind == "empty list":
        write_list(source, ImageList(photographs, ()))
    message = {
        "missing": f"^no folder {source}; give a folder",
        "empty": f"^no image in {source}; files ending in",
        "broken": f"^none of the 3 {'held-out files of' if held_out else 'files in'} {source} can be read as an image",
        "empty list": f"^the image list {source} is empty; give a list with images or a folder$",
    }[kind]
    sources = {"content_dir": str(photographs), "style_dir": str(paintings), side: str(source)}
    val = {"val_content_dir": str(photographs), "val_style_dir": str(paintings)}
    data = PairedDataModule(**{**val, **sources}, resize=24, crop=16, num_workers=0)
    with pytest.raises(InputError, match=message) as caught:
        data.setup("fit")
    assert len(str(caught.value).splitlines()) == 1


def test_an_all_broken_folder_says_why_its_first_file_cannot_be_read(tmp_path: Path, paintings: Path) -> None:
    source = all_broken(tmp_path / "broken")
    data = make(source, paintings, val_content_dir=str(paintings))
    with pytest.raises(InputError, match=r"can be read as an image: no image in a format that is read$"):
        data.setup("fit")


def test_held_out_files_that_are_broken_are_skipped_and_kept_on_record(tmp_path: Path, paintings: Path) -> None:
    folder = write_flat(tmp_path / "held out", 4)
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").unlink()
    (folder / "2.png").symlink_to("gone.png")
    data = ready(paintings, paintings, val_content_dir=str(folder), val_style_dir=str(paintings))
    assert {(Path(s.path).name, s.reason) for s in data.skipped} == {
        ("1.png", "the file is empty"),
        ("2.png", "no such file"),
    }
    assert reds(data.val_set.contents) == {0, 3}


def test_a_list_of_pictures_gives_the_batches_of_its_folder(tmp_path: Path, photographs: Path, paintings: Path) -> None:
    """Oracle: the folder itself; the split too is by the names below the list's root."""
    for name, folder in (("contents.txt", photographs), ("styles.txt", paintings)):
        write_list(tmp_path / name, check_images(folder, progress=False)[0])
    of_list = ready(tmp_path / "contents.txt", tmp_path / "styles.txt", val_fraction=0.4)
    of_folder = ready(photographs, paintings, val_fraction=0.4)
    assert of_list.held_out_contents == of_folder.held_out_contents
    assert_same(batches(of_list, 6), batches(of_folder, 6))
    assert_same(list(of_list.val_dataloader()), list(of_folder.val_dataloader()))


def test_a_list_leaves_out_what_it_does_not_name(tmp_path: Path, paintings: Path) -> None:
    folder = write_flat(tmp_path / "contents", 6)
    whole, _ = check_images(folder, progress=False)
    write_list(tmp_path / "some.txt", ImageList(whole.root, whole.entries[1:4]))
    data = ready(tmp_path / "some.txt", paintings, val_content_dir=str(paintings))
    assert reds(torch.cat([b.content for b in batches(data, 4)])) == {1, 2, 3}


def test_another_seed_gives_other_batches(photographs: Path, paintings: Path) -> None:
    one, two = batches(ready(photographs, paintings), 1)[0], batches(ready(photographs, paintings, seed=6), 1)[0]
    assert not torch.equal(one.content, two.content)
    assert not torch.equal(one.style, two.style)


@pytest.mark.parametrize("flip", [False, True])
def test_every_setting_reaches_both_sides(flip: bool, photographs: Path, paintings: Path) -> None:
    """Oracle: the streams of `adain_lit.data.pairs`, which have tests of their own."""
    data = ready(photographs, paintings, flip=flip, resize=None, crop=9, seed=8, max_pixels=8000)
    for source in (data.train_set.contents, data.train_set.styles):
        assert (source.flip, source.resize, source.crop, source.seed, source.max_pixels) == (flip, None, 9, 8, 8000)
    assert data.train_set.contents.stream != data.train_set.styles.stream
    assert data.train_set.contents.source == str(photographs)
    assert data.train_set.styles.source == str(paintings)
    train, held_out = hold_out(find_images(photographs), photographs, 0.05)
    assert (data.train_set.contents.paths, data.held_out_contents) == (train, held_out)


def test_setup_reads_nothing_a_second_time(photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready(photographs, paintings)
    train_set, val_set = data.train_set, data.val_set
    monkeypatch.setattr(datamodule_module, "find_source_images", lambda _: pytest.fail("read again"))
    data.setup("fit")
    data.setup("validate")
    assert (data.train_set, data.val_set) == (train_set, val_set)


def test_without_setup_the_loader_says_what_to_call(photographs: Path, paintings: Path) -> None:
    for ask in (lambda data: data.train_dataloader(), lambda data: data.content_images(1)):
        with pytest.raises(RuntimeError, match=r"^setup has not run; call setup\('fit'\) first$"):
            ask(make(photographs, paintings))


def test_pictures_are_floats_between_0_and_1_after_the_transfer(photographs: Path, paintings: Path) -> None:
    """Oracle: NumPy; nothing else of the batch changes."""
    data = ready(photographs, paintings)
    batch = batches(data, 1)[0]
    moved = data.on_after_batch_transfer(batch, 0)
    for got, stored in ((moved.content, batch.content), (moved.style, batch.style)):
        assert got.dtype == torch.float32
        assert 0 <= got.min() < got.max() <= 1
        np.testing.assert_array_equal(got.numpy(), stored.numpy().astype(np.float32) / np.float32(255))
    white = batch._replace(content=torch.full_like(batch.content, 255), style=torch.zeros_like(batch.style))
    moved_white = data.on_after_batch_transfer(white, 0)
    assert (moved_white.content.min(), moved_white.style.max()) == (1, 0)
    assert torch.equal(moved.indices, batch.indices)
    assert moved.skipped == batch.skipped


def test_the_first_photographs_are_those_of_the_first_samples(tmp_path: Path, paintings: Path) -> None:
    """Oracle: the training batches; a broken file on the way is kept on record."""
    folder = write_flat(tmp_path / "contents", 5)
    (folder / "4.png").write_bytes(b"")
    data = ready(folder, paintings, val_content_dir=str(paintings))
    found = data.content_images(6)
    contents = torch.cat([b.content for b in batches(data, 2)])[:6]
    assert {tuple(image.shape) for image in found} == {(1, 3, 16, 16)}
    assert torch.equal(torch.cat(found), contents / 255)
    assert [Path(skipped.path).name for skipped in data.skipped] == ["4.png"]


def test_the_demo_images_need_no_folder() -> None:
    """Oracle: the lists of `adain_lit.data.demo`, and a reading of its first painting here."""
    data = make("demo", "demo", batch_size=2)
    data.setup("fit")
    assert data.train_set.contents.paths == demo.demo_content_images(held_out=False)
    assert data.held_out_contents == demo.demo_content_images(held_out=True)
    assert data.train_set.styles.paths == demo.demo_style_images(held_out=False)
    assert data.held_out_styles == demo.demo_style_images(held_out=True)
    first = Image.open(demo.STYLE_FOLDER / "art_nouveau-1000.webp").convert("RGB")
    assert torch.equal(data.val_set.styles[0], to_tensor(resized_crop(first, 24, 16, (0.5, 0.5))))


def test_held_out_demo_paintings_may_serve_beside_a_folder(
    photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ready(photographs, paintings, val_content_dir="demo")
    assert data.held_out_contents == demo.demo_content_images(held_out=True)
    assert len(data.train_set.contents.paths) == len(find_images(photographs))
