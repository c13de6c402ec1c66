"""Motion of the camera between two frames, as one shift of the whole image."""

import torch
from torch import Tensor
from torch.nn import functional as F

REFINEMENTS = 3
"""Gauss-Newton steps from whole pixels to fractions of a pixel."""
EXPLAINED = 0.9
"""Part of the change between two frames that a shift may leave unexplained at most; otherwise there is none."""


def camera_motion(previous: Tensor, current: Tensor) -> tuple[float, float]:
    """Estimate the shift d in pixels, right and down, for which current(x) = previous(x + d).

    The peak of the phase correlation (Kuglin & Hines 1975), refined by least squares over the pixels that the shift
    explains (Lucas & Kanade 1981).

    Args:
        previous: a grey frame, shape (H, W), 0 to 255.
        current: the next one, of the same size.

    Returns:
        The shift, or (0, 0) where no shift up to a quarter of the frame explains the change.

    Example:
        >>> scene = F.avg_pool2d(torch.rand(1, 80, 96, generator=torch.Generator().manual_seed(0)) * 255, 5, 1)[0]
        >>> [round(x, 1) for x in camera_motion(scene[:64, :80], scene[2:66, 5:85])]
        [5.0, 2.0]
    """
    height, width = previous.shape
    if torch.equal(previous, current):
        return 0.0, 0.0
    window = torch.hann_window(height, False)[:, None] * torch.hann_window(width, False)
    first, second = (torch.fft.rfft2((x - x.mean()) * window) for x in (previous, current))
    cross = second.conj() * first
    peak = int(torch.fft.irfft2(cross / cross.abs().clamp(min=1e-3), previous.shape).argmax())
    # the second half of the places are negative shifts
    down, right = (
        float(at - side if at > side // 2 else at)
        for at, side in zip(divmod(peak, width), (height, width), strict=True)
    )
    for _ in range(REFINEMENTS):
        if abs(right) > width / 4 or abs(down) > height / 4:
            return 0.0, 0.0
        step = _step(moved(previous[None], (right, down))[0], current)
        right, down = right + step[0], down + step[1]
    unexplained = (moved(previous[None], (right, down))[0] - current).abs().mean()
    if not unexplained < EXPLAINED * (previous - current).abs().mean():  # not: a step may be NaN
        return 0.0, 0.0
    return right, down


def _step(found: Tensor, wanted: Tensor) -> tuple[float, float]:
    """The least-squares shift that brings `found` closer to `wanted`, without what moves by itself."""
    inner = (slice(1, -1), slice(1, -1))
    error = (wanted - found)[inner]
    error = error * (error.abs() <= 10 * error.abs().median() + 20)
    used = error != 0
    slopes = torch.stack(((found[:, 2:] - found[:, :-2])[1:-1], (found[2:] - found[:-2])[:, 1:-1])) / 2 * used
    slopes = slopes.flatten(1)
    solved = torch.linalg.solve(slopes @ slopes.T + 1e-3 * torch.eye(2), slopes @ error.flatten())
    return float(solved[0].clamp(-1, 1)), float(solved[1].clamp(-1, 1))


def moved(image: Tensor, motion: tuple[float, float]) -> Tensor:
    """Shift an image, out(x) = image(x + motion), bicubically; beyond its edges they are repeated.

    Args:
        image: shape (C, H, W).
        motion: the shift in pixels, right and down.

    Example:
        >>> moved(torch.tensor([[[1.0, 2.0, 3.0]]]), (1.0, 0.0))
        tensor([[[2., 3., 3.]]])
    """
    if motion == (0.0, 0.0):
        return image
    height, width = image.shape[1:]
    # grid_sample with align_corners=False: pixel i lies at (2 i + 1) / side - 1
    x, y = ((2 * (torch.arange(n) + d) + 1) / n - 1 for n, d in zip((width, height), motion, strict=True))
    places = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), 2)
    sampled = F.grid_sample(image[None], places[None].to(image), "bicubic", "border", align_corners=False)
    return sampled[0].clamp(float(image.min()), float(image.max()))
