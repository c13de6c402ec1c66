"""The same quiet environment for every test and for the examples in docstrings."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is loaded, as the commands do
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")


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


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples draw the same random numbers each time, and leave no file behind."""
    if isinstance(request.node, pytest.DoctestItem):
        import torch

        torch.manual_seed(0)
        monkeypatch.chdir(tmp_path)
