"""Image lists are written and read back exactly, refuse alteration, and tell good images from broken ones."""

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from adain_lit.data.lists import (
    BrokenImage,
    ImageEntry,
    ImageList,
    check_images,
    read_list,
    split_list,
    write_broken,
    write_list,
)
from adain_lit.errors import InputError

NAMES = [
    "Art Nouveau/Čapek  two spaces.jpg",
    "Barock/Dürer, Hände.jpg",
    " leading blank.png",
    "plain.jpg",
    "日本\u2028/絵.png",
]


def save_image(path: Path, size: tuple[int, int] = (40, 30), colour: str = "orange") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def entries(*names: str) -> tuple[ImageEntry, ...]:
    return tuple(ImageEntry(name, hashlib.sha256(name.encode()).hexdigest(), 640, 480) for name in names)


def test_list_comes_back_as_written_with_spaces_umlauts_and_line_separators(tmp_path: Path) -> None:
    images = ImageList(tmp_path / "Bilder und mehr", entries(*NAMES))
    write_list(tmp_path / "lists" / "all.txt", images)
    assert read_list(tmp_path / "lists" / "all.txt") == images


def test_paths_are_below_the_root(tmp_path: Path) -> None:
    write_list(tmp_path / "wikiart.txt", ImageList(tmp_path / "wikiart", entries("Cubism/a b.jpg")))
    assert read_list(tmp_path / "wikiart.txt").paths == [tmp_path / "wikiart" / "Cubism" / "a b.jpg"]


def test_list_moves_with_its_folder(tmp_path: Path) -> None:
    write_list(tmp_path / "old" / "w.txt", ImageList(tmp_path / "old" / "w", entries("a.jpg")))
    (tmp_path / "old").rename(tmp_path / "new")
    assert read_list(tmp_path / "new" / "w.txt").root == tmp_path / "new" / "w"


def test_root_is_found_from_a_list_in_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "far" / "lists").mkdir(parents=True)
    (tmp_path / "images").mkdir()
    (tmp_path / "lists").symlink_to(tmp_path / "far" / "lists")
    write_list(tmp_path / "lists" / "p.txt", ImageList(tmp_path / "images", entries("a.jpg")))
    first = (tmp_path / "lists" / "p.txt").read_text().splitlines()[0]
    assert os.path.samefile(tmp_path / "lists" / first.partition("root=")[2], tmp_path / "images")


def test_format_is_the_documented_one(tmp_path: Path) -> None:
    write_list(tmp_path / "w.txt", ImageList(tmp_path / "w", (ImageEntry("x/a b.jpg", "0" * 64, 640, 480),)))
    body = "0" * 64 + "  640 480  x/a b.jpg\n"
    digest = hashlib.sha256(body.encode()).hexdigest()
    assert (tmp_path / "w.txt").read_text() == f"# adain_lit image list 1  count=1  sha256={digest}  root=w\n{body}"


def test_a_list_of_an_earlier_version_can_be_read(tmp_path: Path) -> None:
    write_list(tmp_path / "w.txt", ImageList(tmp_path / "w", entries("a.jpg")))
    text = (tmp_path / "w.txt").read_text()
    (tmp_path / "w.txt").write_text(text.replace("adain_lit image list", "adain_lit picture list"))
    assert read_list(tmp_path / "w.txt").paths == [tmp_path / "w" / "a.jpg"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("640 480", "640 481"), ("b.jpg\n", "c.jpg\n"), ("b.jpg\n", ""), ("count=2", "count=3"), ("sha256=", "sha256=0")],
)
def test_altered_list_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "w.txt"
    write_list(path, ImageList(tmp_path, entries("a.jpg", "b.jpg")))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError) as raised:
        read_list(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"a.jpg\nb.jpg\n", b"\xff\xd8\xff\xe0 a JPEG", b"# adain_lit image list"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InputError, match="is not an image list"):
        read_list(tmp_path / "other")


def test_missing_list_and_newer_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_list(tmp_path / "none.txt")
    write_list(tmp_path / "w.txt", ImageList(tmp_path, ()))
    (tmp_path / "w.txt").write_text((tmp_path / "w.txt").read_text().replace("list 1", "list 2"))
    with pytest.raises(InputError, match="format 2, this program reads 1"):
        read_list(tmp_path / "w.txt")


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\rb.jpg", "a\udcff.jpg"])
def test_names_that_do_not_fit_in_a_line_are_not_written(tmp_path: Path, name: str) -> None:
    entry = ImageEntry(name, "0" * 64, 1, 1)
    with pytest.raises(InputError, match="rename it"):
        write_list(tmp_path / "w.txt", ImageList(tmp_path, (entry,)))
    assert list(tmp_path.iterdir()) == []


def test_check_finds_pictures_in_genre_folders_and_exactly_the_broken_ones(tmp_path: Path) -> None:
    save_image(tmp_path / "Cubism" / "wide image.jpg", (64, 32))
    save_image(tmp_path / "Baroque" / "Günther.PNG", (10, 20))
    save_image(tmp_path / "Baroque" / "cut.jpg", (200, 200))
    cut = tmp_path / "Baroque" / "cut.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "Cubism" / "empty.jpg").touch()
    (tmp_path / "Cubism" / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "Cubism" / "lost.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "Cubism" / "readme.txt").write_text("not an image")
    images, broken = check_images(tmp_path, jobs=2, progress=False)
    assert [(e.path, e.width, e.height) for e in images.entries] == [
        ("Baroque/Günther.PNG", 10, 20),
        ("Cubism/wide image.jpg", 64, 32),
    ]
    assert [e.sha256 for e in images.entries] == [hashlib.sha256(p.read_bytes()).hexdigest() for p in images.paths]
    assert [image.path for image in broken] == [
        "Baroque/cut.jpg",
        "Cubism/empty.jpg",
        "Cubism/lost.jpg",
        "Cubism/page.jpg",
    ]
    assert [image.reason for image in broken][1:] == [
        "the file is empty",
        "no such file",
        "no image in a format that is read",
    ]
    assert "truncated" in broken[0].reason


def test_size_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    images, _ = check_images(tmp_path, progress=False)
    assert (images.entries[0].width, images.entries[0].height) == (20, 30)


def test_loops_of_links_end_and_linked_genres_are_followed(tmp_path: Path) -> None:
    save_image(tmp_path / "wikiart" / "Cubism" / "a.jpg")
    save_image(tmp_path / "other disk" / "b.jpg")
    (tmp_path / "wikiart" / "Rococo").symlink_to(tmp_path / "other disk")
    (tmp_path / "wikiart" / "Cubism" / "loop").symlink_to(tmp_path / "wikiart")
    (tmp_path / "wikiart" / "self").symlink_to("self")
    images, broken = check_images(tmp_path / "wikiart", progress=False)
    assert [entry.path for entry in images.entries] == ["Cubism/a.jpg", "Rococo/b.jpg"]
    assert broken == ()


def test_name_with_a_line_break_is_broken_and_fits_in_one_line(tmp_path: Path) -> None:
    save_image(tmp_path / "w" / "a\nb.jpg")
    save_image(tmp_path / "w" / "good.jpg")
    images, broken = check_images(tmp_path / "w", progress=False)
    assert [entry.path for entry in images.entries] == ["good.jpg"]
    write_broken(tmp_path / "w.broken.txt", broken)
    lines = (tmp_path / "w.broken.txt").read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("a\\nb.jpg\t")


def test_broken_list_says_why(tmp_path: Path) -> None:
    write_broken(tmp_path / "b.txt", [BrokenImage("Cubism/a b.jpg", "the file is empty")])
    assert (tmp_path / "b.txt").read_text() == "Cubism/a b.jpg\tthe file is empty\n"


def test_folder_without_pictures_and_missing_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        check_images(tmp_path, progress=False)
    with pytest.raises(InputError, match="nothing"):
        check_images(tmp_path / "nothing", progress=False)


def test_split_is_a_partition_of_the_wanted_sizes_that_additions_do_not_disturb(tmp_path: Path) -> None:
    few = ImageList(tmp_path, entries(*(f"g/{i}.jpg" for i in range(0, 4000, 2))))
    many = ImageList(tmp_path, entries(*(f"g/{i}.jpg" for i in range(4000))))
    parts_few, parts_many = split_list(few, val=0.1, test=0.2), split_list(many, val=0.1, test=0.2)
    assert sorted(e.path for part in parts_many for e in part.entries) == sorted(e.path for e in many.entries)
    for share, part in zip((0.7, 0.1, 0.2), parts_many, strict=True):
        assert len(part) == pytest.approx(4000 * share, abs=4 * (4000 * share * (1 - share)) ** 0.5)  # 4 sigma
    for part_few, part_many in zip(parts_few, parts_many, strict=True):
        assert set(part_few.entries) <= set(part_many.entries)


def test_split_does_not_depend_on_how_an_umlaut_is_composed(tmp_path: Path) -> None:
    composed = ImageList(tmp_path, entries(*(f"D\u00fcrer {i}.jpg" for i in range(200))))
    decomposed = ImageList(tmp_path, entries(*(f"Du\u0308rer {i}.jpg" for i in range(200))))
    sizes = [[len(part) for part in split_list(images, val=0.5)] for images in (composed, decomposed)]
    assert sizes[0] == sizes[1]
    assert 0 < sizes[0][1] < 200


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.0), (0.5, 0.5), (float("nan"), 0.0)])
def test_split_refuses_impossible_fractions(tmp_path: Path, val: float, test: float) -> None:
    with pytest.raises(InputError, match="fractions"):
        split_list(ImageList(tmp_path, entries("a.jpg")), val=val, test=test)
