"""ONNX Runtime makes torch's images without torch, and refuses what it cannot do."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import adain_lit
from adain_lit import stylize
from adain_lit.data.demo import STYLE_FOLDER
from adain_lit.errors import InputError
from adain_lit.inference.onnx import BUNDLED_FOLDER, MAX_PIXELS, OnnxStylizer
from adain_lit.inference.stylizer import Stylizer
from adain_lit.io.images import read_image
from adain_lit.weights.files import BUNDLED
from support.commands import run_here, run_without
from support.images import small

STYLE = STYLE_FOLDER / "mosaic-1000.webp"


@pytest.fixture(scope="module")
def stylizer() -> Stylizer:
    return adain_lit.load("compact", device="cpu")


@pytest.fixture(scope="module")
def onnx_stylizer() -> OnnxStylizer:
    return OnnxStylizer()


def test_graph_of_the_bundled_network_is_that_of_its_weights(onnx_stylizer: OnnxStylizer) -> None:
    """Where this fails the weights are new: run ``python tools/bundled_graph.py``."""
    assert onnx_stylizer.metadata["weights_sha256"] == BUNDLED["compact"]


@pytest.mark.parametrize(
    ("content_size", "style_size", "options"),
    [
        ((120, 91), (80, 96), {}),
        ((88, 120), (77, 50), {"alpha": 0.6, "size": 70, "style_size": 60}),
        ((7, 13), (5, 40), {"style_size": None}),
    ],
)
def test_image_is_that_of_torch(
    stylizer: Stylizer,
    onnx_stylizer: OnnxStylizer,
    content_size: tuple[int, int],
    style_size: tuple[int, int],
    options: dict[str, float],
) -> None:
    """Oracle: the same network in torch, within 1 of 255."""
    content, style = small("coffee.png", content_size), small("chelsea.png", style_size)
    expected = np.asarray(stylizer(content, style, **options), dtype=int)  # type: ignore[arg-type]
    found = np.asarray(onnx_stylizer(content, style, **options), dtype=int)  # type: ignore[arg-type]
    assert found.shape == expected.shape
    assert expected.std() > 10
    assert np.abs(found - expected).max() <= 1


def test_command_stylises_where_torch_cannot_be_imported(stylizer: Stylizer, tmp_path: Path) -> None:
    """A folder of two, in a process without torch; oracle: torch's image, through a PNG file."""
    (tmp_path / "photos").mkdir()
    for name in ("coffee.png", "rocket.jpg"):
        small(name, (64, 48)).save(tmp_path / "photos" / f"{Path(name).stem}.png")
    code = (
        "from adain_lit.stylize import main\n"
        "sys.argv[1:] = ['photos', '-s', sys.argv[1], '--backend', 'onnx', '--style-size', '64', '-o', 'made']\n"
        "status = main()\n"
        "assert sys.modules['torch'] is None and not {'scipy', 'matplotlib', 'hydra'} & set(sys.modules)\n"
        "sys.exit(status)\n"
    )
    done = run_without(["torch", "torchvision"], code, STYLE, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expected = stylizer(tmp_path / "photos" / "coffee.png", STYLE, style_size=64)
    difference = np.asarray(read_image(tmp_path / "made" / "coffee.png"), int) - np.asarray(expected, int)
    assert np.abs(difference).max() <= 1
    assert (tmp_path / "made" / "rocket.png").is_file()


def test_broken_files_do_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("photos/broken.png").write_text("no image")
    small("coffee.png", (40, 32)).save("photos/whole.png")
    arguments = ["photos", "-s", str(STYLE), "--backend", "onnx", "--style-size", "40", "-o", "made"]
    assert run_here(stylize.main, arguments, monkeypatch) == 1
    assert "cannot read photos/broken.png as an image" in capsys.readouterr().err
    assert [path.name for path in Path("made").iterdir()] == ["whole.png"]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--preserve-color"], "--backend onnx cannot do --preserve-color; leave out the backend, or that"),
        (["--alpha", "-1"], "alpha is -1.0; it must be from 0 (content) to 1 (style), or slightly more"),
        (
            ["--checkpoint", "net.ckpt"],
            "the ONNX backend cannot read net.ckpt; give compact or an .onnx file (python -m adain_lit.export net.ckpt "
            "network.onnx)",
        ),
        (["--checkpoint", "damaged.onnx"], "cannot read damaged.onnx: "),
    ],
)
def test_what_the_backend_cannot_do_is_one_line(
    options: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.onnx").write_bytes(b"\x08\x01no model")
    small("coffee.png").save("photo.png")
    arguments = ["photo.png", "-s", str(STYLE), "--backend", "onnx", *options]
    assert run_here(stylize.main, arguments, monkeypatch) == 2
    assert capsys.readouterr().err.startswith(f"adain_lit.stylize: error: {line}")


def test_without_onnx_runtime_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"the ONNX backend needs onnxruntime; pip install 'adain_lit\[export\]'"):
        OnnxStylizer()


def test_weights_other_than_the_graph_s_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in BUNDLED_FOLDER.glob("compact.*"):
        shutil.copy(path, tmp_path)
    OnnxStylizer(tmp_path / "compact.onnx")
    weights = bytearray((tmp_path / "compact.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "compact.safetensors").write_bytes(weights)
    monkeypatch.setattr("adain_lit.inference.onnx.BUNDLED_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"compact\.safetensors is not what compact\.onnx was made for"):
        OnnxStylizer()


def test_images_that_would_need_tiles_are_refused(onnx_stylizer: OnnxStylizer) -> None:
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(InputError, match=rf"^an image is \d+x{side}, and the ONNX backend makes no tiles; "):
        onnx_stylizer(small("coffee.png"), STYLE, size=side)
