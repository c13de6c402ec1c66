"""Small real images and a quiet environment for every test."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import adain_lit  # noqa: F401  # before torch, for the way its threads wait
from support.images import PHOTOGRAPHS, small

os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")


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


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command configures logging for its whole process; its handlers write to a stream that ends with the test."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    """The same number of threads everywhere, so that sums are added in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
