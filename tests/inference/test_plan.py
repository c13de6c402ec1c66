"""What the command line names, and where each output is written."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adain_lit.errors import InputError
from adain_lit.inference.plan import InputFile, find_inputs, image_suffix, missing, plan_grid, plan_outputs
from adain_lit.io.files import require_writable


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files without content, since nothing here reads an image; the test runs beside them."""
    names = ["photos/a.jpg", "photos/more/b.PNG", "photos/more/scan.bmp", "photos/video.mp4", "photos/notes.txt"]
    for name in [*names, "videos/clip.mov", "styles/wave.jpg", "styles/night.png", "single.jpeg", "a[1].jpg"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(found: list[InputFile]) -> list[str]:
    return [file.path.as_posix() for file in found]


def outputs(names: list[str], styles: list[str], output: str | None = None, **options: object) -> list[str]:
    planned = plan_outputs(
        find_inputs(names, "content", video=True),
        find_inputs(styles, "style"),
        None if output is None else Path(output),
        **options,  # type: ignore[arg-type]
    )
    return [output.path.as_posix() for output in planned]


def test_noise_stands_for_white_noise_as_a_content_alone(tree: Path) -> None:
    """Oracle: uniform values, uncorrelated with their neighbours; a file of that name takes precedence."""
    (path,) = paths(find_inputs(["noise"], "content"))
    with Image.open(path) as image:
        values = np.asarray(image).astype(float)
    assert values.shape == (512, 512, 3)
    assert abs(values.mean() - 127.5) < 1
    assert abs(values.std() - 255 / 12**0.5) < 1
    for neighbours in (values[1:], values[:, 1:], values[..., 1:]):
        own = values[tuple(slice(0, side) for side in neighbours.shape)]
        assert abs(np.corrcoef(own.ravel(), neighbours.ravel())[0, 1]) < 0.01
    assert outputs(["noise"], ["styles/wave.jpg"]) == ["noise_stylized_wave.png"]
    with pytest.raises(InputError, match="no style noise; give a file, a folder or a pattern"):
        find_inputs(["noise"], "style")
    (tree / "noise").mkdir()
    (tree / "noise" / "own.png").touch()
    assert paths(find_inputs(["noise"], "content")) == ["noise/own.png"]


def test_a_folder_is_searched_for_images_and_on_request_for_videos(tree: Path) -> None:
    images = ["photos/a.jpg", "photos/more/b.PNG", "photos/more/scan.bmp"]
    assert paths(find_inputs(["photos"], "content")) == images
    found = find_inputs(["photos"], "content", video=True)
    assert paths(found) == [*images, "photos/video.mp4"]
    assert [file.relative and file.relative.as_posix() for file in found] == [
        "a.jpg",
        "more/b.PNG",
        "more/scan.bmp",
        "video.mp4",
    ]


def test_a_folder_of_videos_alone_is_one_where_videos_are_wanted(tree: Path) -> None:
    assert paths(find_inputs(["videos"], "content", video=True)) == ["videos/clip.mov"]
    with pytest.raises(InputError, match="no image in videos"):
        find_inputs(["videos"], "content")


def test_patterns_that_no_shell_expanded_are_expanded(tree: Path) -> None:
    assert paths(find_inputs(["photos/*.jpg", "*/more/*.bmp"], "content")) == ["photos/a.jpg", "photos/more/scan.bmp"]
    assert paths(find_inputs(["**/*.jpg"], "content")) == ["a[1].jpg", "photos/a.jpg", "styles/wave.jpg"]


def test_a_pattern_of_folders_alone_is_those_folders(tree: Path) -> None:
    assert paths(find_inputs(["sty*"], "style")) == ["styles/night.png", "styles/wave.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tree: Path) -> None:
    assert paths(find_inputs(["a[1].jpg"], "content")) == ["a[1].jpg"]


def test_a_home_folder_is_known_by_its_tilde(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree))
    assert paths(find_inputs(["~/single.jpeg"], "content")) == [str(tree / "single.jpeg")]


@pytest.mark.parametrize("name", ["gone.jpg", "*.webp", "nowhere/*.jpg", "dangling.jpg"])
def test_a_name_that_stands_for_nothing_is_refused(tree: Path, name: str) -> None:
    (tree / "dangling.jpg").symlink_to(tree / "gone.jpg")
    with pytest.raises(InputError, match=r"no content .*; give a file, a folder or a pattern"):
        find_inputs(["single.jpeg", name], "content")


def test_single_images_are_named_after_their_style_and_keep_a_format_that_can_be_written(tree: Path) -> None:
    assert outputs(["single.jpeg"], ["styles/wave.jpg"]) == ["single_stylized_wave.jpeg"]
    assert outputs(["photos/more/b.PNG"], ["styles"], "out") == ["out/b_stylized_night+wave.PNG"]
    assert outputs(["photos/more/scan.bmp"], ["styles/wave.jpg"]) == ["scan_stylized_wave.png"]
    assert outputs(["single.jpeg"], ["styles/wave.jpg"], suffix=".webp") == ["single_stylized_wave.webp"]
    assert outputs(["single.jpeg"], ["styles/wave.jpg"], label="trade-off") == ["single_trade-off_wave.jpeg"]


def test_a_folder_keeps_its_tree_and_its_names(tree: Path) -> None:
    names = ["out/a.jpg", "out/more/b.PNG", "out/more/scan.png", "out/video.mp4"]
    assert outputs(["photos"], ["styles/wave.jpg"], "out") == names
    assert outputs(["photos/more"], ["styles/wave.jpg"], "out", suffix=".tiff") == ["out/b.tiff", "out/scan.tiff"]


def test_every_pair_goes_into_a_folder_for_each_style(tree: Path) -> None:
    expected = ["out/night/b.PNG", "out/wave/b.PNG", "out/night/scan.png", "out/wave/scan.png"]
    assert outputs(["photos/more"], ["styles"], "out", every_pair=True) == expected
    expected = ["single_stylized_night.jpeg", "single_stylized_wave.jpeg"]
    assert outputs(["single.jpeg"], ["styles"], every_pair=True) == expected


def test_names_are_bounded_and_stay_apart(tree: Path) -> None:
    """Oracle: the 255 bytes that a file system gives a name; letters of three bytes each."""
    long = ["渓" * 70 + end for end in "ab"]
    for name in long:
        (tree / f"{name}.jpg").touch()
    files = [f"{name}.jpg" for name in long]
    names = outputs(files, files, every_pair=True)
    assert len(set(names)) == 4
    assert all(len(name.encode()) < 255 for name in names)
    for i in range(17):
        (tree / f"styles/{i:02}_style.png").touch()
    (name,) = outputs(["single.jpeg"], ["styles"])
    assert name == "single_stylized_00_style+01_style+02_style+03_style+04_style+05_style+13more.jpeg"


def test_a_single_image_goes_to_the_given_file_or_folder(tree: Path) -> None:
    assert outputs(["single.jpeg"], ["styles/wave.jpg"], "new/out.webp") == ["new/out.webp"]
    assert outputs(["single.jpeg"], ["styles/wave.jpg"], "new") == ["new/single_stylized_wave.jpeg"]
    (tree / "folder.jpg").mkdir()
    expected = ["folder.jpg/single_stylized_wave.jpeg"]
    assert outputs(["single.jpeg"], ["styles/wave.jpg"], "folder.jpg") == expected


@pytest.mark.parametrize(
    ("names", "output", "message"),
    [
        (["photos"], "out.jpg", "4 images cannot go into the one file out.jpg; give a folder"),
        (["single.jpeg"], "out.gif", r"cannot write out\.gif: its suffix must be one of \.jpg"),
        (["single.jpeg"], "out.mp4", r"cannot write out\.mp4: its suffix must be one of \.jpg"),
        (["videos"], "out.jpg", r"cannot write out\.jpg: its suffix must be one of \.m4v"),
        (["single.jpeg"], "single.jpeg", r"single\.jpeg would overwrite the input single\.jpeg; give another --output"),
        (["single.jpeg"], "styles/../styles/wave.jpg", "would overwrite the input styles/wave.jpg"),
        (["photos"], "photos", "would overwrite the input photos/a.jpg"),
    ],
)
def test_what_would_be_lost_or_cannot_be_written_is_refused(
    tree: Path, names: list[str], output: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        outputs(names, ["styles/wave.jpg"], output)


def test_contents_whose_results_would_share_a_file_get_files_of_their_own(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first keeps its name, so that what is there is found again; a content that is named twice is made once."""
    for name in ("photos/a.PNG", "photos/a.webp", "copy/a.jpg", "copy/a.webp"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    wave = ["styles/wave.jpg"]
    same_folder = ["photos/a.PNG", "photos/a.jpg", "photos/a.webp"]
    assert outputs(same_folder, wave, "out", suffix=".png") == [
        "out/a_stylized_wave.png",
        "out/a_stylized_wave_jpg.png",
        "out/a_stylized_wave_webp.png",
    ]
    assert caplog.messages == [
        "out/a_stylized_wave.png is taken; the result for photos/a.jpg is out/a_stylized_wave_jpg.png",
        "out/a_stylized_wave.png is taken; the result for photos/a.webp is out/a_stylized_wave_webp.png",
    ]
    names = [*same_folder, "copy/a.webp"]
    assert outputs(names, wave, suffix=".png")[3] == "a_stylized_wave_2.png"
    found = outputs(["photos", "copy"], wave, "out", suffix=".png")
    assert len(set(found)) == len(found)
    assert found[:3] == ["out/a.png", "out/a_jpg.png", "out/a_webp.png"]
    assert found[-2:] == ["out/a_2.png", "out/a_3.png"]
    assert outputs(["single.jpeg", "single.jpeg"], wave) == ["single_stylized_wave.jpeg"]


def test_hidden_files_and_those_of_operating_systems_are_no_inputs(tree: Path) -> None:
    """Oracle: `a.jpg`; named in full, any of the others is taken, too."""
    odd = ["shots/a.jpg", "shots/._a.jpg", "shots/__MACOSX/._a.jpg", "shots/@eaDir/a.jpg", "shots/.c/a.mp4"]
    for name in [*odd, "shots/._a.mp4"]:
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).touch()
    assert paths(find_inputs(["shots"], "content", video=True)) == ["shots/a.jpg"]
    assert paths(find_inputs(["shots/**/*.jpg"], "content")) == ["shots/a.jpg"]
    assert paths(find_inputs(["shots/@eaDir/*.jpg"], "content")) == ["shots/@eaDir/a.jpg"]
    assert paths(find_inputs(["shots/._a.jpg"], "content")) == ["shots/._a.jpg"]


@pytest.mark.parametrize("suffix", [".wmv", ".3gp", ".ts", ".flv", ".mpg", ".avi"])
def test_videos_of_formats_that_are_not_written_become_matroska(suffix: str, tree: Path) -> None:
    (tree / f"clip{suffix}").write_bytes((b"G" + bytes(187)) * 2)
    assert outputs([f"clip{suffix}"], ["styles/wave.jpg"]) == ["clip_stylized_wave.mkv"]
    assert f"clip{suffix}" in paths(find_inputs(["."], "content", video=True))


def test_a_folder_s_typescript_is_no_video(tree: Path) -> None:
    (tree / "photos" / "GreatGallery.ts").write_text("G" * 180 + "const photos = 3;" * 20)
    (tree / "photos" / "empty.ts").touch()
    assert not any(path.endswith(".ts") for path in paths(find_inputs(["photos"], "content", video=True)))


def test_a_pipe_is_an_input_so_that_reading_can_report_it(tree: Path) -> None:
    os.mkfifo(tree / "pipe.jpg")
    assert paths(find_inputs(["pipe.jpg"], "content")) == ["pipe.jpg"]


def test_a_link_to_an_input_is_that_input(tree: Path) -> None:
    (tree / "link.jpg").symlink_to(tree / "single.jpeg")
    with pytest.raises(InputError, match=r"link\.jpg would overwrite the input single\.jpeg"):
        outputs(["single.jpeg"], ["styles/wave.jpg"], "link.jpg")


def test_a_grid_is_one_file_or_lies_in_the_folder(tree: Path) -> None:
    contents, styles = find_inputs(["photos"], "content"), find_inputs(["styles"], "style")

    def place(output: str | None, suffix: str | None = None) -> str:
        return plan_grid(contents, styles, None if output is None else Path(output), suffix=suffix).path.as_posix()

    assert place(None) == "grid.png"
    assert place(None, ".jpg") == "grid.jpg"
    assert place("new/sheet.webp") == "new/sheet.webp"
    assert place("new") == "new/grid.png"
    assert place("photos", ".tiff") == "photos/grid.tiff"
    with pytest.raises(InputError, match=r"cannot write sheet\.gif"):
        place("sheet.gif")
    with pytest.raises(InputError, match=r"would overwrite the input photos/a\.jpg"):
        place("photos/a.jpg")


def test_what_is_there_is_not_missing(tree: Path) -> None:
    planned = plan_outputs(find_inputs(["photos"], "content"), find_inputs(["styles/wave.jpg"], "style"), Path("out"))
    (tree / "out" / "more").mkdir(parents=True)
    (tree / "out" / "more" / "b.PNG").touch()
    assert [output.path.as_posix() for output in missing(planned)] == ["out/a.jpg", "out/more/scan.png"]


def test_formats_are_named_with_or_without_a_point() -> None:
    assert [image_suffix(name) for name in ("jpg", ".PNG", "Tiff", ".webp")] == [".jpg", ".png", ".tiff", ".webp"]
    for name in ("gif", "mp4", ""):
        with pytest.raises(InputError, match=f"cannot write {name} files; known are jpg, jpeg, png"):
            image_suffix(name)


def test_asking_whether_a_folder_is_writable_leaves_nothing_behind(tree: Path) -> None:
    before = sorted(tree.rglob("*"))
    for folder in (Path("new/deep"), tree / "photos", Path()):
        require_writable(folder)
    assert sorted(tree.rglob("*")) == before


def test_a_file_in_the_place_of_a_folder_is_no_folder_to_write_to(tree: Path) -> None:
    for folder in (Path("single.jpeg"), Path("single.jpeg/deep")):
        with pytest.raises(InputError, match=r"cannot write to the folder single\.jpeg.*; give another --output"):
            require_writable(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tree: Path) -> None:
    (tree / "locked").mkdir(mode=0o555)
    with pytest.raises(InputError, match="cannot write to the folder locked/new: Permission denied"):
        require_writable(Path("locked/new"))
