"""A trained run, and the files that the documents' commands name."""

from pathlib import Path

import pytest
from PIL import Image

from adain_lit import train
from support.commands import TINY, run_here
from support.images import small
from support.videos import moving, write_video


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    """The best checkpoint of a run of two steps."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
        assert run_here(train.main, [*TINY, *folders], patch) == 0
    (found,) = folder.glob("outputs/*/*/checkpoints/best.ckpt")
    return found


@pytest.fixture
def images(tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the commands name; the commands run there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PHOTOS").symlink_to(photographs)
    (tmp_path / "PAINTINGS").symlink_to(paintings)
    small("chelsea.png").save("photo.jpg")
    for name in ("painting", "other", "a", "b", "c", "d"):
        small("coffee.png").save(f"{name}.jpg")
    for name in ("sky", "ground"):
        Image.new("L", (96, 72), 255).save(f"{name}.png")
    write_video(tmp_path / "video.mp4", moving(3, (96, 72)))
    first, *others = [Image.fromarray(pixels) for pixels in moving(3, (96, 72))]
    first.save("clip.gif", save_all=True, append_images=others, duration=80)
    return tmp_path
