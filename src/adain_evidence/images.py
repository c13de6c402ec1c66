"""Results of trained networks on the demo's held-out images, the only ones that a stored figure may show."""

from collections.abc import Callable, Mapping, Sequence

import torch
from PIL import Image
from torch import Tensor

from adain_lit.data.demo import demo_content_images, demo_style_images
from adain_lit.io.images import read_image, resized_crop, to_image, to_tensor

Method = Callable[[Tensor, Tensor], Tensor]


def demo_pairs(count: int, *, size: int = 256) -> tuple[Tensor, Tensor]:
    """Held-out content and style images, both (count, 3, size, size), RGB in [0, 1]: central squares."""
    content_files, style_files = demo_content_images(held_out=True), demo_style_images(held_out=True)
    step = max(1, len(style_files) // count)
    contents = [_square(content_files[i % len(content_files)], size) for i in range(count)]
    styles = [_square(style_files[i * step % len(style_files)], size) for i in range(count)]
    return torch.stack(contents), torch.stack(styles)


@torch.inference_mode()
def demo_rows(
    methods: Mapping[str, Method], count: int, *, size: int = 256
) -> tuple[list[list[Image.Image]], list[str]]:
    """Rows of an image grid and the captions of its columns: content, style, then each method."""
    contents, styles = demo_pairs(count, size=size)
    columns: list[Sequence[Image.Image]] = [[to_image(x) for x in contents], [to_image(x) for x in styles]]
    for method in methods.values():
        columns.append([to_image(x) for x in method(contents, styles).float()])
    return [list(row) for row in zip(*columns, strict=True)], ["content", "style", *methods]


def _square(path: object, size: int) -> Tensor:
    return to_tensor(resized_crop(read_image(str(path)), size, size, (0.5, 0.5))).float() / 255
