"""Checkpoints, image grids, lists of skipped files, throughput, a progress bar, and pruning of a search's trials."""

from adain_lit.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from adain_lit.callbacks.non_finite import NonFinite
from adain_lit.callbacks.pruning import Pruning, objective_value
from adain_lit.callbacks.reporting import ImageGrid, SkippedFiles, Throughput, TrainingProgress

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "ImageGrid",
    "NonFinite",
    "Pruning",
    "SkippedFiles",
    "Throughput",
    "TrainingProgress",
    "objective_value",
]
