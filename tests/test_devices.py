"""Memory that a training frees stays with it."""

import subprocess
import sys

import pytest

STEPS = """
import resource, sys, torch
from adain_lit.devices import keep_freed_memory
from adain_lit.nets import VGGEncoder
if sys.argv[1] == "keep":
    keep_freed_memory()
encoder = VGGEncoder((32, 32, 32, 32, 32))
def step():
    encoder(torch.rand(2, 3, 128, 128))["relu4_1"].sum().backward()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_a_step_does_not_ask_the_kernel_for_the_memory_of_the_step_before() -> None:
    """Oracle: the kernel's count of page faults in five steps of a small training."""

    def faults(mode: str) -> int:
        done = subprocess.run([sys.executable, "-c", STEPS, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults("as it is") / 10
