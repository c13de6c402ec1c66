"""Fusions, statistics and encoders of a user's module, as in docs/extend.md; files do not import them by themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import adain_lit
from adain_lit import evaluate, export, stylize, train, user_code
from adain_lit.errors import InputError
from adain_lit.inference.onnx import OnnxStylizer
from adain_lit.nets import Fusion, VGGEncoder
from adain_lit.nets.fusion import named_fusion
from adain_lit.weights import load_encoder, save_encoder, save_network
from support.commands import run_here, tiny
from support.documents import DOCS, code_blocks, commands
from support.images import small
from support.networks import small_network
from support.runs import only_run

GUIDE = (DOCS / "extend.md").read_text("utf-8")


@pytest.fixture(scope="module")
def my_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's module and configuration."""
    folder = tmp_path_factory.mktemp("own")
    (module,), (experiment,) = code_blocks(GUIDE, "python"), code_blocks(GUIDE, "yaml")
    more = "\n\nclass Mine(VGGEncoder):\n    pass\n\n\ndef subclass(last):\n    return Mine('compact', last)\n"
    broken = "\n\ndef untraceable(content, style, mask=None):\n    return content * float(style.mean())\n"
    (folder / "my_module.py").write_text(module + more + broken)
    (folder / "my_conf" / "experiment").mkdir(parents=True)
    (folder / "my_conf" / "experiment" / "mine.yaml").write_text(experiment)
    return folder


@pytest.fixture(autouse=True)
def found(my_module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is in reach, and nothing has named it yet."""
    monkeypatch.syspath_prepend(str(my_module))
    monkeypatch.setattr(user_code, "_imported", set())


@pytest.fixture(scope="module")
def run(my_module: Path, photographs: Path, paintings: Path) -> Path:
    """A run of the guide's experiment with its statistic and encoder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(user_code, "_imported", set())
        patch.syspath_prepend(str(my_module))
        patch.chdir(my_module)
        _, statistic, own = commands(GUIDE, "adain_lit.train")
        assert run_here(train.main, [*own, *statistic, *tiny(photographs, paintings)], patch) == 0
    return only_run(my_module, "mine")


def test_run_of_own_fusion_statistic_and_encoder_is_evaluated_stylises_and_is_exported(
    run: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commands of the guide; oracle for the encoder: a grey image and the image itself have the same features."""
    monkeypatch.setenv("ADAIN_IMPORT", "other,my_module")
    monkeypatch.chdir(tmp_path)
    small("coffee.png").save("photo.jpg")
    small("chelsea.png").save("painting.jpg")
    folders = [f"data.content_dir={photographs}", f"data.style_dir={paintings}", "data.resize=40", "data.crop=32"]
    for main, command, more in (
        (evaluate.main, "evaluate", ["data=folders", *folders, "contents=2", "styles=2", "output=made.json"]),
        (stylize.main, "stylize", []),
        (export.main, "export", []),
    ):
        (arguments,) = commands(GUIDE, f"adain_lit.{command}")
        assert run_here(main, [text.replace("RUN", str(run)) for text in arguments] + more, monkeypatch) == 0, command
    assert json.loads(Path("made.json").read_text())["model"]["style_statistic"] == "my_module.my_statistic"
    with Image.open("photo_stylized_painting.jpg") as made:
        assert made.size == (96, 72)
    nets = [adain_lit.load(source, device="cpu").net for source in (run, "network.safetensors")]
    assert [net.config.fusion for net in nets] == ["my_module.my_fusion"] * 2
    color = torch.rand(1, 3, 32, 32)
    ours, grey = (nets[0].encode(x)[0] for x in (color, color.mean(1, keepdim=True).expand_as(color)))
    torch.testing.assert_close(ours, grey, atol=1e-4, rtol=1e-4)


def test_file_does_not_import_what_it_names(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = "has the fusion my_module.my_fusion, code that loading does not run by itself; if you trust it, set the"
    with pytest.raises(InputError, match=line):
        adain_lit.load(run)
    save_network(small_network(last="relu2_1", fusion="my_module.my_fusion"), tmp_path / "net.safetensors", card={})
    monkeypatch.setattr(user_code, "_imported", set())
    with pytest.raises(InputError, match=line):
        adain_lit.load(tmp_path / "net.safetensors")
    monkeypatch.setenv("ADAIN_IMPORT", "my_module")
    assert adain_lit.load(tmp_path / "net.safetensors").net.config.fusion == "my_module.my_fusion"


def test_dotted_names_are_functions_or_fusions(monkeypatch: pytest.MonkeyPatch) -> None:
    import my_module as module

    content, style = torch.rand(1, 4, 5, 6), torch.rand(1, 4, 3, 7)
    fused = named_fusion("my_module.my_fusion").fuse(content, style)
    torch.testing.assert_close(fused.mean((2, 3)), style.mean((2, 3)))
    own = Fusion(module.my_fusion, channels=2)
    monkeypatch.setattr(module, "two", own, raising=False)
    assert named_fusion("my_module.two") is own


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "nowhere.mine",
            "fusion nowhere.mine cannot be imported: No module named 'nowhere'; run in the folder of the mod",
        ),
        ("my_module.other", "fusion my_module.other cannot be imported: module 'my_module' has no attribute 'other'; "),
        ("my_module.__name__", "fusion my_module.__name__ is a str; needed is a function or a Fusion"),
    ],
)
def test_names_of_nothing_are_one_line(name: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        named_fusion(name)
    assert str(caught.value).startswith(line)


def test_encoder_function_gives_an_encoder_deep_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    import my_module as module

    monkeypatch.setattr(module, "shallow", lambda last: VGGEncoder("compact", "relu2_1"), raising=False)
    monkeypatch.setattr(module, "nothing", lambda last: 3, raising=False)
    needed = "needed is an adain_lit.nets.VGGEncoder that reaches relu4_1"
    with pytest.raises(InputError, match=f"encoder my_module.shallow gives ending at relu2_1; {needed}"):
        load_encoder("my_module.shallow")
    with pytest.raises(InputError, match=f"encoder my_module.nothing gives a int; {needed}"):
        load_encoder("my_module.nothing")


def test_subclass_of_an_encoder_is_not_written_without_its_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the encoder is a Mine, whose code no \.safetensors file holds"):
        save_encoder(load_encoder("my_module.subclass", last="relu2_1"), tmp_path / "encoder.safetensors", card={})


@pytest.mark.slow
def test_own_fusion_is_exported_to_onnx_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: the network in torch, within 1 of 255."""
    monkeypatch.chdir(tmp_path)
    nets: dict[str, Any] = {}
    for name in ("my_fusion", "untraceable"):
        nets[name] = small_network(last="relu2_1", fusion=f"my_module.{name}")
        save_network(nets[name], f"{name}.safetensors", card={}, half=False)
    assert run_here(export.main, ["my_fusion.safetensors", "net.onnx"], monkeypatch) == 0
    content, style = small("coffee.png"), small("chelsea.png")
    expected = adain_lit.load("my_fusion.safetensors", device="cpu")(content, style, style_size=None)
    made = OnnxStylizer("net.onnx")(content, style, style_size=None)
    pairs = zip(made.tobytes(), expected.tobytes(), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= 1
    assert run_here(export.main, ["untraceable.safetensors", "no.onnx"], monkeypatch) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("adain_lit.export: error: fusion my_module.untraceable cannot be exported as a graph: ")
    assert line.endswith("; give an output in .safetensors")
