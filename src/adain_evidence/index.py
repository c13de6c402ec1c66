"""The index of all claims, and the parts of their READMEs that are generated from their results."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from adain_evidence.claim import Claim
from adain_evidence.results import read_results, write_readme
from adain_evidence.setting import SCALES
from adain_lit.io.files import write_atomically

HEAD = """# Evidence

Each folder tests one claim of the paper: `run.py` trains, measures and decides by a rule that its README states;
`results.json` is its output. This page is generated from those files by `python experiments/index.py`.

```bash
python experiments/fig5_6_ablations/run.py scale=small                  # the demo's images, two cores
python experiments/fig5_6_ablations/run.py scale=small content=PHOTOS style=PAINTINGS seeds=0,1,2
python experiments/fig5_6_ablations/run.py scale=medium content=PHOTOS style=PAINTINGS encoder=VGG19
python experiments/fig5_6_ablations/run.py scale=paper                  # VGG-19, COCO and WikiArt, a GPU
```
An interrupted script continues when it is started again. `scale=small` uses the bundled encoder and small crops:
it can rank the systems, but not reproduce the paper's absolute numbers. Minutes are wall-clock time, on cores that
were shared with other work.
"""


def claim_modules(folder: Path) -> Iterator[tuple[Path, ModuleType]]:
    """The ``run.py`` of every claim, imported; each has a CLAIM.

    Args:
        folder: ``experiments``.
    """
    for path in sorted(folder.glob("*/run.py")):
        spec = importlib.util.spec_from_file_location(f"experiments.{path.parent.name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield path.parent, module


def index(folder: Path) -> str:
    """The page: a row for each claim, with its verdict at each scale."""
    lines = [HEAD]
    lines.append("| claim of the paper | where | " + " | ".join(f"scale={scale}" for scale in SCALES) + " |")
    lines.append("|---|---|" + "---|" * len(SCALES))
    for path, module in claim_modules(folder):
        claim: Claim = module.CLAIM
        scales = read_results(path).get("scales", {})
        verdicts = [_verdict(scales[scale]) if scale in scales else "not run" for scale in SCALES]
        first = f"[{claim.title}]({path.name}/README.md): {claim.statement}"
        lines.append(f"| {first} | {claim.source} | " + " | ".join(verdicts) + " |")
    more = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/README.md"))
    if more:
        lines += ["", "Further notes: " + ", ".join(f"[{name}]({name}/README.md)" for name in more) + "."]
    return "\n".join(lines) + "\n"


def write_index(folder: Path) -> None:
    """Update the index and the results in all READMEs."""
    for path in sorted(folder.glob("*/run.py")):
        write_readme(path.parent)
    text = index(folder)
    write_atomically(folder / "README.md", lambda temporary: temporary.write_text(text, "utf-8"))


def _verdict(run: dict[str, object]) -> str:
    checks = run["checks"]
    assert isinstance(checks, list)
    held = sum(check["holds"] for check in checks)
    return f"**{run['verdict']}** ({held} of {len(checks)}, {run.get('date', 'no date')})"
