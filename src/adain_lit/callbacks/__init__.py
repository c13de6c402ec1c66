"""What happens around training: checkpoints, images, lists, a progress bar, and the end of trials that lag behind."""

from adain_lit.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from adain_lit.callbacks.pruning import Pruning, objective_value
from adain_lit.callbacks.reporting import ImageGrid, SkippedFiles, Throughput, TrainingProgress

__all__ = [
    "AtomicCheckpointIO",
    "Checkpoints",
    "ImageGrid",
    "Pruning",
    "SkippedFiles",
    "Throughput",
    "TrainingProgress",
    "objective_value",
]
