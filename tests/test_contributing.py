"""What CONTRIBUTING promises: a new fusion is one function, one entry and one file; a decoder option is two files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from adain_lit import evaluate, stylize, train
from adain_lit.functional import adain
from adain_lit.nets import FUSIONS
from adain_lit.nets.fusion import Fusion
from support.commands import run_here, tiny
from support.documents import ROOT, code_blocks, commands
from support.images import small
from support.runs import only_run

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.fixture
def fusion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example, word for word, put where it says; its name."""
    function, entry = code_blocks(TEXT, "python")
    (experiment,) = code_blocks(TEXT, "yaml")
    names = dict(vars(adain))
    exec(function, names)
    (added,) = eval("{" + entry + "}", names | {"Fusion": Fusion}).items()
    monkeypatch.setitem(FUSIONS, *added)
    name: str = yaml.safe_load(experiment)["model"]["fusion"]
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / f"{name}.yaml").write_text(experiment)
    return name


def test_new_fusion_trains_is_compared_and_stylises(
    fusion: str,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracle: its own row of the table, and an image of the content's size; the commands are the document's."""
    monkeypatch.chdir(tmp_path)
    (training,) = commands(TEXT, "adain_lit.train")
    assert run_here(train.main, ["--config-dir", "conf", *tiny(photographs, paintings), *training], monkeypatch) == 0
    run = only_run(tmp_path, fusion)
    folders = ["data=folders", f"data.content_dir={photographs}", f"data.style_dir={paintings}", "output=e.json"]
    (evaluation,) = ([text.replace("RUN", str(run)) for text in c] for c in commands(TEXT, "adain_lit.evaluate"))
    sizes = ["data.resize=40", "data.crop=32", "contents=2", "styles=2"]
    assert run_here(evaluate.main, [*evaluation, *folders, *sizes], monkeypatch) == 0
    rows = json.loads(Path("e.json").read_text())["results"]
    assert list(rows) == ["stylised", fusion, "content image", "style image"]
    assert rows[fusion]["loss"] not in [rows[name]["loss"] for name in rows if name != fusion]
    assert f" {fusion} " in capfd.readouterr().out
    small("coffee.png").save("photo.jpg")
    small("chelsea.png").save("painting.jpg")
    (use,) = ([text.replace("RUN", str(run)) for text in c] for c in commands(TEXT, "adain_lit.stylize"))
    assert run_here(stylize.main, use, monkeypatch) == 0
    with Image.open("photo_stylized_painting.jpg") as made:
        assert made.size == (96, 72)


def test_new_fusion_obeys_its_mask(fusion: str) -> None:
    """Oracle: what the runtime controls ask of every fusion; see the tests of the table."""
    fuse = FUSIONS[fusion].fuse
    content, style, mask = torch.rand(1, 4, 5, 6), torch.rand(1, 4, 3, 7), torch.zeros(1, 1, 5, 6)
    mask[..., :3] = 1
    out = fuse(content, style, mask)
    torch.testing.assert_close(out[..., 3:], fuse(content, content)[..., 3:])
    torch.testing.assert_close(out[..., :3].mean((2, 3)), style.mean((2, 3)))


USE = """
import sys, torch
from adain_lit.weights import load_network, save_network

net = load_network(sys.argv[1])
save_network(net, "net.safetensors", card={}, half=False)
again = load_network("net.safetensors")
print(*(n.config.output_activation for n in (net, again, load_network("compact"))))
image = torch.rand(1, 3, 32, 32)
made = again(image, image.flip(3))
assert torch.equal(made, net(image, image.flip(3)))
again.decoder.config.output_activation = "none"
assert not torch.allclose(made, again(image, image.flip(3)), atol=1e-3)
"""
"""The option is in a checkpoint, in a file that is written from it and in one from before there was the option."""


@pytest.mark.slow
def test_new_decoder_option_is_two_files_and_reaches_everything(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the document's difference, applied to a copy of the package; each command in a process of its own."""
    (difference,) = code_blocks(TEXT, "diff")
    assert difference.count("+++ b/") == 2
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], input=difference, text=True, cwd=tmp_path, check=True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=os.environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = ["-m", "adain_lit.train", "model.output_activation=sigmoid"]
    assert " ".join(command) in TEXT
    run(*command, *tiny(photographs, paintings))
    checkpoint = only_run(tmp_path) / "checkpoints" / "last.ckpt"
    assert run("-c", USE, str(checkpoint)).split() == ["sigmoid", "sigmoid", "none"]
    described = "model.output_activation=none after the decoder's last convolution: none (Sec. 6.1) or sigmoid"
    assert described in " ".join(run("-m", "adain_lit.train", "--help").split())
