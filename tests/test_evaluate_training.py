"""Evaluation agrees with the validation of the training that it measures, whatever was trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from adain_lit import evaluate, train
from adain_lit.config.paths import conf_dir
from adain_lit.runs.rows import read_rows, values_by_step
from support.commands import run_here, tiny
from support.runs import only_run

STEPS = ("trainer.max_steps=2", "trainer.val_check_interval=2", "trainer.log_every_n_steps=1")  # of trainer=smoke
PLAIN = ("trainer.precision=32-true", "data.cache=0", "data.val_pairs=6", *STEPS)  # some experiments have their own
OWN = {
    "baseline_dumoulin": ("model.style_count=3",),
    "compact_adain": ("model.loss_encoder=distilled", "model.skips_from=1"),
    "compact_finish": ("model.loss_encoder=distilled", "model.encoder=compact", "model.decoder=compact"),
    "distill_encoder": ("model.teacher=distilled",),
    "distill_vgg19": ("model.fixed_weights=distilled", "model.teacher=compact", "model.encoder_widths=compact"),
    "finetune": ("model.unit_mean_images=0",),  # its decoder is that of the encoder as it is
}
EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
QUICK = ("finetune", "outlook_whitening")


def trained(experiment: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    own = [*PLAIN, *OWN.get(experiment, ())]
    if experiment.startswith(("baseline_u", "baseline_d", "fig1")):
        own.append(f"model.styles={arguments[-1].partition('=')[2]}")
    assert run_here(train.main, [*arguments, *own, f"experiment={experiment}"], monkeypatch) == 0
    return only_run(Path(), experiment)


def evaluated(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    assert run_here(evaluate.main, [*arguments, "output=e.json"], monkeypatch) == 0
    result: dict[str, Any] = json.loads(Path("e.json").read_text("utf-8"))
    return result


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EXPERIMENTS],
)
def test_evaluation_agrees_with_the_last_validation_on_the_same_pairs(
    experiment: str,
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracle: the row of metrics.csv. The encoder that is distilled has no decoder, and is refused."""
    monkeypatch.chdir(tmp_path)
    run = trained(experiment, tiny(photographs, paintings), monkeypatch)
    checkpoint = f"ckpt_path={run}/checkpoints/last.ckpt"
    if experiment.startswith("distill"):
        assert run_here(evaluate.main, [checkpoint], monkeypatch) == 2
        assert "holds no decoder" in capfd.readouterr().err
        return
    result = evaluated([checkpoint, "pairs=validation", "start=false"], monkeypatch)
    assert result["step"] == 2
    row = values_by_step(read_rows(run / "metrics.csv")[1])[2]
    for name in ("content_loss", "style_loss", *(f"style_loss/relu{i}_1" for i in (1, 2, 3, 4))):
        assert result["results"]["as in training"][name]["mean"] == pytest.approx(row[f"val/{name}"], rel=1e-4), name
    assert result["validation"]["content_loss"] == row["val/content_loss"]


def test_loss_encoder_is_scaled_only_if_its_file_never_was(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same command with scaling switched off altogether, which for the bundled encoder changes nothing."""
    monkeypatch.chdir(tmp_path)
    images = ["ckpt_path=compact", *tiny(photographs, paintings)[:4], *tiny(photographs, paintings)[-2:]]
    images += ["contents=2", "styles=2"]
    losses = {}
    for encoder in ("distilled", "random"):
        for count in (0, 2):
            result = evaluated([*images, f"loss_encoder={encoder}", f"unit_mean_images={count}"], monkeypatch)
            losses[encoder, count] = result["results"]["stylised"]["loss"]["mean"]
            if count:
                scaled = "whose weights are scaled already" if encoder == "distilled" else "scaled on 1 held-out"
                assert result["scale"].startswith(scaled)
    assert losses["distilled", 0] == losses["distilled", 2]
    assert losses["random", 2] != pytest.approx(losses["random", 0], rel=0.1)


def test_what_a_training_has_changed_is_judged_by_its_start(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Oracles: a rate of 0 changes nothing; one that is far too high makes the bundled network worse."""
    monkeypatch.chdir(tmp_path)
    held_out = [f"data.val_content_dir={photographs}", f"data.val_style_dir={paintings}"]
    arguments = [*tiny(photographs, paintings), *held_out, "model.unit_mean_images=0", "experiment=finetune"]
    for name, rate, words in (
        ("still", 0, "no clear change since the start"),
        ("wild", 0.03, "worse than at the start"),
    ):
        assert run_here(train.main, [*arguments, f"name={name}", f"model.lr={rate}"], monkeypatch) == 0
        result = evaluated([f"ckpt_path={only_run(Path(), name)}", "contents=2", "styles=3"], monkeypatch)
        assert result["change"].startswith(words)
        assert words in capfd.readouterr().out
        now, before = (result["results"][row]["loss"]["mean"] for row in ("as in training", "at the start"))
        assert (now == pytest.approx(before, rel=1e-5)) == (rate == 0)


def test_start_that_cannot_be_built_again_is_said(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    first = trained("enc_adain_dec", tiny(photographs, paintings), monkeypatch)
    other = first / "checkpoints" / "best.ckpt"
    arguments = [*tiny(photographs, paintings), "name=second", f"model.decoder={other}"]
    assert run_here(train.main, arguments, monkeypatch) == 0
    other.unlink()
    result = evaluated([f"ckpt_path={only_run(Path(), 'second')}", "contents=2"], monkeypatch)
    assert "change" not in result
    assert "not compared with the start of the training" in capfd.readouterr().out
    assert torch.isfinite(torch.tensor(result["results"]["as in training"]["loss"]["mean"]))


def test_tables_lie_beside_the_json(
    photographs: Path, paintings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the figures of the JSON, in every digit in CSV and in three after the point in LaTeX."""
    monkeypatch.chdir(tmp_path)
    run = trained("enc_adain_dec", tiny(photographs, paintings), monkeypatch)
    results = evaluated([f"ckpt_path={run}", "contents=2", "styles=2"], monkeypatch)["results"]
    head, *lines = (line.split(",") for line in Path("e.csv").read_text("utf-8").splitlines())
    found = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    assert list(found) == list(results)
    for name, row in results.items():
        for key, value in row.items():
            assert float(found[name][f"{key} std"]) == value["std"]
    latex = Path("e.tex").read_text("utf-8")
    loss = results["stylised"]["loss"]
    assert rf"stylised & {loss['mean']:.3f} $\pm$ {loss['std']:.3f} &" in latex
