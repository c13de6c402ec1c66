"""What the documents say exists and runs; modules import lower floors only; a wheel is complete."""

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from adain_lit import app, benchmark, evaluate, export, prepare, report, stylize, train
from adain_lit.config.paths import conf_dir
from adain_lit.config.resolvers import register_resolvers
from support.commands import TINY, run_here
from support.configurations import composed
from support.documents import ROOT, code_blocks, commands
from support.images import small
from support.videos import moving, write_video

README = (ROOT / "README.md").read_text("utf-8")
SCALING = (ROOT / "docs" / "scaling.md").read_text("utf-8")
PAPER_MAP = (ROOT / "docs" / "paper_map.md").read_text("utf-8")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
        assert run_here(train.main, [*TINY, *folders], patch) == 0
    (found,) = folder.glob("outputs/*/*/checkpoints/best.ckpt")
    return found


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.train"), ids=" ".join)
def test_every_training_command_of_readme_runs(
    arguments: list[str],
    checkpoint: Path,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command itself, with small images, two steps and random weights in place of what takes hours."""
    monkeypatch.chdir(tmp_path)
    resumed = tmp_path / "outputs" / "enc_adain_dec"
    resumed.mkdir(parents=True)
    (resumed / "2026-01-01_00-00-00").symlink_to(checkpoint.parents[1])
    small("coffee.png").save("painting.jpg")
    swapped = [text for text in arguments if not re.match(r"data=|data\.\w+_dir=|trainer\.max_steps=", text)]
    folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
    encoder = ["model.encoder=random", "model.encoder_widths=compact"] if "scale=paper" in arguments else []
    scale = [] if "--help" in arguments else [*TINY, *folders, *encoder]
    assert run_here(train.main, [*swapped, *scale], monkeypatch) == 0


@pytest.mark.parametrize("arguments", commands(SCALING, "adain_lit.train"), ids=" ".join)
def test_every_training_command_of_scaling_composes(arguments: list[str]) -> None:
    """With the first of the values that a setting takes in turn."""
    register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        first = [
            f"{override.get_key_element()}={next(override.sweep_string_iterator())}"
            if override.is_sweep_override()
            else str(override.input_line)
            for override in parser.parse_overrides([text for text in arguments if text != "-m"])
        ]
        compose("train", first, return_hydra_config=True)


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.evaluate"), ids=" ".join)
def test_every_evaluation_command_of_readme_runs(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(checkpoint.parents[1])
    assert run_here(evaluate.main, [text.replace("RUN", run) for text in arguments], monkeypatch) == 0


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.report"), ids=" ".join)
def test_every_report_command_of_readme_runs(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("RUN", "OTHER_RUN"):
        copytree(checkpoint.parents[1], name, ignore=ignore_patterns("checkpoints"))
    assert run_here(report.main, arguments, monkeypatch) == 0
    assert (tmp_path / "outputs" / "report" / "report.html").is_file()


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.benchmark"), ids=" ".join)
def test_every_benchmark_command_of_readme_runs(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, at one small size and without the processes that measure memory."""
    monkeypatch.chdir(tmp_path)
    tiny = ["sizes=[32]", "images=1", "warmup=0", "memory=false"]
    assert run_here(benchmark.main, [*arguments, *tiny], monkeypatch) == 0


@pytest.mark.parametrize("document", ["README.md", "docs/data.md"])
def test_every_prepare_command_of_the_documents_parses(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands((ROOT / document).read_text("utf-8"), "adain_lit.prepare")
    assert found
    for arguments in found:
        prepare.parser().parse_args(arguments)


@pytest.fixture
def images(tmp_path: Path, photographs: Path, paintings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that README's commands name; the commands run there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PHOTOS").symlink_to(photographs)
    (tmp_path / "PAINTINGS").symlink_to(paintings)
    small("chelsea.png").save("photo.jpg")
    for name in ("painting", "other", "a", "b", "c", "d"):
        small("coffee.png").save(f"{name}.jpg")
    for name in ("sky", "ground"):
        Image.new("L", (96, 72), 255).save(f"{name}.png")
    write_video(tmp_path / "video.mp4", moving(3, (96, 72)))
    return tmp_path


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.stylize"), ids=" ".join)
def test_every_stylize_command_of_readme_runs(
    arguments: list[str], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(images.rglob("*"))
    assert run_here(stylize.main, arguments, monkeypatch) == 0
    assert set(images.rglob("*")) > before


@pytest.mark.parametrize("arguments", commands(README, "adain_lit.export"), ids=" ".join)
def test_every_export_command_of_readme_runs(
    arguments: list[str], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(checkpoint.parents[1])
    assert run_here(export.main, [text.replace("RUN", run) for text in arguments], monkeypatch) == 0
    assert len(list(tmp_path.iterdir())) == 1


def scaling_commands() -> list[tuple[str, str]]:
    """Module and arguments of every command of docs/scaling.md but the sweeps, whatever starts it."""
    joined = "\n".join(code_blocks((ROOT / "docs" / "scaling.md").read_text("utf-8"), "bash")).replace("\\\n", " ")
    found = re.findall(r"-m adain_lit\.(\w+)([^#\n]*)", joined)
    return [(module, arguments) for module, arguments in found if not arguments.lstrip().startswith("-m ")]


@pytest.mark.parametrize(("module", "arguments"), scaling_commands())
def test_commands_on_several_devices_compose(module: str, arguments: str, tmp_path: Path) -> None:
    cfg = composed(*shlex.split(arguments), command=module, output=str(tmp_path))
    assert module == "evaluate" or cfg.trainer.strategy


def test_app_commands_of_readme_parse() -> None:
    found = commands(README, "adain_lit.app")
    assert found
    for arguments in found:
        app.parser().parse_args(arguments)


def test_python_of_readme_runs(images: Path) -> None:
    (code,) = code_blocks(README, "python")
    variables: dict[str, Any] = {}
    exec(code, variables)
    assert variables["image"].size == variables["mixed"].size == (96, 72)


def test_experiments_of_readme_are_those_that_exist() -> None:
    for path in (conf_dir() / "experiment").glob("*.yaml"):
        assert f"`{path.stem}`" in README, path.stem


def test_paper_map_names_what_exists() -> None:
    names = re.findall(r"`((?:adain_lit|torch)\.[\w.]+)`", PAPER_MAP)
    assert len(names) > 20
    for name in names:
        resolve(name)
    files = re.findall(r"`(conf/[\w./]+)`", PAPER_MAP)
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file


def resolve(name: str) -> Any:
    """The object that a dotted name stands for."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise AssertionError(f"{name} does not exist")


def test_modules_import_lower_floors_only() -> None:
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_source_files_are_short() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_constraints_pin_every_dependency() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    for requirement in (*project["dependencies"], *extras):
        if requirement.startswith("adain_lit["):  # its own extras
            continue
        name = re.split(r"[<>=]", requirement)[0].lower().replace("_", "[_-]").replace("-", "[_-]")
        assert re.search(rf"^{name}==\S+$", pins.lower(), re.MULTILINE), requirement


def test_wheel_trains_from_another_folder(tmp_path: Path, photographs: Path, paintings: Path) -> None:
    """Built, unpacked and run with nothing of the checkout in reach."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
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
