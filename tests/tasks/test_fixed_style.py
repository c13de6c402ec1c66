"""Networks for fixed styles are trained, resumed, given more styles."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adain_lit import evaluate, train
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.fixed_styles import read_styles
from adain_lit.data.pairs import PairBatch
from adain_lit.errors import InputError
from adain_lit.io.images import to_tensor
from adain_lit.losses import PerceptualLoss
from adain_lit.methods.fixed_styles import load_fixed_styles
from adain_lit.tasks import FixedStyleModule
from adain_lit.weights.encoders import load_encoder
from support.commands import run_here, tiny
from support.images import small
from support.networks import write_fixed_styles
from support.runs import assert_same, last, log_of, only_run

SMALL: dict[str, Any] = {"encoder": "random", "encoder_widths": "compact", "width": 4, "blocks": 1, "style_size": 40}


@pytest.fixture(scope="module")
def files(paintings: Path) -> list[Path]:
    return sorted(paintings.iterdir())


@pytest.fixture(scope="module")
def content() -> Tensor:
    names = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png")
    return torch.stack([to_tensor(small(name, (40, 40))) for name in names]) / 255


def module_for(files: list[Path], **settings: Any) -> FixedStyleModule:
    torch.manual_seed(2)
    return FixedStyleModule(styles=[str(path) for path in files], **SMALL | settings).eval()


def batch_of(content: Tensor, *numbers: int) -> PairBatch:
    return PairBatch(content, torch.zeros_like(content), torch.tensor(numbers), [])


@pytest.mark.parametrize("statistic", ["mean_std", "gram"])
def test_losses_are_those_of_the_paper_against_the_photograph_and_the_style_of_its_number(
    statistic: str, files: list[Path], content: Tensor
) -> None:
    """Oracle: `PerceptualLoss` one sample at a time, on features of an encoder that was loaded anew."""
    module = module_for(files[:3], norm="conditional", style_weight=3.0, style_statistic=statistic)
    criterion, phi = (
        PerceptualLoss(style_weight=3.0, style_statistic=statistic),
        load_encoder("random", widths="compact"),
    )
    styles = read_styles(files[:3], 40) / 255
    with torch.no_grad():
        losses = module.batch_losses(batch_of(content, 7, 3, 5, 6))
        for i, k in enumerate((1, 0, 2, 0)):
            made = module(content[[i]], styles[[k]])
            target = phi(content[[i]])["relu4_1"]
            expected = criterion(phi(made, criterion.layers), target, phi(styles[[k]], criterion.layers))
            for name, value in expected.items():
                torch.testing.assert_close(losses[name][[i]], value, rtol=1e-3, atol=1e-6)


def test_gradient_reaches_every_weight_of_the_network_and_none_of_the_encoder(
    files: list[Path], content: Tensor
) -> None:
    module = module_for(files[:2], norm="conditional")
    module.batch_losses(batch_of(content[:2], 0, 1))["loss"].sum().backward()
    reached = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    convolutions = {name for name, _ in module.net.named_parameters() if name.endswith("conv.bias")}
    expected = {f"net.{name}" for name, _ in module.net.named_parameters() if name not in convolutions}
    assert reached >= expected  # a bias before a normalisation has a gradient of rounding alone
    assert all(name.startswith("net.transformer.") for name in reached)


def settings_of(files: list[Path], *more: str) -> list[str]:
    styles = ",".join(map(str, files))
    network = ["transformer_width=4", "model.blocks=1", "model.encoder=random", "model.encoder_widths=compact"]
    return [f"model.styles=[{styles}]", *network, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path, files: list[Path]) -> Path:
    """Folder of a run of six steps with two styles."""
    folder = tmp_path_factory.mktemp("dumoulin")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        steps = ["experiment=baseline_dumoulin", "trainer.max_steps=6", "callbacks.checkpoints.every_n_steps=3"]
        steps += ["trainer.val_check_interval=4", "callbacks.checkpoints.keep_every_n_steps=3"]
        assert run_here(train.main, [*tiny(photographs, paintings), *settings_of(files[:2]), *steps], patch) == 0
    return only_run(folder, "baseline_dumoulin")


def test_run_leaves_pictures_of_its_own_styles_and_a_method(trained: Path, files: list[Path], content: Tensor) -> None:
    """Oracle: the module of the checkpoint."""
    path = trained / "checkpoints" / "last.ckpt"
    assert (trained / "grids" / "step_000006.png").is_file()
    saved = last(trained)
    assert saved["fixed_styles"] == {
        "files": [str(path) for path in files[:2]],
        "norm": "conditional",
        "styles": 2,
        "width": 4,
        "blocks": 1,
    }
    assert all(name.startswith("net.") for name in saved["state_dict"])
    module, method = FixedStyleModule.load_from_checkpoint(path, weights_only=True).eval(), load_fixed_styles(path)
    styles = read_styles([files[1], files[0], files[0], files[1]], 64) / 255
    with torch.no_grad():
        torch.testing.assert_close(method(content, styles), module(content, styles))


def test_network_is_evaluated_on_its_own_styles_with_the_network_of_its_losses(
    trained: Path, tmp_path: Path, content: Tensor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the module's losses of every held-out photograph in every style."""
    monkeypatch.chdir(tmp_path)
    path = trained / "checkpoints" / "last.ckpt"
    assert run_here(evaluate.main, [f"ckpt_path={path}", "method=network", "output=e.json"], monkeypatch) == 0
    result = json.loads(Path("e.json").read_text())
    module = FixedStyleModule.load_from_checkpoint(path, weights_only=True).eval()
    data = PairedDataModule(**torch.load(path, weights_only=True)["datamodule_hyper_parameters"])
    data.setup("validate")
    contents = data.held_out_pairs(styles=1).contents / 255
    with torch.no_grad():
        styles = [module.losses(contents, torch.full((len(contents),), k))["style_loss"] for k in (0, 1)]
    assert result["pairs"] == 2 * len(contents)
    assert {"stylised", "network", "content image", "style image"} <= result["results"].keys()
    expected = float(torch.stack(styles).mean())
    assert result["results"]["stylised"]["style_loss"]["mean"] == pytest.approx(expected, rel=1e-3)


def test_run_that_is_resumed_ends_with_the_same_bits(
    trained: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ["experiment=baseline_dumoulin", "trainer.max_steps=6", "trainer.val_check_interval=4"]
    resumed = [f"ckpt_path={trained}/checkpoints/step_000003.ckpt", "callbacks.checkpoints.keep_every_n_steps=3"]
    given = [*tiny(photographs, paintings), *settings_of(files[:2]), *steps, *resumed]
    assert run_here(train.main, given, monkeypatch) == 0
    again = only_run(tmp_path, "baseline_dumoulin")
    for key in ("state_dict", "optimizer_states", "encoder", "fixed_styles"):
        assert_same(last(again)[key], last(trained)[key])
    assert log_of(again) == log_of(trained)


def test_adding_a_style_trains_its_scale_and_shift_and_leaves_everything_else(
    trained: Path,
    tmp_path: Path,
    photographs: Path,
    paintings: Path,
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: the bits of the network that it is added to."""
    monkeypatch.chdir(tmp_path)
    base = trained / "checkpoints" / "last.ckpt"
    more = ["experiment=baseline_dumoulin", f"model.add_to={base}", "trainer.max_steps=3"]
    assert run_here(train.main, [*tiny(photographs, paintings), *settings_of(files[3:4]), *more], monkeypatch) == 0
    run = only_run(tmp_path, "baseline_dumoulin")
    before, after = last(trained)["state_dict"], last(run)["state_dict"]
    assert last(run)["fixed_styles"]["files"] == [str(files[i]) for i in (0, 1, 3)]
    for name, old in before.items():
        new = after[name]
        if name.endswith(("scale", "shift")):
            assert torch.equal(new[:2], old), name
            assert new.shape[0] == 3
            assert not torch.equal(new[2], old.mean(0)), name
        else:
            assert torch.equal(new[: len(old)] if "thumbnails" in name else new, old), name
    method = load_fixed_styles(run / "checkpoints" / "last.ckpt")
    content, styles = torch.rand(2, 3, 32, 32), read_styles(files[:2], 40) / 255
    torch.testing.assert_close(method(content, styles), load_fixed_styles(base)(content, styles))


def test_mistakes_are_refused(files: list[Path], tmp_path: Path) -> None:
    single = write_fixed_styles(tmp_path / "single.ckpt", files[:1])
    for settings, line in (
        (
            {"normalize": "contrast"},
            "cannot import normalize 'contrast'; needed is none or the dotted name of a function",
        ),
        ({"normalize": "not_installed.module.contrast"}, "cannot import normalize .* is in a checkout"),
        ({"add_to": str(single)}, "a network with norm instance has one style; only norm=conditional takes more"),
        ({"add_to": "nowhere.ckpt"}, "no checkpoint nowhere.ckpt"),
    ):
        with pytest.raises(InputError, match=line):
            module_for(files[:1], **settings)
    with pytest.raises(InputError, match="the checkpoint was not written by FixedStyleModule"):
        module_for(files[:1]).on_load_checkpoint({"encoder": {}})
