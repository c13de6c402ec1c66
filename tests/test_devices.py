"""Where networks run: an unknown device is refused, a GPU computes what the CPU computes; memory that stays."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import adain_lit
from adain_lit import devices, train
from adain_lit.devices import choose_device, multiplies_bfloat16, slow_bfloat16
from adain_lit.errors import InputError
from adain_lit.training.trainer import trainer_precision
from support.commands import run_here, tiny
from support.ranks import losses_of

STEPS = """
import resource, sys, torch
from adain_lit.devices import keep_freed_memory
from adain_lit.nets import VGGEncoder
if sys.argv[1] == "keep":
    keep_freed_memory()
encoder = VGGEncoder((32, 32, 32, 32, 32))
def step():
    # features of 42 MB: glibc keeps smaller blocks by itself once it has seen them
    encoder(torch.rand(5, 3, 256, 256))["relu4_1"].sum().backward()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot use device abacus: .*; give cpu, or none"):
        choose_device("abacus")


@pytest.mark.gpu
def test_a_gpu_makes_the_pictures_of_the_cpu(photographs: Path, paintings: Path) -> None:
    """Oracle: the CPU, in float32; PyTorch lets convolutions on a GPU round to TF32, which is ruled out here."""
    files = photographs / "astronaut.jpg", next(paintings.glob("*.png"))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        cpu, cuda = (np.asarray(adain_lit.load(device=name)(*files), int) for name in ("cpu", "cuda"))
    assert np.abs(cpu - cuda).max() <= 2  # of 255


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        pytest.param([], 5e-3, id="float32"),
        pytest.param(["trainer.precision=bf16-mixed"], 0.1, id="bf16-mixed"),
        pytest.param(["model.compile=true"], 5e-3, id="compiled"),
        pytest.param(["trainer.precision=bf16-mixed", "model.compile=true"], 0.1, id="bf16-mixed and compiled"),
    ],
)
def test_training_on_a_gpu_begins_with_the_losses_of_the_cpu_and_they_fall(
    settings: list[str],
    tolerance: float,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: the first step on the CPU, of the same weights and samples. TF32 has three digits, bfloat16 two."""
    monkeypatch.chdir(tmp_path)
    arguments = [*tiny(photographs, paintings), "data.crop=32", "data.batch_size=4", "model.unit_mean_images=0"]
    assert run_here(train.main, [*arguments, "trainer.max_steps=1", "hydra.run.dir=cpu"], monkeypatch) == 0
    arguments += ["trainer.accelerator=gpu", "trainer.max_steps=40", "trainer.val_check_interval=40", *settings]
    assert run_here(train.main, [*arguments, "hydra.run.dir=gpu"], monkeypatch) == 0
    for name in ("train/content_loss", "train/style_loss"):
        cpu, gpu = losses_of(tmp_path / "cpu", name), losses_of(tmp_path / "gpu", name)
        assert gpu[1] == pytest.approx(cpu[1], rel=tolerance), name
    losses = list(losses_of(tmp_path / "gpu").values())
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_a_step_does_not_ask_the_kernel_for_the_memory_of_the_step_before() -> None:
    """Oracle: the kernel's count of page faults in five steps of a small training."""

    def faults(mode: str) -> int:
        done = subprocess.run([sys.executable, "-c", STEPS, mode], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert faults("keep") < faults("as it is") / 10


FREED = """
import sys, torch
from adain_lit.devices import keep_freed_memory
keep_freed_memory(int(sys.argv[1]))
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
large = [torch.ones(2**20) for _ in range(50)]
del large
print(resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_memory_that_is_kept_has_a_bound() -> None:
    """Oracle: the resident memory that Linux counts, after 200 MB were filled and let go; torch was imported before."""

    def kept(limit: int) -> int:
        done = subprocess.run([sys.executable, "-c", FREED, str(limit)], capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert kept(2**31 - 1) > 150e6
    assert kept(2**25) < 75e6


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("has", "precision"), [({"amx_bf16": True}, "bf16-mixed"), ({"avx512_bf16": True}, "bf16-mixed"), ({}, "32-true")]
)
def test_auto_precision_is_bfloat16_where_the_processor_multiplies_it(
    has: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the names that torch gives to units of AMX and AVX512; avx2 alone is not one of them."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True} | has, raising=False)
    assert multiplies_bfloat16(CPU) is bool(has)
    assert trainer_precision("auto", "cpu") == precision
    assert trainer_precision("64-true", "cpu") == "64-true"


def test_bfloat16_that_is_slower_is_named_with_its_factor(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    monkeypatch.setattr(devices, "bfloat16_slowdown", lambda: 4.04)
    assert trainer_precision("bf16-mixed", "cpu") == "bf16-mixed"
    assert "this CPU has no units for bfloat16: a convolution takes 4.0 times as long as in float32" in caplog.text
    caplog.clear()
    monkeypatch.setattr(devices, "bfloat16_slowdown", lambda: 0.5)
    assert slow_bfloat16(CPU) is None
    trainer_precision("bf16-mixed", "cpu")
    trainer_precision("32-true", "cpu")
    assert not caplog.text
