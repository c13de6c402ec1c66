"""Colours and contrast: the content keeps its colours (Sec. 7.3), photographs get one contrast (Sec. 4)."""

import torch
from torch import Tensor

from adain_lit.errors import InputError
from adain_lit.functional.matching import symmetric_power

REC601 = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
"""Luminance of RGB (ITU-R BT.601)."""


def unit(image: Tensor) -> Tensor:
    """Convert ``uint8`` images to float32 in [0, 1]; floating-point images are returned unchanged.

    Example:
        >>> unit(torch.tensor([0, 51, 255], dtype=torch.uint8))
        tensor([0.0000, 0.2000, 1.0000])
    """
    return image.float() / 255 if image.dtype == torch.uint8 else image


def match_color(image: Tensor, reference: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Match the mean colour and the colour covariance of `reference` (CORAL, Sun et al. 2016).

    Colours are whitened with the inverse square root of their own covariance, then coloured with the square root of
    the reference's.

    Args:
        image: RGB, shape (N, 3, H, W); the style image, to keep the content's colours.
        reference: RGB in [0, 1] or ``uint8``, shape (N, 3, H', W').
        eps: lower bound of the variance along any axis of the colour space, so that a grey image can be whitened.

    Returns:
        RGB, shape (N, 3, H, W), not clipped: clipping would change the statistics.

    Raises:
        InputError: if batch sizes differ.

    Differs from the authors' code: theirs standardises the colours first and adds the identity to covariances that are
    not divided by the number of pixels.

    Example:
        >>> image, reference = torch.rand(2, 1, 3, 8, 8)
        >>> torch.allclose(match_color(image, reference).mean((2, 3)), reference.mean((2, 3)), atol=1e-5)
        True
    """
    return recolor(image, *color_map(image, reference, eps=eps))


def color_map(image: Tensor, reference: Tensor, *, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Compute the affine colour map that `match_color` applies to every pixel of `image`.

    Args:
        image: RGB in [0, 1] or ``uint8``, shape (N, 3, H, W).
        reference: RGB in [0, 1] or ``uint8``, shape (N, 3, H', W').
        eps: lower bound of the variance along any axis of the colour space.

    Returns:
        A matrix (N, 3, 3) and a shift (N, 3, 1), in float64, for `recolor`.

    Raises:
        InputError: if batch sizes differ.

    Example:
        >>> image = torch.rand(1, 3, 16, 16)
        >>> matrix, shift = color_map(image, image / 2 + 0.25)
        >>> torch.allclose(matrix[0], torch.eye(3).double() / 2, atol=1e-4)
        True
        >>> torch.allclose(shift, torch.tensor(0.25).double(), atol=1e-4)
        True
    """
    if image.shape[:2] != reference.shape[:2]:
        raise InputError(f"images are {tuple(image.shape)} and {tuple(reference.shape)}; batch sizes must agree")
    mean, cov = _moments(image)
    reference_mean, reference_cov = _moments(reference)
    matrix = symmetric_power(reference_cov, 0.5, least=eps) @ symmetric_power(cov, -0.5, least=eps)
    return matrix, reference_mean - matrix @ mean


def recolor(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Map every colour c of RGB images (N, 3, H, W) to ``matrix @ c + shift``; the result is not clipped.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
        >>> swap = torch.eye(3, dtype=torch.float64)[[2, 1, 0]][None]
        >>> recolor(red, swap, torch.zeros(1, 3, 1, dtype=torch.float64)).flatten()
        tensor([0., 0., 1.])
    """
    return (matrix @ image.double().flatten(2) + shift).view(image.shape).to(image.dtype)


def keep_color(stylized: Tensor, content: Tensor) -> Tensor:
    """Combine the luminance of the stylised image with the chroma of the content (Sec. 7.3).

    Args:
        stylized: RGB, shape (N, 3, H, W).
        content: RGB, shape (N, 3, H, W).

    Returns:
        RGB, shape (N, 3, H, W), not clipped.

    Example:
        >>> grey, blue = torch.full((1, 3, 1, 1), 0.5), torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)
        >>> keep_color(grey, blue).flatten()
        tensor([0.3860, 0.3860, 1.3860])
    """
    return content + luminance(stylized - content)


def luminance(image: Tensor) -> Tensor:
    """Luminance of RGB images by ITU-R BT.601: (N, 3, H, W) to (N, 1, H, W).

    Example:
        >>> luminance(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)).item()
        0.29899999499320984
    """
    return (image * REC601.to(image).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _moments(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3, 1) and population covariance (N, 3, 3) of the colours, in float64; large images in chunks."""
    x = image.flatten(2)
    parts = torch.split(x, 2**20, 2)
    mean = torch.stack([unit(part).double().sum(2, keepdim=True) for part in parts]).sum(0) / x.shape[2]
    centred = (unit(part).double() - mean for part in parts)
    return mean, torch.stack([part @ part.transpose(1, 2) for part in centred]).sum(0) / x.shape[2]
