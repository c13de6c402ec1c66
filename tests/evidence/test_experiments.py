"""What experiments/ holds is complete and up to date: the index, the READMEs, and every command in them."""

import json
import re
import shlex
from pathlib import Path
from types import ModuleType

import pytest

from adain_evidence import Job, Setting
from adain_evidence.claim import VERDICTS, verdict
from adain_evidence.composition import composed
from adain_evidence.figures import MOST_BYTES
from adain_evidence.index import claim_modules, index
from adain_evidence.results import BEGIN, END, read_results, with_results
from adain_evidence.setting import SCALES
from adain_lit.config.paths import conf_dir

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NO_SETTINGS = (
    "experiments/index.py",
    "experiments/gpu/check.py",
    "experiments/gpu/paper_systems.py",
    "experiments/beyond_paper/vgg19_encoder/measure.py",
)
READMES = sorted(EXPERIMENTS.rglob("README.md"))
CLAIMS = dict(claim_modules(EXPERIMENTS))
DESIGNED = {
    "fig1_instance_norm",
    "fig3_losses",
    "fig4_examples",
    "fig5_6_ablations",
    "fig7_11_controls",
    "table1_speed",
}

each_claim = pytest.mark.parametrize(("folder", "module"), CLAIMS.items(), ids=[folder.name for folder in CLAIMS])


def test_index_is_up_to_date() -> None:
    """Oracle: made anew from every run.py and results.json; `python experiments/index.py` brings it there."""
    assert (EXPERIMENTS / "README.md").read_text("utf-8") == index(EXPERIMENTS)


def test_every_claim_of_the_paper_has_a_folder() -> None:
    assert {folder.name for folder in CLAIMS} >= DESIGNED | {"lambda_sweep", "beyond_paper"}


@each_claim
def test_readme_shows_the_results(folder: Path, module: ModuleType) -> None:
    """Oracle: the part between the marks made anew from results.json."""
    text = (folder / "README.md").read_text("utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text == with_results(text, folder)
    assert module.CLAIM.folder == folder


@each_claim
def test_results_are_of_the_claim_as_it_stands_and_name_no_place(folder: Path, module: ModuleType) -> None:
    """Oracle: the claim of run.py, and the verdict decided again by the checks."""
    results = read_results(folder)
    if not results:
        assert "**Not run.**" in (folder / "README.md").read_text("utf-8")
        return
    claim = module.CLAIM
    assert results["claim"] == {"title": claim.title, "statement": claim.statement, "source": claim.source}
    assert results["scales"].keys() <= set(SCALES)
    for run in results["scales"].values():
        held = [check["holds"] for check in run["checks"]]
        expected = VERDICTS[0] if all(held) else VERDICTS[1] if any(held) else VERDICTS[2]
        assert run["verdict"] == expected
        assert {"command", "commit", "date", "seconds", "packages", "cpu", "images"} <= run.keys()
        for name, side in run["images"].items():
            assert name == "source" or (side["count"] > 0 and re.fullmatch("[0-9a-f]{64}", side["sha256"]))
    assert not re.search(r"/(work|home|root|tmp|mnt)/|\.\./", json.dumps(results))


@each_claim
def test_figures_are_small(folder: Path, module: ModuleType) -> None:
    images = [path for path in folder.iterdir() if path.suffix in (".png", ".jpg")]
    assert bool(images) is bool(read_results(folder))
    assert all(path.stat().st_size <= MOST_BYTES for path in images)


@pytest.mark.parametrize("scale", SCALES)
@each_claim
def test_every_job_composes(folder: Path, module: ModuleType, scale: str) -> None:
    """All that a script would run, at both scales; one seed, since the others differ in it alone."""
    given = ["content=PHOTOS", "style=PAINTINGS"] if scale == "small" else []
    for job in unlike(module.jobs(Setting.parse(folder.name, [f"scale={scale}", "seeds=0", *given]))):
        for settings in job.compositions():
            composed(job.module, settings)


def unlike(jobs: list[Job]) -> list[Job]:
    """The jobs without those that differ in a file alone, which composing does not look at."""
    return list({re.sub(r"'[^']*'", "FILE", " ".join([job.module, *job.settings])): job for job in jobs}.values())


def commands(text: str) -> list[list[str]]:
    """Words of every command in the shell blocks of a document."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("path", READMES, ids=[str(path.parent.relative_to(EXPERIMENTS)) for path in READMES])
def test_every_command_composes(path: Path) -> None:
    for words in commands(path.read_text("utf-8")):
        if words[0] == "pip":
            continue
        assert words[0] == "python", words
        if words[1] == "-m":
            module, settings = words[2].removeprefix("adain_lit."), [word for word in words[3:] if word != "-m"]
            for combination in Job(module, "", tuple(settings), Path()).compositions():
                composed(module, combination)
        elif words[1] == "experiments/gpu/train_compact.py":
            composed("train", ("experiment=compact_adain", *(word for word in words[2:] if "=" in word)))
        elif words[1] not in NO_SETTINGS:
            folder = Path(words[1]).parent
            (found,) = (m for f, m in CLAIMS.items() if f.name == folder.name)
            assert found.jobs(Setting.parse(folder.name, words[2:])) is not None
            assert folder == Path("experiments", folder.name)


def test_every_experiment_of_the_configuration_is_named_by_a_readme() -> None:
    text = "\n".join(path.read_text("utf-8") for path in READMES)
    named = set(re.findall(r"\w+", text))
    missing = {path.stem for path in (conf_dir() / "experiment").glob("*.yaml")} - named
    assert not missing


def test_a_claim_without_checks_is_not_run() -> None:
    assert verdict([]) == "not run"
