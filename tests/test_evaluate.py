"""The figures of the evaluation, against formulas written out again and scikit-image."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.metrics import structural_similarity

from adain_lit import evaluate, train
from adain_lit.data.datamodule import PairedDataModule
from adain_lit.data.fixed_styles import read_styles
from adain_lit.evaluation.metrics import in_order
from adain_lit.methods.fixed_styles import load_fixed_styles
from adain_lit.nets import VGGEncoder
from adain_lit.nets.vgg import initialise_randomly
from adain_lit.tasks import StyleTransferModule
from adain_lit.weights.encoders import load_encoder
from adain_lit.weights.networks import load_network, save_network
from support.commands import run_here, tiny
from support.networks import small_network, write_fixed_styles
from support.ranks import torchrun_environment


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, photographs: Path, paintings: Path
) -> tuple[Path, dict[str, Any]]:
    """Checkpoint of a short run, and its evaluation on 3 photographs x 2 paintings."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        held_out = [f"data.val_content_dir={photographs}", f"data.val_style_dir={paintings}"]
        assert run_here(train.main, [*tiny(photographs, paintings), *held_out], patch) == 0
        (checkpoint,) = folder.glob("outputs/*/*/checkpoints/last.ckpt")
        arguments = [f"ckpt_path={checkpoint}", "contents=3", "styles=2", "batch_size=4"]
        assert run_here(evaluate.main, arguments, patch) == 0
    (output,) = folder.glob("outputs/evaluate/*/evaluation.json")
    result: dict[str, Any] = json.loads(output.read_text())
    return checkpoint, result


def stats(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and population standard deviation per channel, (C, H, W) to (C,)."""
    cells = x.double().flatten(1).numpy()
    return cells.mean(1), np.sqrt(((cells - cells.mean(1, keepdims=True)) ** 2).mean(1) + 1e-5)


def test_figures_equal_formulas_written_out_pair_by_pair(evaluated: tuple[Path, dict[str, Any]]) -> None:
    """Oracle: Eqs. 8, 12 and 13 in NumPy, and SSIM by scikit-image, one pair at a time."""
    checkpoint, result = evaluated
    module = StyleTransferModule.load_from_checkpoint(checkpoint, weights_only=True).eval()
    data = PairedDataModule(**torch.load(checkpoint, weights_only=True)["datamodule_hyper_parameters"])
    data.setup("validate")
    held_out = data.held_out_pairs(contents=3, styles=2)
    layers = [f"relu{i}_1" for i in (1, 2, 3, 4)]
    rows: dict[str, list[dict[str, float]]] = {"stylised": [], "content image": [], "style image": []}
    with torch.no_grad():
        for c in held_out.contents.unsqueeze(1) / 255:
            for s in held_out.styles.unsqueeze(1) / 255:
                content, style = module.net.encoder(c, layers), module.net.encoder(s, layers)
                (mean, std), (style_mean, style_std) = stats(content["relu4_1"][0]), stats(style["relu4_1"][0])
                normalised = (content["relu4_1"][0].double().numpy() - mean[:, None, None]) / std[:, None, None]
                target = normalised * style_std[:, None, None] + style_mean[:, None, None]
                for name, image in (("stylised", module(c, s)), ("content image", c), ("style image", s)):
                    features = module.net.encoder(image, layers)
                    row = {"content_loss": float(((features["relu4_1"][0].numpy() - target) ** 2).mean())}
                    for layer in layers:
                        pairs = zip(stats(features[layer][0]), stats(style[layer][0]), strict=True)
                        row[f"style_loss/{layer}"] = float(sum(((a - b) ** 2).mean() for a, b in pairs))
                    own = content["relu4_1"][0].numpy()
                    row["content_distance"] = float(((features["relu4_1"][0].numpy() - own) ** 2).mean())
                    row["style_loss"] = sum(row[f"style_loss/{layer}"] for layer in layers)
                    a, b = (x[0].permute(1, 2, 0).numpy() for x in (image, c))
                    row["ssim"] = structural_similarity(
                        a, b, channel_axis=2, data_range=1.0, gaussian_weights=True, use_sample_covariance=False
                    )
                    rows[name].append(row)
    assert result["pairs"] == 6
    for name, expected in rows.items():
        for key in expected[0]:
            values = [row[key] for row in expected]
            got = result["results"][name][key]
            assert got["mean"] == pytest.approx(np.mean(values), rel=1e-3, abs=1e-5), (name, key)
            assert got["std"] == pytest.approx(np.std(values), rel=1e-3, abs=1e-5), (name, key)


def test_reconstruction_is_the_similarity_of_a_picture_styled_by_itself(
    evaluated: tuple[Path, dict[str, Any]],
) -> None:
    """Oracle: scikit-image's SSIM of T(c, c) to c; the references give the image back."""
    checkpoint, result = evaluated
    net = load_network(checkpoint)
    data = PairedDataModule(**torch.load(checkpoint, weights_only=True)["datamodule_hyper_parameters"])
    data.setup("validate")
    values = []
    with torch.no_grad():
        for c in data.held_out_pairs(contents=3, styles=2).contents.unsqueeze(1) / 255:
            a, b = (x[0].permute(1, 2, 0).numpy() for x in (net(c, c), c))
            values.append(
                structural_similarity(
                    a, b, channel_axis=2, data_range=1.0, gaussian_weights=True, use_sample_covariance=False
                )
            )
    got = result["results"]["stylised"]["reconstruction"]
    assert got["mean"] == pytest.approx(np.mean(values), rel=1e-3, abs=1e-5)
    assert result["results"]["content image"]["reconstruction"]["mean"] == pytest.approx(1.0)


def test_methods_and_another_measuring_network_can_be_asked_for(
    evaluated: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gatys' pixels and the bundled network in the same table, measured on a network of their own."""
    monkeypatch.chdir(tmp_path)
    encoder = VGGEncoder("compact")
    initialise_randomly(encoder, seed=1)
    state = {key: value.contiguous() for key, value in encoder.state_dict().items()}
    save_file(state, tmp_path / "phi.safetensors", {"input": "BGR"})
    arguments = [f"ckpt_path={evaluated[0]}", "contents=2", "styles=1", "method=[gatys,network]"]
    asked = ["method.gatys.iterations=30", "method.gatys.optimizer=adam", "loss_encoder=[phi.safetensors]"]
    assert run_here(evaluate.main, [*arguments, *asked, "unit_mean_images=2", "output=e.json"], monkeypatch) == 0
    result = json.loads(Path("e.json").read_text())
    rows = result["results"]
    assert list(rows) == [
        "stylised",
        "as in training",
        "at the start",
        "gatys",
        "network",
        "content image",
        "style image",
    ]
    assert result["measured_with"] == ["phi.safetensors"]
    total = {name: row["content_loss"]["mean"] + 10 * row["style_loss"]["mean"] for name, row in rows.items()}
    assert total["gatys"] < 0.5 * min(total["content image"], total["stylised"])


def test_measuring_network_that_is_scaled_already_is_left_alone(
    evaluated: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the distance of the two images' features of the bundled encoder, by hand."""
    monkeypatch.chdir(tmp_path)
    checkpoint, _ = evaluated
    arguments = [f"ckpt_path={checkpoint}", "contents=1", "styles=1", "loss_encoder=distilled", "unit_mean_images=0"]
    assert run_here(evaluate.main, [*arguments, "output=e.json"], monkeypatch) == 0
    data = PairedDataModule(**torch.load(checkpoint, weights_only=True)["datamodule_hyper_parameters"])
    data.setup("validate")
    pair = data.held_out_pairs(contents=1, styles=1)
    encoder = load_encoder("distilled")
    with torch.no_grad():
        content, style = (encoder(x / 255, ("relu4_1",))["relu4_1"] for x in (pair.contents, pair.styles))
    row = json.loads(Path("e.json").read_text())["results"]["style image"]
    assert row["content_distance"]["mean"] == pytest.approx(float(((content - style) ** 2).mean()), rel=1e-3)


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that swaps patches, with a random decoder."""
    path = tmp_path_factory.mktemp("swap") / "swap.safetensors"
    save_network(small_network(fusion="style_swap", last="relu3_1"), path, card={})
    return path


def test_every_method_stands_in_one_table_on_the_styles_that_the_fixed_ones_know(
    evaluated: tuple[Path, dict[str, Any]],
    swap: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracle: the style image has the style; what a network for fixed styles makes of them, by itself."""
    monkeypatch.chdir(tmp_path)
    files = sorted(paintings.iterdir())
    one = write_fixed_styles(tmp_path / "one.ckpt", files[3:4])
    two = write_fixed_styles(tmp_path / "two.ckpt", files[1:4:2], norm="conditional", seed=1)
    methods = ["method=[gatys,network,style_swap,fixed_style]", "method.gatys.iterations=2"]
    methods += [f"method.style_swap.source={swap}", f"method.fixed_style.source=[{one},{two}]"]
    compared = [f"+compare.many={two}", "+compare.bundled=compact"]
    given = [f"ckpt_path={evaluated[0]}", "contents=2", *methods, *compared, "output=e.json"]
    assert run_here(evaluate.main, given, monkeypatch) == 0
    result = json.loads(Path("e.json").read_text())
    rows = result["results"]
    names = ["many", "bundled", "gatys", "network", "style_swap", "fixed_style"]
    assert list(rows) == ["stylised", "as in training", "at the start", *names, "content image", "style image"]
    printed = capfd.readouterr().out
    assert all(re.search(rf"^ +{name} ", printed, re.MULTILINE) for name in rows), printed
    assert result["fixed_styles"] == [str(files[1]), str(files[3])]
    assert (result["pairs"], result["styles"]) == (4, 2)
    assert rows["style image"]["style_loss"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert rows["network"] == rows["bundled"]
    without = {name for name, row in rows.items() if "reconstruction" not in row}
    assert without == {"as in training", "at the start", "many", "fixed_style"}
    for row in rows.values():
        total = row["content_loss"]["mean"] + result["style_weight"] * row["style_loss"]["mean"]
        assert row["loss"]["mean"] == pytest.approx(total, rel=1e-4)
    net, phi = load_fixed_styles(two), load_network(evaluated[0]).encoder
    data = PairedDataModule(**torch.load(evaluated[0], weights_only=True)["datamodule_hyper_parameters"])
    data.setup("validate")
    contents = data.held_out_pairs(contents=2, styles=1).contents / 255
    values = []
    with torch.no_grad():
        for style in read_styles(result["fixed_styles"], 32).unsqueeze(1) / 255:
            for content in contents.unsqueeze(1):
                pairs = (phi(x, ("relu1_1",))["relu1_1"][0] for x in (net(content, style), style))
                values.append(sum(((a - b) ** 2).mean() for a, b in zip(*map(stats, pairs), strict=True)))
    assert rows["many"]["style_loss/relu1_1"]["mean"] == pytest.approx(float(np.mean(values)), rel=1e-3)


@pytest.mark.slow
def test_gatys_loss_is_the_lowest_of_all_trained_methods(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 iterations of it beside each system after 100 steps of training, on one style."""
    monkeypatch.chdir(tmp_path)
    style = sorted(paintings.iterdir())[0]
    held_out = [f"data.val_content_dir={photographs}", f"data.val_style_dir={paintings}"]
    sizes = ["data.resize=72", "data.crop=64", "trainer.max_steps=100", "trainer.val_check_interval=100"]
    for experiment in ("enc_adain_dec", "baseline_ulyanov", "baseline_style_swap"):
        own = [f"model.styles={style}"] if experiment == "baseline_ulyanov" else []
        arguments = [*tiny(photographs, paintings), *held_out, *sizes, *own, f"experiment={experiment}"]
        assert run_here(train.main, arguments, monkeypatch) == 0
    runs = {path.parts[1]: path for path in Path("outputs").glob("*/*/checkpoints/best.ckpt")}
    methods = [
        "method=[gatys,network,style_swap,fixed_style]",
        f"method.style_swap.source={runs['baseline_style_swap']}",
    ]
    given = [
        f"ckpt_path={runs['enc_adain_dec']}",
        *methods,
        f"method.fixed_style.source={runs['baseline_ulyanov']}",
        "start=false",
    ]
    assert run_here(evaluate.main, [*given, "contents=4", "output=e.json"], monkeypatch) == 0
    losses = {name: row["loss"]["mean"] for name, row in json.loads(Path("e.json").read_text())["results"].items()}
    assert losses.pop("as in training") == pytest.approx(losses["stylised"], rel=0.5)
    assert list(losses)[:5] == ["stylised", "gatys", "network", "style_swap", "fixed_style"]
    assert losses.pop("gatys") < 0.5 * min(losses.values())


def test_methods_for_different_styles_cannot_share_a_table(
    evaluated: tuple[Path, dict[str, Any]],
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted(paintings.iterdir())
    a, b = (write_fixed_styles(tmp_path / f"{i}.ckpt", [files[i]]) for i in (0, 1))
    given = [f"ckpt_path={evaluated[0]}", f"+compare.a={a}", f"+compare.b={b}"]
    assert run_here(evaluate.main, given, monkeypatch) == 2
    assert "a and b were trained on different styles; compare them one by one" in capfd.readouterr().err


def test_bundled_network_is_measured_on_images_that_are_named(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(evaluate.main, ["ckpt_path=compact"], monkeypatch) == 2
    assert "does not say which images to measure on; give data=demo or data=folders" in capfd.readouterr().err
    folders = ["data=folders", f"data.content_dir={photographs}", f"data.style_dir={paintings}"]
    sizes = ["data.resize=64", "data.crop=48", "size=64", "contents=2", "styles=2"]
    assert run_here(evaluate.main, ["ckpt_path=compact", *folders, *sizes], monkeypatch) == 0
    assert "no reference curve" in capfd.readouterr().out


def test_reference_rows_are_what_they_must_be(evaluated: tuple[Path, dict[str, Any]]) -> None:
    """The photograph is wholly similar to itself; the painting has its own style."""
    results = evaluated[1]["results"]
    assert results["content image"]["ssim"] == {"mean": pytest.approx(1.0), "std": pytest.approx(0.0, abs=1e-6)}
    assert results["style image"]["style_loss"]["mean"] == pytest.approx(0.0, abs=1e-9)
    assert results["content image"]["style_loss"]["mean"] > 0.1


def test_evaluation_says_what_was_measured(evaluated: tuple[Path, dict[str, Any]]) -> None:
    checkpoint, result = evaluated
    assert result["network"] == str(checkpoint)
    assert (result["step"], result["contents"], result["styles"], result["size"]) == (2, 3, 2, 32)
    assert result["model"]["fusion"] == "adain"


def test_other_pictures_can_be_given(
    evaluated: tuple[Path, dict[str, Any]],
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [f"data.content_dir={paintings}", f"data.style_dir={photographs}", "data.val_fraction=0.5"]
    arguments = [f"ckpt_path={evaluated[0]}", "data=folders", *folders, "size=48", f"output={tmp_path}/here.json"]
    assert run_here(evaluate.main, arguments, monkeypatch) == 0
    result = json.loads((tmp_path / "here.json").read_text())
    assert result["size"] == 48
    assert "content_loss" in capfd.readouterr().out


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_what_processes_measured_is_put_together_in_the_order_of_one(
    world_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: values that are the numbers themselves; seven processes are more than there are batches."""
    parts = []
    for rank in range(world_size):
        for key, value in torchrun_environment(rank, world_size, 29500).items():
            monkeypatch.setenv(key, value)
        own = evaluate._own_batches(9, 2)
        assert all(len(batch) == 2 for batch in own if batch != [8])  # those of one process
        numbers = [number for batch in own for number in batch]
        parts.append((own, {"method": {"value": torch.tensor(numbers)} if numbers else {}}))
    assert in_order(parts)["method"]["value"].tolist() == list(range(9))


def test_number_of_devices_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(evaluate.main, ["ckpt_path=compact", "devices=0"], monkeypatch) == 2
    assert "devices is 0; give the number of processes, at least 1" in capfd.readouterr().err


def test_file_that_is_no_checkpoint_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    for name, line in (("text.ckpt", "cannot read the checkpoint"), ("foreign.ckpt", "is no checkpoint of adain_lit")):
        assert run_here(evaluate.main, [f"ckpt_path={name}"], monkeypatch) == 2
        (printed,) = capfd.readouterr().err.strip().splitlines()
        assert line in printed
