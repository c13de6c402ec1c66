"""What happens around training: checkpoints, pictures, lists and a progress bar."""

from adain_lit.callbacks.checkpoints import AtomicCheckpointIO, Checkpoints
from adain_lit.callbacks.reporting import PictureGrid, SkippedFiles, Throughput, TrainingProgress

__all__ = ["AtomicCheckpointIO", "Checkpoints", "PictureGrid", "SkippedFiles", "Throughput", "TrainingProgress"]
