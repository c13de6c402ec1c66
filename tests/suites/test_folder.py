"""Any folder of images: every file is read as torchvision's own decoders read it, and stylised.

``make test-suites FOLDER=DIR`` runs it, such as on the test images of another library.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision.io import ImageReadMode, decode_image

import adain_lit
from adain_lit.data.lists import check_images
from adain_lit.inference.stylizer import Stylizer
from adain_lit.io.files import find_files
from adain_lit.io.formats import IMAGE_SUFFIXES
from adain_lit.io.images import ImageReadError, read_image, read_image_and_metadata
from support.images import small
from support.mutations import require_one_line

FOLDER = os.environ.get("SUITE_FOLDER", "")
FILES = find_files(Path(FOLDER), IMAGE_SUFFIXES) if FOLDER else []
pytestmark = pytest.mark.skipif(not FILES, reason="no SUITE_FOLDER with images")
DIFFERENCE = 4.0
"""Mean difference of 255 that two decoders may have: JPEG decoders round and upsample colours differently."""


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return adain_lit.load("compact", device="cpu")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_image_is_read_or_refused_in_one_line_and_stylised(path: Path, stylizer: Stylizer) -> None:
    try:
        image = read_image(path)
    except ImageReadError as error:
        require_one_line(error)
        pytest.skip(f"refused: {error.reason}")
    assert image.mode == "RGB"
    if max(image.size) > 16 * min(image.size):
        pytest.skip(f"{image.width}x{image.height} pixels, too narrow to be scaled down")
    result = stylizer(path, small("chelsea.png"), size=min(48, *image.size), style_size=48)
    assert np.asarray(result).any()


@pytest.mark.parametrize("path", FILES, ids=str)
def test_torchvision_decodes_the_same_pixels(path: Path) -> None:
    """Oracle: torchvision's decoders of JPEG, PNG, GIF and WebP, which share no code with Pillow's plug-ins."""
    try:
        image, metadata = read_image_and_metadata(path, keep_alpha=True)
        with Image.open(path) as opened:
            comparable = opened.mode in ("L", "P", "RGB") and metadata.alpha is None and metadata.frames == 1
            comparable &= isinstance(opened.getexif().get(ExifTags.Base.Orientation, 1), int)
        data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        expected = decode_image(data, ImageReadMode.RGB, apply_exif_orientation=True)
    except (ImageReadError, RuntimeError, SyntaxError) as error:
        pytest.skip(f"one of the two cannot read it: {error}")
    if not comparable or expected.dtype != torch.uint8:
        pytest.skip(
            "several frames, transparency, CMYK, 16 bits, or an orientation as text: the two treat them differently"
        )
    found = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    assert found.shape == expected.shape
    assert (found.float() - expected.float()).abs().mean() <= DIFFERENCE


def test_the_folder_is_verified() -> None:
    images, broken = check_images(FOLDER, jobs=2, progress=False)
    assert len(images) + len(broken) == len(FILES)
