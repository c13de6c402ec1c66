"""``results.json`` of a claim, and the part of its README that is generated from it."""

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adain_evidence.claim import Check, Claim, verdict
from adain_evidence.setting import Setting
from adain_lit.io.files import write_atomically, write_json

Values = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Numbers by system, quantity and seed; values without a seed, such as times, have seed 0."""

RESULTS = "results.json"
BEGIN, END = "<!-- results: written by run.py -->", "<!-- end of results -->"


def write_results(
    claim: Claim,
    setting: Setting,
    *,
    values: Values,
    checks: Sequence[Check],
    record: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the results of a run to the claim's ``results.json``, beside those of the other scale, and to its README.

    Args:
        claim: the claim.
        setting: how it was run.
        values: the numbers.
        checks: the parts of the claim.
        record: images, circumstances, seconds and whatever else is needed to reproduce it, as JSON.
        notes: sentences for the reader, such as what was left out.
    """
    known = read_results(claim.folder)
    run = {
        "verdict": verdict(checks),
        "checks": [asdict(check) for check in checks],
        "values": {
            system: {name: _entry(seeds, claim.paper.get(system, {}).get(name)) for name, seeds in quantities.items()}
            for system, quantities in values.items()
        },
        "notes": list(notes),
        **record,
    }
    said = {"title": claim.title, "statement": claim.statement, "source": claim.source}
    results = {"claim": said, "scales": known.get("scales", {}) | {setting.scale: run}}
    write_json(results, claim.folder / RESULTS)
    write_readme(claim.folder)
    return results


def read_results(folder: Path) -> dict[str, Any]:
    """The results of a claim; empty if it has not been run."""
    path = folder / RESULTS
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def write_readme(folder: Path) -> None:
    """Update the part of a claim's README between the two marks; a README without them is left alone."""
    path = folder / "README.md"
    if path.is_file():
        text = with_results(path.read_text("utf-8"), folder)
        write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))


def with_results(text: str, folder: Path) -> str:
    """A README with its part between the marks regenerated from the results."""
    marked = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return marked.sub(lambda _: f"{BEGIN}\n{summary(read_results(folder))}\n{END}", text)


def summary(results: Mapping[str, Any]) -> str:
    """Verdict, checks, numbers and circumstances of every scale that was run, in Markdown."""
    if not results.get("scales"):
        return "**Not run.**"
    return "\n\n".join(_scale(name, run) for name, run in sorted(results["scales"].items(), reverse=True))


def _scale(name: str, run: Mapping[str, Any]) -> str:
    parts = [f"### scale={name}: {run['verdict']}"]
    rows = [f"| {_cells(c['rule'])} | {_cells(c['found'])} | {'yes' if c['holds'] else 'no'} |" for c in run["checks"]]
    parts.append("\n".join(["| what has to be true | found | holds |", "|---|---|---|", *rows]))
    parts.append(_table(run["values"]))
    parts += run["notes"]
    parts.append(_circumstances(run))
    return "\n\n".join(parts)


def _cells(text: str) -> str:
    """Escape a text for a table cell, which a bar would end."""
    return text.replace("|", "\\|")


def _table(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Systems in rows, quantities in columns: mean, minimum and maximum over the seeds."""
    names = list(dict.fromkeys(name for quantities in values.values() for name in quantities))
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for system, quantities in values.items():
        cells = [_cell(quantities[name]) if name in quantities else "" for name in names]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(entry: Mapping[str, Any]) -> str:
    seeds = list(entry["seeds"].values())
    text = f"{entry['mean']:.4g}"
    if len(seeds) > 1:
        text += f" ({min(seeds):.4g} to {max(seeds):.4g})"
    return text if entry["paper"] is None else f"{text}; paper {entry['paper']:g}"


def _entry(seeds: Mapping[int, float], paper: float | None) -> dict[str, Any]:
    numbers = [float(value) for value in seeds.values()]
    return {
        "seeds": {str(seed): float(value) for seed, value in seeds.items()},
        "mean": statistics.fmean(numbers),
        "spread": max(numbers) - min(numbers),
        "paper": paper,
    }


def _circumstances(run: Mapping[str, Any]) -> str:
    lines = []
    if "command" in run:
        lines.append(f"`{run['command']}`")
    if "images" in run:
        sides = [f"{entry['count']} {name}" for name, entry in run["images"].items() if name != "source"]
        lines.append(f"Images: {run['images']['source']}; {', '.join(sides)} (hashes in results.json).")
    known = {"seeds": "seeds", "steps": "steps", "crop": "crop in pixels", "precision": "precision"}
    lines.append(", ".join(f"{words} {_plain(run[key])}" for key, words in known.items() if key in run))
    if "seconds" in run:
        device = ", ".join(run.get("gpus") or [f"{run.get('cpus')} cores of {run.get('cpu')}"])
        version = run.get("packages", {}).get("torch", "")
        commit = str(run.get("commit"))[:8]
        minutes = run["seconds"] / 60
        lines.append(f"{minutes:.0f} minutes on {device}; torch {version}; commit {commit}; {run.get('date')}.")
    return "  \n".join(line for line in lines if line)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
