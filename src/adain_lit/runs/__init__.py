"""Training runs on disk: find them, read them, compare them."""
