"""Command lines as people type them: arguments in any order, paths with any character."""

import os
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from adain_lit.config.command_line import prepared
from adain_lit.errors import InputError

NAMES = [
    "run_model.lr=1e-4",
    "photo (1).jpg",
    "a(1)",
    "[old] run",
    "[old]",
    "a,b",
    "it's",
    'the "best"',
    "#1",
    "salt & pepper",
    "{a}",
    "{a: 1}",
    "étude",
    "日本",
    " leading",
    "trailing ",
    "2024",
    "1e4",
    "true",
    r"C:\runs\a",
    r"\\server\share\b\\",
    "a;b!c^d<e>f",
    "choice(a,b)",
    "glob(*)",
    "two\nlines",
    "a$b",
    "100%",
]


def read(override: str) -> object:
    """What Hydra takes an override for."""
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize("name", NAMES)
def test_existing_path_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name.replace("/", "_")).mkdir()
    for multirun in ([], ["-m"]):
        *_, override = prepared([*multirun, f"ckpt_path={name}"])
        assert read(override) == name


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("[old]", "{a: 1}", "glob(*)", "choice(a,b)")])
@pytest.mark.parametrize("key", ["resume", "data.content_dir", "+compare.x", "method.network.source", "model.encoder"])
def test_path_that_is_not_there_yet_is_taken_as_it_is(key: str, name: str) -> None:
    (override,) = prepared([f"{key}=no such folder/{name}"])
    assert read(override) == f"no such folder/{name}"


@given(st.text(st.characters(codec="utf-8", exclude_characters="$"), min_size=1))
def test_any_text_behind_a_folder_is_a_path(text: str) -> None:
    (override,) = prepared([f"ckpt_path=./{text}"])
    assert read(override) == f"./{text}"


@pytest.mark.parametrize(
    "override",
    ["ckpt_path='a b'", "resume=null", "model.loss_encoder=[a,b]", "output=${hydra:runtime.output_dir}/a", "seed=1"],
)
def test_what_hydra_understands_stays(override: str) -> None:
    assert prepared([override]) == [override]


@pytest.mark.parametrize("name", ["${x", "x}${", r"runs\${a", r"a\\${", "a ${ b", "it's ${"])
@pytest.mark.parametrize("there", [True, False])
def test_dollar_and_brace_of_a_file_name_are_no_interpolation(
    name: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        Path(name).mkdir()
    (override,) = prepared([f"ckpt_path={name}"])
    if there or not name.startswith("runs"):  # a backslash before it is OmegaConf's own way to say so
        assert OmegaConf.create({"path": read(override)}).path == name


@pytest.mark.parametrize("name", ["${seed}", "a${oc.env:HOME}", r"runs\${now}"])
def test_interpolation_is_a_name_only_where_a_file_has_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepared([f"output={name}"]) == [f"output={name}"]
    Path(name).mkdir()
    (override,) = prepared([f"output={name}"])
    assert OmegaConf.create({"path": read(override)}).path == name


def test_values_of_a_sweep_stay_values() -> None:
    assert prepared(["ckpt_path=a,b", "-m"]) == ["-m", "ckpt_path=a,b"]
    assert prepared(["ckpt_path=a,b"]) == ["ckpt_path='a,b'"]


def test_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read(prepared(["resume=~/runs/a"])[0]) == os.path.join(str(tmp_path), "runs/a")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data=demo", "-m", "seed=1,2"], ["-m", "data=demo", "seed=1,2"]),
        (["seed=1", "--config-dir", "own", "data=demo", "--cfg", "job"], ["--config-dir", "own", "--cfg", "job"]),
        (["~logger.wandb", "--help"], ["--help", "~logger.wandb"]),
    ],
)
def test_options_and_settings_come_in_any_order(arguments: list[str], expected: list[str]) -> None:
    result = prepared(arguments)
    assert result[: len(expected)] == expected
    assert sorted(result) == sorted(arguments)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("name=é", "Hydra's grammar does not take the value of name=é; quote it: 'name='\"'\"'é'\"'\"''"),
        ("seed", "'seed' is neither an option nor a setting; give KEY=VALUE"),
        ("se#ed=1", "'se#ed=1' is neither an option nor a setting"),
        ("--mutlirun", "unrecognized arguments: --mutlirun"),
        ("--cfg=jab", "argument --cfg/-c: invalid choice: 'jab'"),
        ("tags=" + "[" * 5000, "Hydra's grammar does not take the value of"),
        ("name=\udcff", "is not UTF-8; rename the file"),
    ],
)
def test_what_cannot_be_read_is_one_line(argument: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        prepared([argument])
    assert line in str(caught.value)
