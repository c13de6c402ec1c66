"""Compose, check and instantiate Hydra configurations, with one-line messages for mistakes."""
