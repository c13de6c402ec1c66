"""Arbitrary style transfer with adaptive instance normalisation (Huang & Belongie, ICCV 2017)."""

__version__ = "0.1.0"
