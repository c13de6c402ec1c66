"""Arbitrary style transfer with adaptive instance normalisation (Huang & Belongie, ICCV 2017)."""

import os

__version__ = "0.1.0"

# torch's threads spin while they wait for each other; on busy cores (loader workers, a browser) that makes a step
# several times slower. It has to be said before torch is loaded, and whoever sets it otherwise is heeded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
