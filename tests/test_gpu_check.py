"""The script for a GPU: its commands are those of this version, and it says so where there is no GPU."""

import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from test_config import composed

SCRIPT = Path(__file__).parents[1] / "experiments" / "gpu" / "check.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="experiments/ is not here")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module  # where its dataclass looks for its own annotations
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "no NVIDIA GPU answers" in line


def test_it_runs_every_test_marked_gpu(script: ModuleType) -> None:
    files = Path(__file__).parent.rglob("test_*.py")
    marked = {path for path in files if "@pytest.mark.gpu\n" in path.read_text("utf-8")}
    assert marked == {SCRIPT.parents[2] / name for name in script.TESTS}


def test_it_installs_on_top_of_the_packages_of_this_python(script: ModuleType, tmp_path: Path) -> None:
    python = script.environment(tmp_path / "venv")
    code = "import importlib.metadata, sys; print(sys.prefix, importlib.metadata.version('torch'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "venv"), importlib.metadata.version("torch")]
    pip = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, check=True)
    assert "pip" in pip.stdout


@pytest.mark.parametrize("rehearsal", [False, True])
def test_its_commands_compose(rehearsal: bool, script: ModuleType, tmp_path: Path) -> None:
    composable = [s.command[1:] for s in script.steps(rehearsal=rehearsal) if s.command[1].startswith("adain_lit.")]
    assert len(composable) >= 6
    for module, *arguments in composable:
        cfg = composed(*arguments, command=module.removeprefix("adain_lit."), output=str(tmp_path))
        assert module == "adain_lit.benchmark" or cfg.trainer.accelerator == ("cpu" if rehearsal else "gpu")


def test_record_of_a_training_is_its_median_speed_and_its_losses(script: ModuleType, tmp_path: Path) -> None:
    rows = ["step,train/content_loss,train/pairs_per_second,val/content_loss", "10,3.0,1.0,", "20,2.0,8.0,"]
    (tmp_path / "metrics.csv").write_text("\n".join([*rows, "30,1.0,10.0,0.5", ""]))
    assert script.trained(tmp_path / "metrics.csv") == {
        "pairs per second": 9.0,
        "steps": 30.0,
        "train/content_loss of step 10": 3.0,
        "train/content_loss of step 30": 1.0,
        "val/content_loss of step 30": 0.5,
    }


def test_step_that_fails_or_is_not_over_in_time_is_recorded(script: ModuleType) -> None:
    def record(code: str, seconds: float = 30, left: float = 60) -> dict[str, object]:
        step = script.Step("x", ("-c", code), seconds, dict)
        found: dict[str, object] = script.carry_out(step, sys.executable, script.time.monotonic() + left)
        return found

    assert record("pass")["status"] == "done"
    failed = record("print('why'); raise SystemExit(3)")
    assert (failed["status"], failed["output"]) == ("failed with exit status 3", "why\n")
    assert record("import time; time.sleep(60)", seconds=0.5)["status"] == "failed: not over in time"
    assert record("pass", left=1)["status"] == "not reached, time was up"


@pytest.mark.slow
def test_rehearsal_does_every_step() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rehearse", "--minutes", "30"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
