"""The verdict on a run: the published curve is on its own track, and each fault is called by its name."""

from typing import Any

import pytest

from adain_lit.evaluation.reference_curves import COMPACT, VGG19, curve_for, verdict

SETTINGS: dict[str, Any] = {
    "encoder": "vgg_normalised",
    "loss_encoder": None,
    "reduction": "mean",
    "style_statistic": "mean_std",
    "style_weight": 10.0,
}


def results(content: float, style: float) -> dict[str, dict[str, dict[str, float]]]:
    def row(content: float, style: float) -> dict[str, dict[str, float]]:
        return {"content_loss": {"mean": content, "std": 0.0}, "style_loss": {"mean": style, "std": 0.0}}

    return {"stylised": row(content, style), "content image": row(2.9, 6.0), "style image": row(4.0, 0.0)}


def test_curve_passes_through_the_published_points() -> None:
    """Oracle: the validation plot: content 1.55 at 20 000, style 0.417 at 160 000 steps."""
    assert VGG19.at(20_000)[0] == pytest.approx(1.55)
    assert VGG19.at(160_000) == pytest.approx((1.29, 0.417))
    assert VGG19.at(1_000_000) == pytest.approx((1.29, 0.417))
    assert 1.36 < VGG19.at(60_000)[0] < 1.43


@pytest.mark.parametrize(
    ("content", "style", "step", "words"),
    [
        (1.29, 0.417, 160_000, "on track"),
        (1.6, 0.5, 160_000, "on track"),
        (2.2, 0.75, 5_000, "too early: on track so far"),
        (3.9, 1.5, 1_500, "too early: above the curve"),
        (0.9, 1.5, 160_000, "style weight too low"),
        (3.0, 0.3, 160_000, "style weight too high"),
        (2.5, 1.2, 160_000, "broken: both losses"),
        (3.9, 5.5, 50_000, "broken: the images have neither"),
        (float("nan"), 0.4, 160_000, "broken: the losses are not finite"),
    ],
)
def test_each_state_of_a_training_has_its_words(content: float, style: float, step: int, words: str) -> None:
    assert verdict(results(content, style), step=step, settings=SETTINGS).startswith(words)


def test_a_verdict_says_the_figures_it_rests_on() -> None:
    line = verdict(results(0.9, 1.5), step=160_000, settings=SETTINGS | {"style_weight": 1.0})
    assert "model.style_weight=1, the curve has 10" in line
    assert "1.29 and 0.417" in line


@pytest.mark.parametrize("changed", [{"encoder": "random"}, {"reduction": "sum"}, {"style_statistic": "gram"}])
def test_settings_that_no_curve_is_known_for_are_not_judged_by_one(changed: dict[str, Any]) -> None:
    assert curve_for(SETTINGS | changed) is None
    assert verdict(results(1, 1), step=10, settings=SETTINGS | changed).startswith("no reference curve")
    assert curve_for({}) is None


def test_the_recipe_of_the_bundled_network_has_its_own_curve() -> None:
    """Oracle: the setting of conf/experiment/compact_adain.yaml, and one step away from it."""
    settings = {"encoder": "distilled", "loss_encoder": "torchvision", "train_encoder": True}
    settings |= {"decoder_widths": [24, 64, 120, 128], "reduction": "mean", "style_statistic": "mean_std"}
    assert curve_for(settings) is COMPACT
    assert curve_for(settings | {"train_encoder": False}) is None
    line = verdict(results(0.30, 0.24), step=10_500, settings=settings | {"style_weight": 2.0})
    assert line.startswith("on track")
