"""TensorBoard's HParams page, which Lightning leaves with a metric of -1."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from adain_lit.loggers.csv import attempt
from adain_lit.runs.comparison import BOOKKEEPING


def log_results(loggers: Iterable[Logger], settings: Mapping[str, Any], values: Mapping[str, float], step: int) -> None:
    """Give the HParams page of TensorBoard the settings of a run and the values of its last validation.

    Args:
        loggers: those of the run; the others are left alone.
        settings: the configuration; `adain_lit.runs.comparison.BOOKKEEPING` is left out.
        values: of the last validation; the page lists those that begin with ``val/``.
        step: the optimiser step that they belong to.
    """
    validated = {name: value for name, value in values.items() if name.startswith("val/")}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger) and validated:
            shown = {name: value for name, value in settings.items() if name not in BOOKKEEPING}
            attempt(logger, partial(logger.log_hyperparams, shown, validated, step))
