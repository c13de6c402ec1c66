"""The motion of the camera between two frames."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from adain_lit.inference.motion import camera_motion, moved
from support.images import small


def frame(x: float, y: float, *, scale: int = 8) -> Tensor:
    """96 x 72 pixels of a photograph from (x, y) on, averaged from `scale` times as many."""
    scene = small("coffee.png", (160 * scale, 120 * scale)).convert("L")
    left, top = round(x * scale), round(y * scale)
    cut = scene.crop((left, top, left + 96 * scale, top + 72 * scale)).resize((96, 72), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(cut, dtype=np.float32))


@pytest.mark.parametrize("motion", [(0, 0), (3, 1), (-7, 4), (20, -11), (2.375, 0.75), (-0.5, 0.25)])
def test_shift_is_found(motion: tuple[float, float]) -> None:
    """Oracle: where the frame was cut from a larger photograph, to an eighth of a pixel."""
    found = camera_motion(frame(30, 20), frame(30 + motion[0], 20 + motion[1]))
    assert found == pytest.approx(motion, abs=0.13)


def test_shift_is_found_in_noise_and_other_light() -> None:
    noise = torch.Generator().manual_seed(0)
    first, second = (x + 5 * torch.randn(x.shape, generator=noise) for x in (frame(30, 20), frame(33, 22)))
    assert camera_motion(first, second) == pytest.approx((3, 2), abs=0.2)


def test_what_is_no_shift_is_none() -> None:
    """Oracles: another scene, and a still one in which something moves."""
    other = torch.from_numpy(np.asarray(small("chelsea.png", (96, 72)).convert("L"), dtype=np.float32))
    assert camera_motion(frame(30, 20), other) == (0, 0)
    first, second = frame(30, 20), frame(30, 20)
    first[20:50, 10:40] = 0
    second[20:50, 22:52] = 0
    assert camera_motion(first, second) == pytest.approx((0, 0), abs=0.1)
    black = torch.zeros(72, 96)
    assert camera_motion(black, black) == camera_motion(black, black + 9) == (0, 0)


def test_image_is_shifted() -> None:
    """Oracle: the shifted crop of a larger one, and half a pixel of a ramp."""
    scene = frame(30, 20)
    shifted = moved(scene[None, :60, :80], (3.0, 5.0))[0]
    torch.testing.assert_close(shifted[:55, :77], scene[5:60, 3:80], atol=0.05, rtol=0)
    ramp = torch.arange(9.0).expand(1, 4, 9)
    torch.testing.assert_close(moved(ramp, (0.5, 0.0))[0, :, 2:6], ramp[0, :, 2:6] + 0.5, atol=1e-3, rtol=0)
