"""The table of fusions."""

import pytest
import torch

from adain_lit.errors import InputError
from adain_lit.functional.adain import adaptive_instance_norm, concatenate
from adain_lit.nets.fusion import FUSIONS, named_fusion


@pytest.mark.parametrize("name", FUSIONS)
@pytest.mark.parametrize("masked", [False, True])
def test_fused_features_have_the_declared_channels(name: str, masked: bool) -> None:
    """Oracle: the shape of the content, with `channels` times its channels."""
    fusion = named_fusion(name)
    mask = torch.ones(2, 1, 5, 6) if masked else None
    assert fusion.fuse(torch.rand(2, 4, 5, 6), torch.rand(2, 4, 3, 7), mask).shape == (2, 4 * fusion.channels, 5, 6)


@pytest.mark.parametrize("name", FUSIONS)
def test_outside_its_mask_content_is_its_own_style(name: str) -> None:
    """Oracle: the content fused with itself, which runtime controls rely on."""
    fuse = named_fusion(name).fuse
    content, mask = torch.rand(1, 4, 5, 6), torch.zeros(1, 1, 5, 6)
    mask[..., :3] = 1
    out = fuse(content, torch.rand(1, 4, 3, 7), mask)
    torch.testing.assert_close(out[..., 3:], fuse(content, content)[..., 3:])


def test_paper_s_system_and_its_baseline_are_there() -> None:
    """Oracle: Sec. 6 (t is the content target) and Sec. 7.2 (fused features are twice as wide, so f(c) is)."""
    adain, concat = named_fusion("adain"), named_fusion("concat")
    assert (adain.function, adain.channels, adain.content_target) == (adaptive_instance_norm, 1, "fused")
    assert (concat.function, concat.channels, concat.content_target) == (concatenate, 2, "content")


def test_unknown_fusion_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(InputError, match=rf"^unknown fusion 'add'; known are {', '.join(FUSIONS)}, and my_module"):
        named_fusion("add")
