"""Colour control, with NumPy as the oracle of all statistics."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.color import keep_color, match_color, unit
from adain_lit.io.images import to_tensor
from support.images import small


def read_small(name: str, size: tuple[int, int] = (96, 72)) -> Tensor:
    return to_tensor(small(name, size))[None] / 255


def moments(image: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and population covariance of the colours of one image."""
    colors = image.double().flatten(1).numpy()
    return colors.mean(1), np.cov(colors, bias=True)


@pytest.mark.parametrize("name", ["chelsea.png", "astronaut.png", "hubble_deep_field.jpg"])
def test_an_image_gets_the_mean_and_the_covariance_of_the_reference(name: str) -> None:
    reference = read_small("coffee.png")
    matched = match_color(read_small(name, (80, 64)), reference)
    assert matched.shape == (1, 3, 64, 80)
    for found, expected in zip(moments(matched[0]), moments(reference[0]), strict=True):
        assert np.abs(found - expected).max() < 1e-3  # of a range of 1
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_each_image_of_a_batch_follows_its_own_reference() -> None:
    """Oracle: one by one."""
    images = torch.cat([read_small("chelsea.png"), read_small("rocket.jpg")])
    references = torch.cat([read_small("coffee.png", (50, 40)), read_small("astronaut.png", (50, 40))])
    together = match_color(images, references)
    for i in range(2):
        alone = match_color(images[i : i + 1], references[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, atol=1e-6)


def test_an_image_with_its_own_colours_stays_as_it_is() -> None:
    image = read_small("coffee.png")
    assert torch.allclose(match_color(image, image), image, atol=1e-5)


def test_bytes_count_as_the_same_image_in_0_to_1() -> None:
    image, reference = read_small("chelsea.png"), to_tensor(small("coffee.png"))[None]
    assert torch.equal(match_color(image, reference), match_color(image, reference.float() / 255))
    assert torch.equal(unit(reference), reference.float() / 255)
    assert unit(image) is image


def test_an_image_of_one_colour_and_a_grey_one_have_no_inverse_and_give_numbers_all_the_same() -> None:
    """Oracle: the reference's mean; the grey image also gets a spread of colours along the reference's main axis."""
    reference = read_small("coffee.png")
    flat = match_color(torch.full((1, 3, 8, 9), 0.3), reference)
    assert torch.allclose(flat, reference.mean((2, 3), keepdim=True).expand_as(flat), atol=1e-5)
    grey = read_small("chelsea.png").mean(1, keepdim=True).expand(-1, 3, -1, -1)
    matched = match_color(grey, reference)
    assert bool(matched.isfinite().all())
    assert -1 < float(matched.min()) < float(matched.max()) < 2
    assert float(matched.std()) > 0.05


def test_a_large_reference_in_parts_has_the_moments_of_the_whole() -> None:
    """More pixels than a part holds. Oracle: NumPy over all of them."""
    reference = read_small("coffee.png", (1200, 900))
    assert reference.shape[2] * reference.shape[3] > 2**20
    matched = match_color(read_small("chelsea.png"), reference)
    for found, expected in zip(moments(matched[0]), moments(reference[0]), strict=True):
        assert np.abs(found - expected).max() < 1e-5


def test_images_without_a_reference_each_are_refused() -> None:
    with pytest.raises(InputError, match="batch sizes must agree"):
        match_color(read_small("coffee.png").expand(2, -1, -1, -1), read_small("coffee.png"))


def test_luminance_comes_from_the_one_and_chroma_from_the_other() -> None:
    """Oracle: BT.601 by NumPy: the luma of the stylised image, and the distances of R, G and B to the content's."""
    stylized, content = read_small("chelsea.png"), read_small("coffee.png")
    kept = keep_color(stylized, content)
    luma = [np.einsum("c,cij->ij", [0.299, 0.587, 0.114], x[0].numpy()) for x in (stylized, content, kept)]
    assert np.abs(luma[2] - luma[0]).max() < 1e-6
    assert np.abs((kept[0].numpy() - luma[2]) - (content[0].numpy() - luma[1])).max() < 1e-6
