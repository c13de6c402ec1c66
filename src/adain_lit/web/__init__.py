"""The web page of ``python -m adain_lit.app``."""
