"""A trained network in use: images of any size, folders, grids and videos. No Lightning, Hydra or W&B."""
