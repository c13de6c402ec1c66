"""The script for a GPU: its commands are those of this version, and it says so where there is no GPU."""

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from adain_lit.weights.networks import load_network
from support.configurations import composed

SCRIPT = Path(__file__).parents[1] / "experiments" / "gpu" / "check.py"
TRAINING = SCRIPT.with_name("train_compact.py")
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="experiments/ is not here")


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"gpu_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for its own annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded(SCRIPT)


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


@pytest.mark.parametrize("wheels", [None, "wheels"])
def test_it_installs_what_trains(wheels: str | None, script: ModuleType) -> None:
    """Its steps train and time methods, which takes the extra ``train``."""
    command = script.install(wheels and Path(wheels))
    assert [part for part in command if part.endswith("[train]")]


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


def test_training_of_the_compact_network_composes() -> None:
    script = loaded(TRAINING)
    assert composed(*script.SETTINGS, *script.MEASURED, "data=demo").model.compile
    rows = {step: {"train/pairs_per_second": speed} for step, speed in enumerate((1.0, 2.0, 70.0, 90.0, 80.0))}
    assert script.speed({9: {"val/loss": 1.0}, **rows}) == 80.0


@pytest.mark.slow
def test_training_of_the_compact_network_leaves_a_network_and_a_row_for_each_seed(tmp_path: Path) -> None:
    tiny = ["data=demo", "data.crop=64", "data.val_pairs=2", "data.num_workers=0", "model.loss_encoder=distilled"]
    on_cpu = ["trainer.accelerator=cpu", "model.compile=false", "trainer.log_every_n_steps=1"]
    arguments = ["--steps", "3", "--seeds", "4", "5", "--batch", "2", "--output", "made"]
    subprocess.run([sys.executable, TRAINING, *arguments, *tiny, *on_cpu], cwd=tmp_path, check=True)
    runs = json.loads((tmp_path / "made" / "training.json").read_text("utf-8"))["runs"]
    assert [run["step"] for run in runs] == [3, 3]
    assert runs[0]["val/loss"] != runs[1]["val/loss"]
    for seed in (4, 5):
        load_network(str(tmp_path / "made" / f"seed_{seed}.ckpt"))


@pytest.mark.slow
def test_rehearsal_does_every_step() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--rehearse", "--minutes", "30"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_four_systems_need_a_gpu_and_say_so(tmp_path: Path) -> None:
    script = SCRIPT.with_name("paper_systems.py")
    variables = {"PATH": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, script], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "paper_systems.py: error: there is no CUDA GPU; --rehearse tries the script on a CPU\n"
