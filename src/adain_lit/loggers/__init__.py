"""Where a training writes its metrics."""
