"""Demo pictures: photographs of the installed wheel, paintings that are rendered once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from adain_lit.data import demo
from adain_lit.data.paintings import render_painting
from adain_lit.errors import InputError
from adain_lit.io.images import read_image


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and only the two manners that are quickest to render."""
    monkeypatch.setenv("ADAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "MANNERS", {name: demo.MANNERS[name] for name in ("mosaic", "marbling")})
    monkeypatch.setattr(demo, "TRAIN_SEEDS", range(1))
    return tmp_path / "cache"


def test_the_photographs_are_in_the_installed_wheel_and_can_be_read() -> None:
    for path in demo.demo_content_images(held_out=False) + demo.demo_content_images(held_out=True):
        assert path.parent == Path(skimage.data.__file__).parent
        assert min(read_image(path).size) >= 256


def test_no_held_out_photograph_or_seed_is_trained_on() -> None:
    train, held_out = demo.demo_content_images(held_out=False), demo.demo_content_images(held_out=True)
    assert len(set(train)) == len(train) >= 10
    assert len(set(held_out)) == len(held_out) >= 2
    assert not set(train) & set(held_out)
    pixels = {path: np.asarray(read_image(path)).tobytes() for path in train + held_out}
    assert len(set(pixels.values())) == len(pixels)
    assert not set(demo.TRAIN_SEEDS) & set(demo.HELD_OUT_SEEDS)


def test_a_photograph_that_the_wheel_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "HELD_OUT_PHOTOGRAPHS", ("chelsea.png", "gone.png"))
    with pytest.raises(InputError, match=r"^scikit-image's wheel holds no gone\.png; install scikit-image 0"):
        demo.demo_content_images(held_out=True)


def test_paintings_are_rendered_into_the_cache_once_and_again_only_where_one_is_missing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the images against a rendering here, the files against their times of change."""
    train = demo.demo_style_images(held_out=False)  # in processes, as always; the rest in threads, which start sooner
    monkeypatch.setattr(demo, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(2))
    held_out = demo.demo_style_images(held_out=True)
    assert [path.name for path in train] == ["marbling-0.png", "mosaic-0.png"]
    assert [path.name for path in held_out] == ["marbling-1000.png", "mosaic-1000.png"]
    assert all(cache in path.parents for path in train + held_out)
    assert sorted(path for path in cache.rglob("*") if path.is_file()) == sorted(train + held_out)
    assert read_image(train[1]).tobytes() == render_painting("mosaic", 0).tobytes()

    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in cache.rglob("*")}

    before = times()
    assert demo.demo_style_images(held_out=False) == train
    assert demo.demo_style_images(held_out=True) == held_out
    assert times() == before

    content = train[0].read_bytes()
    train[0].unlink()
    assert demo.demo_style_images(held_out=False) == train
    assert train[0].read_bytes() == content
    assert train[1].stat().st_mtime_ns == before[train[1]]


def test_complete_paintings_start_no_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache / "paintings-1"
    folder.mkdir(parents=True)
    for name in ("mosaic-0.png", "marbling-0.png"):
        (folder / name).touch()
    monkeypatch.setattr(demo, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("a process was started"))
    assert [path.name for path in demo.demo_style_images(held_out=False)] == ["marbling-0.png", "mosaic-0.png"]


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"ADAIN_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/adain_lit"),
        ({"HOME": "/c"}, "/c/.cache/adain_lit"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ADAIN_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert demo.cache_folder() == Path(folder)
