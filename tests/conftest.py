"""Small real images for every test."""

from pathlib import Path

import pytest
from PIL import Image

from support.images import PHOTOGRAPHS, small


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six small photographs, two of them in a sub-folder."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "more").mkdir()
    for i, name in enumerate(PHOTOGRAPHS):
        small(name).save(folder / ("more" if i > 3 else ".") / f"{Path(name).stem}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def paintings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five small paintings in PNG."""
    from adain_lit.data.demo import STYLE_FOLDER

    folder = tmp_path_factory.mktemp("paintings")
    for style in ("de_stijl", "impasto", "mosaic", "pointillism", "stained_glass"):
        with Image.open(STYLE_FOLDER / f"{style}-1000.webp") as image:
            image.resize((96, 80), Image.Resampling.LANCZOS).save(folder / f"{style}.png")
    return folder
