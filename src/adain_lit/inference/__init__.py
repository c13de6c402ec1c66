"""A trained network in use: single images, folders, grids, videos and export. No Lightning, Hydra or W&B."""
