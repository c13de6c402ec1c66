"""Which files are the style images."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from adain_lit.data import fixed_styles
from adain_lit.data.fixed_styles import read_styles, style_files
from adain_lit.errors import InputError
from adain_lit.io.images import ImageReadError, to_tensor
from support.images import small


def test_styles_are_a_file_several_a_folder_or_the_demo_s(paintings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(paintings.iterdir())
    assert style_files(str(files[2])) == [files[2]]
    assert style_files([str(files[3]), str(files[0])]) == [files[3], files[0]]
    assert style_files([str(files[3]), str(files[0])], 1) == [files[3], files[0]]  # whoever names files means them
    assert style_files(str(paintings)) == files
    assert style_files(str(paintings), 2) == files[:2]
    monkeypatch.setattr(fixed_styles, "demo_style_images", lambda held_out: [Path("/held" if held_out else "/trained")])
    assert style_files("demo") == [Path("/held"), Path("/trained")]


def test_relative_files_are_told_absolutely(paintings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint names them, and is used from other folders."""
    monkeypatch.chdir(paintings)
    (name, *_) = sorted(path.name for path in paintings.iterdir())
    assert style_files(name) == [paintings / name]


def test_too_few_styles_and_unreadable_ones_are_refused(paintings: Path, tmp_path: Path) -> None:
    for count in (0, 6):
        with pytest.raises(InputError, match=rf"^{count} styles are requested and .* holds 5; give at least 1"):
            style_files(str(paintings), count)
    with pytest.raises(InputError, match="no folder /nowhere"):
        style_files("/nowhere")
    with pytest.raises(ImageReadError, match="no such file"):
        read_styles([tmp_path / "none.png"], 32)


def test_middle_squares_are_cut_out_and_scaled(tmp_path: Path) -> None:
    """Oracle: Pillow."""
    image = small("coffee.png", (92, 60))
    image.save(tmp_path / "wide.png")
    made = read_styles([tmp_path / "wide.png"], 30)
    expected = image.resize((46, 30), Image.Resampling.BILINEAR).crop((8, 0, 38, 30))
    assert made.dtype == torch.uint8
    assert (made[0].int() - to_tensor(expected).int()).abs().max() <= 2
