"""An inverse network learns to undo the encoder, also on features that were swapped."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adain_lit import train
from adain_lit.errors import InputError
from adain_lit.functional.matching import style_swap
from adain_lit.io.images import to_tensor
from adain_lit.tasks import InversionModule
from adain_lit.weights.networks import load_network
from support.commands import run_here, tiny
from support.images import small
from support.runs import only_run

RANDOM: dict[str, Any] = {"encoder": "random", "encoder_widths": "compact"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path) -> Path:
    """Folder of a run of 30 steps."""
    folder = tmp_path_factory.mktemp("inversion")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        steps = ["trainer.max_steps=30", "trainer.val_check_interval=10", "model.lr=3e-3"]
        given = [*tiny(photographs, paintings), "experiment=baseline_style_swap", *steps]
        assert run_here(train.main, given, patch) == 0
    return only_run(folder, "baseline_style_swap")


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    content, style = (
        torch.stack([to_tensor(small(name, (40, 40))) for name in names]) / 255
        for names in (("coffee.png", "rocket.jpg"), ("chelsea.png", "astronaut.png"))
    )
    return content, style


def test_losses_equal_formulas_written_out(pair: tuple[Tensor, Tensor]) -> None:
    """Oracle: each kind of image decoded and encoded again by itself."""
    torch.manual_seed(1)
    module = InversionModule(**RANDOM, norm="none", style_weight=0.3, pixel_weight=2.0, tv_weight=5.0).eval()
    net, (content, style) = module.net, pair
    with torch.no_grad():
        losses = module.losses(content, style)
        features = [net.encode(x)[0] for x in pair]
        swapped = style_swap(*features)
        made = [net.decode((x,), (40, 40)) for x in (*features, swapped)]
        again = [((net.encode(x)[0] - y) ** 2).mean((1, 2, 3)) for x, y in zip(made, (*features, swapped), strict=True)]
    assert (swapped - features[0]).abs().max() > 0.1
    expected = {
        "content_loss": again[2],
        "inversion_loss": (again[0] + again[1]) / 2,
        "pixel_loss": sum((x - y).abs().mean((1, 2, 3)) for x, y in zip(made[:2], pair, strict=True)) / 2,
        "tv_loss": sum(x.diff(dim=2).pow(2).mean((1, 2, 3)) + x.diff(dim=3).pow(2).mean((1, 2, 3)) for x in made) / 3,
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-3, atol=1e-6)
    total = sum(again) / 3 + 0.3 * losses["style_loss"] + 2 * expected["pixel_loss"] + 5 * expected["tv_loss"]
    torch.testing.assert_close(losses["loss"], total, rtol=1e-3, atol=1e-6)


def test_reconstruction_becomes_better(trained: Path) -> None:
    """Oracle: the losses of held-out images in the log."""
    with (trained / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/loss"]]
    assert [row["step"] for row in rows] == ["10", "20", "30"]
    for name in ("loss", "inversion_loss"):
        assert float(rows[-1][f"val/{name}"]) < float(rows[0][f"val/{name}"]), name


def test_trained_network_stylises_by_swapping(trained: Path, pair: tuple[Tensor, Tensor]) -> None:
    """Oracle: the module's decoder on features that were swapped by hand."""
    path = trained / "checkpoints" / "last.ckpt"
    net = load_network(path)
    module = InversionModule.load_from_checkpoint(path, weights_only=True).eval()
    assert (net.config.fusion, net.content_layer, net.config.norm) == ("style_swap", "relu3_1", "batch")
    with torch.no_grad():
        swapped = style_swap(*(net.encode(x)[0] for x in pair))
        expected = module.net.decode((swapped,), (40, 40)).clamp(0, 1)
        torch.testing.assert_close(net(*pair), expected)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"fusion": "concat"}, "fusion concat gives no features of the encoder, which alone can be inverted"),
        ({"pixel_weight": -1.0}, r"pixel_weight is -1.0; it must be 0 or more"),
        ({"tv_weight": float("nan")}, r"tv_weight is nan; it must be 0 or more"),
    ],
)
def test_what_cannot_be_trained_is_refused(setting: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=f"^{line}$"):
        InversionModule(**RANDOM, **setting)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("skip_layers", ["relu1_1"]),
        ("train_encoder", True),
        ("loss_encoder", "distilled"),
        ("skips_from", 5),
        ("identity_weight", 1.0),
        ("color_weight", 1.0),
    ],
)
def test_options_without_a_use_are_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        InversionModule(**RANDOM, **{name: value})
    assert str(caught.value) == f"{name} is {value}; the inverse network has no use for it, leave it out"


def test_command_refuses_options_without_a_use_in_one_line(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [*tiny(photographs, paintings), "model=inversion", "model.identity_weight=1"]
    assert run_here(train.main, given, monkeypatch) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == (
        "adain_lit.train: error: identity_weight is 1.0; the inverse network has no use for it, leave it out"
    )
