"""The table of several runs: the settings that differ, how far each got, and its losses."""

from collections.abc import Mapping, Sequence

from adain_lit.reports.tables import text_table
from adain_lit.runs.comparison import LOSSES, Summary, Validation, differences, shown, summarise
from adain_lit.runs.run import Run

NOTHING = "-"
HEADS = {"content_loss": "content", "style_loss": "style", "loss": "total"}
"""Column heads of the losses."""
SETTINGS = "settings that differ"
MOST_SETTINGS = 8
"""Upper bound of the differing settings that the text table lists for each run."""

Cells = dict[str, str]


def rows_of(runs: Mapping[str, Run]) -> list[Cells]:
    """One row for each run, as cells by column head.

    Args:
        runs: by label.

    Example:
        >>> from pathlib import Path
        >>> rows = rows_of({"adain": Run(Path("a"), "adain", {"seed": 0}, {5: {"val/loss": 2.0}})})
        >>> rows[0]["run"], rows[0]["last total"], rows[0]["best step"]
        ('adain', '2', '5')
    """
    differing = differences(list(runs.values()))
    rows = []
    for i, (label, run) in enumerate(runs.items()):
        summary = summarise(run)
        settings = [f"{key}={shown(values[i])}" for key, values in differing.items()] if run.settings else ["unknown"]
        rows.append({"run": label, "settings that differ": "\n".join(settings)} | _figures(summary))
    return rows


def as_text(rows: Sequence[Cells]) -> str:
    """Format the rows of `rows_of` for a terminal.

    Example:
        >>> print(as_text([{"run": "adain", "settings that differ": "seed=0", "steps": "5"}]))
        <BLANKLINE>
         run     settings that differ   steps
         ────────────────────────────────────
         adain   seed=0                     5
        <BLANKLINE>
    """
    cells = [row | {"settings that differ": _shortened(row["settings that differ"])} for row in rows]
    return text_table(list(rows[0]), [list(row.values()) for row in cells], left=2)


def columns_of(rows: Sequence[Cells]) -> list[Cells]:
    """The rows of `rows_of` with a column for each setting that differs, if there are not too many.

    Example:
        >>> columns_of([{"run": "a", "settings that differ": "model.lr=0.1", "steps": "5"}])
        [{'run': 'a', 'model.lr': '0.1', 'steps': '5'}]
    """
    found = [dict(line.split("=", 1) for line in row[SETTINGS].splitlines() if "=" in line) for row in rows]
    keys = list(dict.fromkeys(key for settings in found for key in settings))
    if len(keys) > MOST_SETTINGS:
        return list(rows)
    return [
        {"run": row["run"]}
        | {key: settings.get(key, NOTHING) for key in keys}
        | {name: cell for name, cell in row.items() if name not in ("run", SETTINGS)}
        for row, settings in zip(rows, found, strict=True)
    ]


def provenance(run: Run) -> Cells:
    """What a paper needs to say of a run: seed, commit, data, versions, hardware and time.

    Example:
        >>> from pathlib import Path
        >>> provenance(Run(Path("a"), "a", {"seed": 3}, {}))["seed"]
        '3'
    """
    known = run.environment
    packages = known.get("packages", {})
    data = known.get("data") or {}
    hardware = ", ".join(known.get("gpus") or []) or f"{known.get('cpu', NOTHING)}, {known.get('cpus', NOTHING)} cores"
    cells = {
        "seed": shown(run.settings.get("seed", NOTHING)),
        "commit": str(known.get("commit") or NOTHING),
        "started": str(known.get("started", NOTHING)),
        "time": duration(known["seconds"]) if "seconds" in known else NOTHING,
        "hardware": hardware,
        "python": str(known.get("python", NOTHING)),
    }
    cells |= {name: str(packages.get(name, NOTHING)) for name in ("adain_lit", "torch", "lightning")}
    return cells | {side: f"{found['files']} files, {found['sha256'][:12]}" for side, found in data.items()}


def _shortened(settings: str) -> str:
    lines = settings.splitlines()
    more = [f"and {len(lines) - MOST_SETTINGS} more"] if len(lines) > MOST_SETTINGS else []
    return "\n".join(lines[:MOST_SETTINGS] + more)


def _figures(summary: Summary) -> Cells:
    cells = {"steps": str(summary.steps)}
    cells |= {f"last {HEADS[name]}": _loss(summary.last, name) for name in LOSSES}
    cells |= {f"best {HEADS[name]}": _loss(summary.best, name) for name in LOSSES}
    cells["best step"] = str(summary.best.step) if summary.best else NOTHING
    cells["training time"] = NOTHING if summary.seconds is None else duration(summary.seconds)
    return cells


def _loss(validation: Validation | None, name: str) -> str:
    return f"{validation.losses[name]:.4g}" if validation and name in validation.losses else NOTHING


def duration(seconds: float) -> str:
    """Format seconds.

    Example:
        >>> duration(38), duration(125), duration(3720)
        ('38 s', '2 min 05 s', '1 h 02 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_rest:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
