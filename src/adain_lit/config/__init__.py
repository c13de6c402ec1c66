"""Hydra: compose, check, instantiate, and one clear line for every mistake."""
