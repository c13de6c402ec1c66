"""The steps of ``python -m adain_lit.train``."""
