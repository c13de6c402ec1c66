"""A claim is run from its command to its results: jobs once, numbers written, a verdict by rule."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adain_evidence import Check, Claim, Job, Setting, in_every_seed, run_claim, run_job
from adain_evidence import jobs as jobs_module
from adain_evidence.claim import verdict
from adain_evidence.composition import composed
from adain_evidence.figures import (
    MOST_BYTES,
    draw_with_spread,
    new_figure,
    save_figure,
    save_grid,
)
from adain_evidence.index import index
from adain_evidence.outcomes import by_seed, evaluated, evaluation, logged, selected
from adain_evidence.record import hash_of
from adain_evidence.results import BEGIN, END, read_results, write_results
from adain_lit.errors import InputError
from adain_lit.reports.image_grid import image_grid
from adain_lit.reports.style import label_axes
from support.commands import TINY
from support.images import small

YES, NO = Check("a", True, ""), Check("b", False, "")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [([], "not run"), ([YES, YES], "holds"), ([YES, NO], "holds in part"), ([NO], "does not hold")],
)
def test_verdict_follows_from_the_checks(checks: list[Check], expected: str) -> None:
    assert verdict(checks) == expected


def test_check_asks_every_seed() -> None:
    """Oracle: by hand; equal is not less."""
    assert in_every_seed("x < y", {0: 1.0, 1: 2.0}, {0: 1.5, 1: 2.5}).holds
    assert not in_every_seed("x < y", {0: 1.0, 1: 2.5}, {0: 1.5, 1: 2.5}).holds
    check = in_every_seed("x at most y", {0: 1.0, 1: 2.5}, {0: 1.5, 1: 2.5}, lambda a, b: a <= b)
    assert check == Check("x at most y, in every seed", True, "1 | 1.5, 2.5 | 2.5")


def test_settings_are_read() -> None:
    arguments = ["scale=small", "content=a b", "style=c", "seeds=3,5", "trainer.max_steps=7", "source=800 photographs"]
    setting = Setting.parse("claim", arguments)
    assert (setting.small, setting.seeds, setting.trained_precision) == (True, (3, 5), "auto")
    assert setting.folder == Path("outputs/experiments/claim/small")
    assert setting.images() == ["data=folders", "data.content_dir='a b'", "data.style_dir='c'"]
    assert setting.training(3, "trainer.max_steps=2")[-2:] == ("trainer.max_steps=2", "trainer.max_steps=7")
    assert "seed=3,5" in setting.training(setting.seeds)
    assert setting.shown() == (
        "python experiments/claim/run.py scale=small content=PHOTOGRAPHS style=PAINTINGS seeds=3,5 "
        'trainer.max_steps=7 source="800 photographs"'
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("scale=large", "scale is 'large'; known are small, medium, paper"),
        ("seeds=a", "seeds is 'a'; give comma-separated integers, such as seeds=0,1"),
        ("steps=3", "'steps=3' is not a setting; give scale=, content=, "),
        ("small", "'small' is not a setting; give "),
        ("content=here", "content and style belong together: give folders for both or for neither"),
    ],
)
def test_invalid_arguments_are_reported(argument: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Setting.parse("claim", [argument])
    assert str(caught.value).startswith(message)


def test_a_job_has_a_folder_for_its_settings(tmp_path: Path) -> None:
    job = Job("train", "a", ("seed=0", "experiment=enc_adain_dec"), tmp_path)
    assert job.folder == Job("train", "a", ("seed=0", "experiment=enc_adain_dec"), tmp_path).folder
    assert job.folder != Job("train", "a", ("seed=1", "experiment=enc_adain_dec"), tmp_path).folder
    assert job.folder != Job("evaluate", "a", ("seed=0", "experiment=enc_adain_dec"), tmp_path).folder


def test_compositions_of_a_sweep_are_every_combination() -> None:
    job = Job("train", "a", ("experiment=b,c", "seed=0,1", "name='x,y'"), Path())
    assert list(job.compositions()) == [
        ["experiment=b", "seed=0", "name='x,y'"],
        ["experiment=b", "seed=1", "name='x,y'"],
        ["experiment=c", "seed=0", "name='x,y'"],
        ["experiment=c", "seed=1", "name='x,y'"],
    ]
    sweep = Job("train", "a", ("experiment=b,c", "seed=0", "name='x,y'"), Path(), multirun=True)
    assert next(sweep.compositions()) == ["seed=0", "name='x,y'"]


def test_folders_of_a_sweep_are_named_by_what_is_swept() -> None:
    """Oracle: the names that `adain_lit.train -m` gave; a seed that is the only one is not in them."""
    sweep = Job("train", "a", ("experiment=b,c", "seed=0,1", "model.lr=1,2"), Path("d"), multirun=True)
    assert sweep.run_of("b", seed=1, model__lr=2) == sweep.folder / "b_model.lr-2_seed-1"
    assert Job("train", "a", ("experiment=b,c", "seed=0"), Path("d")).run_of("b", seed=0).name == "b"


def test_a_job_that_fails_says_why_and_is_not_done(tmp_path: Path) -> None:
    job = Job("train", "a", ("model.fusion=nonsense", "trainer=smoke"), tmp_path)
    with pytest.raises(InputError, match=r"^train a ended with status 2: .*unknown fusion 'nonsense'"):
        run_job(job)
    with pytest.raises(InputError, match="has not finished"):
        _ = job.seconds


def test_settings_that_do_not_compose_are_reported_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^no key model.fusoin; did you mean model.fusion"):
        composed("train", ["model.fusoin=adain"])


def test_hash_depends_on_contents_alone(tmp_path: Path) -> None:
    """Oracle: the same two files under other names and in another order; one of them changed."""
    for name, text in {"a": "1", "b": "2", "c": "2", "d": "1", "e": "3"}.items():
        (tmp_path / name).write_text(text)
    first, second, third = (hash_of([tmp_path / name for name in names]) for names in ("ab", "cd", "ae"))
    assert first == second != third


CLAIM_README = f"# A claim\n\n{BEGIN}\n{END}\n\nWhat it means.\n"


@pytest.mark.slow
def test_a_claim_is_run_once_and_leaves_results_readme_and_index(
    photographs: Path,
    paintings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A real training of two steps and a real evaluation. Oracle: the log and the rows that these left."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments" / "claim"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CLAIM_README)
    claim = Claim(folder, "A title", "All is well", "Fig. 0", {"ours": {"style loss": 1.5}})
    title = f'CLAIM = Claim(Path(r"{folder}"), "A title", "All is well", "Fig. 0")\n'
    (folder / "run.py").write_text(f"from pathlib import Path\nfrom adain_evidence import Claim\n{title}")
    tiny = [text for text in TINY if "." in text.split("=")[0]]  # the groups are chosen by the scale

    def training(setting: Setting) -> Job:
        return Job("train", "ours", setting.training(0, "trainer.val_check_interval=2"), setting.folder)

    def comparison(setting: Setting) -> Job:
        sizes = ("data.resize=40", "data.crop=32", "contents=1", "styles=1")
        return evaluation(setting, "pairs", {"ours": training(setting).checkpoint}, *sizes)

    def conclude(setting: Setting) -> dict[str, Any]:
        rows = by_seed({0: evaluated(comparison(setting), "ours")})
        values = selected(rows, {"style_loss": "style loss"}, ["ours"])
        steps, losses = logged(training(setting), "val/style_loss")
        return {"values": values, "checks": [Check("1 < 2", losses[-1] > 0, "1 | 2")], "steps": steps[-1]}

    folders = [f"content={photographs}", f"style={paintings}", "source=six photographs"]
    arguments = [*folders, "precision=32-true", *tiny, "trainer.max_steps=2"]
    caplog.set_level(logging.INFO)
    for _ in range(2):
        run_claim(claim, lambda setting: [training(setting), comparison(setting)], conclude, arguments)
    assert caplog.text.count("train ours ...") == caplog.text.count("evaluate pairs ...") == 1
    results = read_results(folder)["scales"]["small"]
    assert results["verdict"] == "holds"
    assert results["steps"] == 2
    entry = results["values"]["ours"]["style loss"]
    (evaluation_file,) = (tmp_path / "outputs").rglob("evaluation.json")
    found = json.loads(evaluation_file.read_text())["results"]["stylised"]["style_loss"]["mean"]
    assert entry == {"seeds": {"0": found}, "mean": found, "spread": 0.0, "paper": 1.5}
    sides = ("photographs", "paintings", "held-out photographs", "held-out paintings")
    assert [results["images"][side]["count"] for side in sides] == [5, 4, 1, 1]
    assert str(tmp_path) not in json.dumps(results)
    text = (folder / "README.md").read_text()
    assert f"| ours | {found:.4g}; paper 1.5 |" in text
    assert text.endswith(f"{END}\n\nWhat it means.\n")
    page = (folder.parent / "README.md").read_text()
    assert page == index(folder.parent)
    assert "| [A title](claim/README.md): All is well | Fig. 0 | **holds** (1 of 1, " in page
    assert page.rstrip().endswith("| not run |")


def test_a_training_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the command line; its seconds are those of both attempts."""
    job = Job("train", "a", ("seed=0",), tmp_path)
    job.checkpoint.parent.mkdir(parents=True)
    job.checkpoint.write_bytes(b"")
    (job.folder / "seconds_so_far").write_text("100.0\n")
    called: list[list[str]] = []

    class Done:
        returncode = 0

    def run(command: list[str], **_: Any) -> Done:
        called.append(command)
        return Done()

    monkeypatch.setattr(jobs_module.subprocess, "run", run)
    run_job(job)
    run_job(job)
    assert [command[-1] for command in called] == [f"resume='{job.folder}'"]
    assert 100 <= job.seconds < 101


def test_scales_stand_beside_each_other(tmp_path: Path) -> None:
    """A run at one scale leaves the other's results; one at the same scale takes their place."""
    claim = Claim(tmp_path, "A title", "All is well", "Fig. 0")
    for scale, value in (("small", 1.0), ("paper", 2.0), ("small", 3.0)):
        values = {"ours": {"loss": {0: value, 1: value + 1}}}
        write_results(claim, Setting("claim", scale), values=values, checks=[YES], record={})
    scales = read_results(tmp_path)["scales"]
    assert {name: run["values"]["ours"]["loss"]["mean"] for name, run in scales.items()} == {"small": 3.5, "paper": 2.5}
    assert scales["small"]["values"]["ours"]["loss"]["spread"] == 1.0


def test_mistake_of_a_person_ends_a_script_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    claim = Claim(tmp_path / "claim", "A title", "All is well", "Fig. 0")
    with pytest.raises(SystemExit) as end:
        run_claim(claim, lambda setting: [], lambda setting: {}, ["content=nowhere", "style=nowhere"])
    assert end.value.code == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("claim: error: no folder nowhere; ")
    assert not (tmp_path / "claim").exists()


def test_curves_show_mean_and_spread(tmp_path: Path) -> None:
    """Oracle: by hand."""
    figure, (axes,) = new_figure()
    draw_with_spread(axes, {"ours": [([1, 2], [1.0, 4.0]), ([1, 2], [3.0, 8.0])]})
    label_axes(axes, "steps", "loss (no unit)")
    (line,) = axes.lines
    assert np.allclose(line.get_ydata(), [2, 6])
    (band,) = axes.collections
    assert {tuple(point) for point in band.get_paths()[0].vertices} >= {(1, 1), (1, 3), (2, 4), (2, 8)}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "loss (no unit)")
    save_figure(figure, tmp_path / "figure.png", caption="What the paper says. " * 20)
    assert (tmp_path / "figure.png").stat().st_size <= MOST_BYTES


def test_grids_are_small_enough_or_refused(tmp_path: Path) -> None:
    image = small("coffee.png", (256, 256))
    grid = image_grid([[image] * 3] * 2, columns=["one", "two words", "three"], names=["a", "b"], side=128)
    save_grid(grid, tmp_path / "grid.jpg")
    assert (tmp_path / "grid.jpg").stat().st_size <= MOST_BYTES
    noise = Image.fromarray(np.random.default_rng(0).integers(256, size=(1500, 1500, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="more than 300000; show less in it"):
        save_grid(noise, tmp_path / "noise.jpg")
