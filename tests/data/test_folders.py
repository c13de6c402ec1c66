"""Finding images in a folder tree, and holding some of them out."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adain_lit.data.folders import find_images, hold_out
from adain_lit.errors import InputError
from adain_lit.io.formats import IMAGE_SUFFIXES

ODD_SUFFIXES = (".jfif", ".jpe", ".avif", ".gif", ".jp2", ".pgm", ".apng")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_images(root)]


def test_pictures_are_found_in_all_sub_folders_whatever_the_case_of_their_suffix(tmp_path: Path) -> None:
    """Oracle: the list of what was written."""
    images = [f"deep/er/p{k}{suffix}" for k, suffix in enumerate(sorted(IMAGE_SUFFIXES))]
    images += ["UPPER.JPG", "Mixed.JpEg", "with space/ä ö.png", "dots.in.name.webp", "x.jpg/inside.bmp"]
    touch(tmp_path, *images, "notes.txt", "jpg", "deep/image.jpg.part", "deep/list.json", "clip.mp4")
    assert sorted(names(tmp_path)) == sorted(images)


def test_pictures_come_sorted_by_path_and_a_folder_that_looks_like_a_picture_is_a_folder(tmp_path: Path) -> None:
    """Oracle: by hand, folder by folder."""
    touch(tmp_path, "b.png", "c/2.png", "a/z.png", "c/10.png", "a/b/0.png", "folder.jpg/1.png")
    assert names(tmp_path) == ["a/b/0.png", "a/z.png", "b.png", "c/10.png", "c/2.png", "folder.jpg/1.png"]


def test_links_are_followed_once_and_a_loop_ends(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "sub/1.png")
    touch(elsewhere, "2.png")
    (root / "sub" / "up").symlink_to(root)
    (root / "linked").symlink_to(elsewhere)
    (root / "sub" / "again").symlink_to(elsewhere)
    (root / "file.png").symlink_to(elsewhere / "2.png")
    (elsewhere / "back").symlink_to(root / "sub")
    found = names(root)
    assert [Path(name).name for name in found].count("2.png") == 1
    assert [Path(name).name for name in found].count("1.png") == 1
    assert "file.png" in found
    assert len(found) == 3


def test_hidden_files_and_those_of_operating_systems_are_left_out(tmp_path: Path) -> None:
    """Oracle: what a Mac, a Synology NAS and a notebook server put beside `a.jpg` and `sub/b.jpg`."""
    touch(tmp_path, "a.jpg", "sub/b.jpg", "._a.jpg", "sub/.hidden.png", "__MACOSX/._a.jpg", "__MACOSX/sub/c.jpg")
    touch(tmp_path, ".ipynb_checkpoints/a-checkpoint.jpg", "sub/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", ".cache/d.jpg")
    touch(tmp_path, "$RECYCLE.BIN/e.jpg", "#recycle/f.jpg")
    assert names(tmp_path) == ["a.jpg", "sub/b.jpg"]
    assert [path.name for path in find_images(tmp_path / ".cache")] == ["d.jpg"]  # a folder that is named is searched


def test_every_suffix_of_a_readable_format_is_found(tmp_path: Path) -> None:
    expected = [f"{name}{suffix}" for name, suffix in zip("abcdefg", ODD_SUFFIXES, strict=True)]
    touch(tmp_path, *expected)
    assert names(tmp_path) == expected


def test_a_dangling_link_is_found_so_that_reading_can_report_it(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert names(tmp_path) == ["gone.jpg"]


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "images/1.png")
    assert find_images("~/images") == [tmp_path / "images" / "1.png"]


def test_a_missing_folder_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no folder .*/nowhere; give a folder of images or a list") as caught:
        find_images(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "image.jpg")
    with pytest.raises(InputError, match=r"^no folder .*/image\.jpg; "):
        find_images(tmp_path / "image.jpg")


def test_a_folder_without_pictures_is_named_in_one_line_with_the_known_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "sub/notes.txt")
    with pytest.raises(InputError, match=r"^no image in .*; files ending in \.apng, \.avif, \.bmp, ") as caught:
        find_images(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


ROOT = Path("/images")
many = st.lists(st.text("abcdef0123456789/", min_size=1, max_size=12).map(lambda s: s.strip("/") or "x"), unique=True)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(found=many.filter(lambda found: len({ROOT / name for name in found}) >= 2), fraction=st.floats(0.001, 0.999))
def test_two_files_or_more_are_divided_so_that_neither_side_is_empty(found: list[str], fraction: float) -> None:
    """Oracle: a partition: both sides together are all, in order, and they share nothing."""
    paths = sorted({ROOT / name for name in found})
    train, held_out = hold_out(paths, ROOT, fraction)
    assert train
    assert held_out
    assert not set(train) & set(held_out)
    assert sorted(train + held_out) == paths
    assert train == sorted(train)
    assert held_out == sorted(held_out)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_a_single_file_is_on_both_sides(fraction: float) -> None:
    assert hold_out([ROOT / "only.jpg"], ROOT, fraction) == ([ROOT / "only.jpg"], [ROOT / "only.jpg"])


def test_the_share_that_is_held_out_is_the_fraction() -> None:
    """Oracle: the binomial law; 4 standard deviations of 5000 draws are 0.012."""
    paths = [ROOT / f"{k}.jpg" for k in range(5000)]
    for fraction in (0.05, 0.5, 0.8):
        assert len(hold_out(paths, ROOT, fraction)[1]) / 5000 == pytest.approx(fraction, abs=0.03)


def test_files_stay_on_their_side_when_others_are_added() -> None:
    """Oracle: the split before. The 300 files are enough for the fraction alone to decide."""
    paths = [ROOT / f"{k}.jpg" for k in range(300)]
    train, held_out = hold_out(paths, ROOT, 0.1)
    for added in (["new.jpg"], [f"more/{k}.png" for k in range(2000)]):
        more_train, more_held_out = hold_out([*(ROOT / name for name in added), *paths], ROOT, 0.1)
        assert set(train) <= set(more_train)
        assert set(held_out) <= set(more_held_out)
    fewer_train, fewer_held_out = hold_out(paths[::3], ROOT, 0.1)
    assert set(fewer_train) <= set(train)
    assert set(fewer_held_out) <= set(held_out)


def test_the_split_depends_on_the_names_below_the_folder_and_not_on_where_it_lies() -> None:
    def sides(root: Path) -> list[list[str]]:
        split = hold_out([root / f"sub/{k}.jpg" for k in range(100)], root, 0.3)
        return [[path.relative_to(root).as_posix() for path in side] for side in split]

    assert sides(Path("/a")) == sides(Path("/elsewhere/b"))
    same_names = [ROOT / f"{folder}/1.jpg" for folder in range(100)]
    assert 10 < len(hold_out(same_names, ROOT, 0.3)[1]) < 50  # the folder's name counts, not the file's alone


def test_a_larger_fraction_only_adds_to_what_is_held_out() -> None:
    paths = [ROOT / f"{k}.jpg" for k in range(200)]
    assert set(hold_out(paths, ROOT, 0.1)[1]) < set(hold_out(paths, ROOT, 0.2)[1])


def test_a_name_that_is_not_utf_8_is_divided_like_any_other() -> None:
    paths = [ROOT / f"caf\udce9{k}.jpg" for k in range(50)]
    train, held_out = hold_out(paths, ROOT, 0.3)
    assert len(train) + len(held_out) == 50
