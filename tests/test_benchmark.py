"""The benchmark command: that it runs, that its record is complete, and that ratios are those of its medians."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch

from adain_lit import benchmark
from adain_lit.evaluation.speed_table import TABLE_1, published, speed_table
from support.commands import run, run_here

TINY = [
    "sizes=[32,40]",
    "images=4",
    "warmup=1",
    "iterations=2",
    "method.plain.widths=compact",
    "loss_encoder_widths=compact",
]
MODES = {"plain": (False, True), "compact": (False, True), "gatys": (True,), "mine": (True,)}


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The record of three methods, and one that any module may hold, at two sizes."""
    folder = tmp_path_factory.mktemp("benchmarked")
    methods = ["method=[plain,compact,gatys]", "method.gatys.iterations=10", "method.gatys.optimizer=adam"]
    methods.append("+method.mine._target_=test_benchmark.Untouched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_here(benchmark.main, [*TINY, *methods, "memory=false", "threads=2"], patch) == 0
    (output,) = folder.glob("outputs/benchmark/*/benchmark.json")
    record: dict[str, Any] = json.loads(output.read_text())
    return record


def test_record_holds_every_case_the_settings_and_the_hardware(benchmarked: dict[str, Any]) -> None:
    expected = [(m, s, e) for s in (32, 40) for m, modes in MODES.items() for e in modes]
    found = [(case["method"], case["size"], case["style_encoding"]) for case in benchmarked["cases"]]
    assert sorted(found) == sorted(expected)
    for case in benchmarked["cases"]:
        assert case["images"] == len(case["seconds"]) == 4
        assert 0 < case["least"] <= case["quartiles"][0] <= case["median"] <= case["quartiles"][1] <= case["most"]
        assert case["memory"] is None
        assert case["paper"] is None
    settings = benchmarked["settings"]
    assert (settings["images"], settings["device"], settings["method"]["plain"]["widths"]) == (4, "cpu", "compact")
    assert benchmarked["environment"]["torch_threads"] == 2
    assert benchmarked["environment"]["cpu"]
    assert benchmarked["environment"]["packages"]["torch"]
    assert "OMP_WAIT_POLICY" in benchmarked["environment"]["variables"]
    assert benchmarked["paper"]["seconds"] == TABLE_1


def test_ratio_is_that_of_the_two_medians_at_the_same_size(benchmarked: dict[str, Any]) -> None:
    seconds = {(c["method"], c["size"], c["style_encoding"]): c["seconds"] for c in benchmarked["cases"]}
    for case in benchmarked["cases"]:
        own = (case["method"], case["size"], case["style_encoding"])
        assert case["median"] == median(seconds[own])
        assert case["ratio"] == median(seconds[("plain", *own[1:])]) / median(seconds[own])


def test_time_of_an_optimising_method_is_extrapolated_and_says_so(benchmarked: dict[str, Any]) -> None:
    marks = {case["method"]: case["extrapolated"] for case in benchmarked["cases"]}
    assert marks == {"plain": None, "compact": None, "gatys": [2, 10], "mine": None}
    table = speed_table(benchmarked["cases"], reference="plain")
    assert "* gatys: extrapolated from 2 iterations to 10" in table


def test_table_holds_a_row_for_each_method_and_size(benchmarked: dict[str, Any]) -> None:
    rows = [line.split() for line in speed_table(benchmarked["cases"], reference="plain").splitlines()]
    assert [(row[0], row[1]) for row in rows if row[:1] and row[0] in MODES] == [
        (method, size) for method in MODES for size in ("32", "40")
    ]


def test_published_times_are_those_of_table_1() -> None:
    """Oracle: the numbers that the paper prints for its own network and for Gatys et al."""
    assert [published("vgg19", 256, style_encoding=encoding) for encoding in (False, True)] == [0.018, 0.027]
    assert [published("plain", 512, style_encoding=encoding) for encoding in (False, True)] == [0.065, 0.098]
    assert [published("gatys", 512, style_encoding=encoding) for encoding in (False, True)] == [46.75, 46.79]
    assert published("dumoulin", 256, style_encoding=True) is None
    assert published("compact", 256, style_encoding=True) is None


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("images=0", "images is 0; give an integer of at least 1"),
        ("images=many", "images is 'many'; give an integer of at least 1"),
        ("threads=0", "threads is 0"),
        ("sizes=[]", "sizes is []; give sides of at least 32 pixels"),
        ("sizes=256", "sizes is 256; give sides"),
        ("sizes=[256,16]", "sizes is [256, 16]; give sides"),
        ("method=[]", "no method to time"),
        ("reference=mine", "the reference 'mine' is not one of the methods (plain, vgg19, compact)"),
        ("dtype=int8", "unknown dtype 'int8'; known are float32, bfloat16, float16"),
        ("device=nowhere", "cannot use device nowhere"),
        ("method=[plian]", "no method 'plian'; there are"),
        ("method.plain.widths=huge", "unknown encoder widths 'huge'"),
        ("method.plain.width=compact", "did you mean method.plain.widths?"),
        ("image=3", "did you mean images?"),
    ],
)
def test_bad_input_ends_in_one_line(
    argument: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_here(benchmark.main, [argument], monkeypatch) == 2
    (printed,) = capfd.readouterr().err.strip().splitlines()
    assert printed.startswith("adain_lit.benchmark: error: ")
    assert line in printed
    assert not list(tmp_path.rglob("benchmark.json"))


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own_and_a_killed_one_is_no_end(tmp_path: Path) -> None:
    """The plain VGG-19 alone holds 27 MiB of weights; the other method kills its process while it is built."""
    methods = ["method=[plain]", "+method.deadly._target_=test_benchmark.Deadly"]
    done = run("adain_lit.benchmark", ["sizes=[64]", "images=1", "warmup=0", *methods], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "deadly at 64 px was killed" in done.stdout
    (output,) = tmp_path.glob("outputs/benchmark/*/benchmark.json")
    memory = {case["method"]: case["memory"] for case in json.loads(output.read_text())["cases"]}
    assert memory["deadly"] is None
    assert 26 < memory["plain"]["peak"] - memory["plain"]["before"] < 200


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_networks_run_compiled_and_in_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["sizes=[32]", "images=1", "method.plain.widths=compact", "compile=true", "dtype=bfloat16"]
    assert run_here(benchmark.main, [*arguments, "method=[plain,compact]", "memory=false"], monkeypatch) == 0


@pytest.mark.slow
def test_a_compiler_that_is_missing_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    arguments = ["sizes=[32]", "images=1", "method=[compact,plain]", "reference=plain", "compile=true", "memory=false"]
    done = run("adain_lit.benchmark", arguments, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("adain_lit.benchmark: error: compile=true failed (")


class Untouched:
    """A method that gives the content back."""

    def __call__(self, content: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        return content


class Deadly(Untouched):
    """It ends every process but the one in which it is timed."""

    def __init__(self) -> None:
        if multiprocessing.parent_process() is not None:
            os._exit(9)
