"""Networks of any kind behind the one interface."""

from pathlib import Path

import pytest
import torch

from adain_lit.data.fixed_styles import read_styles
from adain_lit.errors import InputError
from adain_lit.methods.fixed_styles import FixedStyles, load_fixed_styles, load_method, style_images
from adain_lit.nets import StyleTransferNet
from support.networks import fixed_style_network, write_fixed_styles


@pytest.fixture(scope="module")
def files(paintings: Path) -> list[Path]:
    return sorted(paintings.iterdir())


def test_any_kind_of_network_becomes_a_method(files: list[Path], tmp_path: Path) -> None:
    assert isinstance(load_method("compact"), StyleTransferNet)
    method = load_method(write_fixed_styles(tmp_path / "one.ckpt", files[:1]))
    assert isinstance(method, FixedStyles)
    content, style = torch.rand(2, 3, 33, 40), read_styles(files[:1] * 2, 50) / 255
    torch.testing.assert_close(method(content, style), fixed_style_network(files[:1])(content, style))


def test_several_networks_share_a_batch_each_with_its_styles(files: list[Path], tmp_path: Path) -> None:
    """Oracle: each network by itself."""
    one = write_fixed_styles(tmp_path / "one.ckpt", files[2:3], norm="batch", seed=1)
    many = write_fixed_styles(tmp_path / "many.ckpt", files[:3], norm="conditional", seed=2)
    method = load_fixed_styles([one, many])
    assert method.files == [str(files[i]) for i in (2, 0, 1)]
    content, style = torch.rand(4, 3, 32, 32), read_styles([files[i] for i in (0, 2, 1, 2)], 48) / 255
    out = method(content, style)
    of_one, of_many = load_fixed_styles(one), load_fixed_styles(many)
    torch.testing.assert_close(out[[1, 3]], of_one(content[[1, 3]], style[[1, 3]]))  # the first that knows it
    torch.testing.assert_close(out[[0, 2]], of_many(content[[0, 2]], style[[0, 2]]))
    with pytest.raises(InputError, match=r"^style image 2 of 2 was not trained on"):
        method(content[:2], torch.cat((style[:1], read_styles(files[4:], 48) / 255)))


def test_what_is_no_network_for_fixed_styles_is_refused(files: list[Path], tmp_path: Path) -> None:
    torch.save({"encoder": {}, "hyper_parameters": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match=r"other.ckpt is no network for fixed styles; give a checkpoint of one"):
        load_fixed_styles(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="no network for fixed styles was given; name at least one checkpoint"):
        load_fixed_styles([])
    with pytest.raises(InputError, match=r"the style image \S+gone.png cannot be read: no such file; put it back"):
        style_images([str(tmp_path / "gone.png")], 32)
