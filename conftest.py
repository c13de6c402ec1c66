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


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    """The same number of threads everywhere, whatever OMP_NUM_THREADS says: sums are then added in the same order.

    For the session, since what a fixture of a module trains comes before the fixtures of its tests.
    """
    import torch

    torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    """A command may set the number of threads of its whole process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _example(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Examples draw the same random numbers each time, and leave no file behind."""
    if isinstance(request.node, pytest.DoctestItem):
        import torch

        torch.manual_seed(0)
        monkeypatch.chdir(tmp_path)
