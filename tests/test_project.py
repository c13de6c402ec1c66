"""Modules import lower floors only; what is installed is pinned and bounded; a wheel is complete."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.commands import TINY
from support.documents import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_modules_import_lower_floors_only() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_constraints_pin_every_dependency() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    for requirement in (*PROJECT["dependencies"], *extras):
        if requirement.startswith("adain_lit["):  # its own extras
            continue
        name = re.split(r"[<>=]", requirement)[0].lower().replace("_", "[_-]").replace("-", "[_-]")
        assert re.search(rf"^{name}==\S+$", pins.lower(), re.MULTILINE), requirement


@pytest.mark.parametrize("name", ["hydra-core", "omegaconf", "lightning", "wandb", "gradio", "optuna", "submitit"])
def test_dependencies_whose_private_parts_are_used_have_an_upper_bound(name: str) -> None:
    extras = PROJECT["optional-dependencies"].values()
    requirements = [text for group in (PROJECT["dependencies"], *extras) for text in group]
    (requirement,) = [text for text in requirements if re.split(r"[<>=]", text)[0] == name]
    assert "<" in requirement


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = folder.glob("*.whl")
    return found


def test_wheel_has_the_package_its_settings_and_bundled_files_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {"adain_lit", "hydra_plugins", f"adain_lit-{wheel.name.split('-')[1]}.dist-info"}
    missing = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "conf").rglob("*.yaml")
        if f"adain_lit/{path.relative_to(ROOT).as_posix()}" not in names
    }
    assert missing == set()
    assert sum(name.endswith(".safetensors") for name in names) == 2  # compact and distilled
    assert sum(name.endswith(".onnx") for name in names) == 1  # compact, the graph
    assert sum(name.endswith(".webp") for name in names) == 68  # demo paintings
    assert not [name for name in names if "conftest" in name or "/test" in name]


def test_wheel_trains_from_another_folder(wheel: Path, tmp_path: Path, photographs: Path, paintings: Path) -> None:
    """Unpacked and run with nothing of the checkout in reach."""
    site = tmp_path / "site"
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([sys.executable, "-m", *install], check=True)
    # -S leaves out the site folder and with it the editable install; its libraries are put back behind the wheel
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    code = (
        f"import sys; sys.path[:0] = {[str(site), *libraries]}; import adain_lit, adain_lit.train; "
        f"assert adain_lit.__file__.startswith({str(site)!r}), adain_lit.__file__; adain_lit.train.main()"
    )
    folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
    arguments = [sys.executable, "-S", "-c", code, *TINY, *folders, "experiment=ablation_bndec"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(arguments, cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list(elsewhere.glob("outputs/ablation_bndec/*/curves.png"))) == 1
