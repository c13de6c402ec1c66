"""What happens around training: checkpoints, pictures, lists, a progress bar, and the end of trials that lag behind."""

from adain_lit.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from adain_lit.callbacks.pruning import Pruning, objective_value
from adain_lit.callbacks.reporting import PictureGrid, SkippedFiles, Throughput, TrainingProgress

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "PictureGrid",
    "Pruning",
    "SkippedFiles",
    "Throughput",
    "TrainingProgress",
    "objective_value",
]
