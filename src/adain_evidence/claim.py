"""What a paper claims, and whether it holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VERDICTS = ("holds", "holds in part", "does not hold", "not run")


@dataclass(frozen=True)
class Claim:
    """A claim, its folder and how it is judged.

    Attributes:
        folder: of ``experiments``, with ``run.py``, the README, results and figures.
        title: a few words for the index.
        statement: the claim in the paper's words.
        source: figure, table or section of the paper.
        paper: the paper's own numbers by system and quantity, if it gives any.
    """

    folder: Path
    title: str
    statement: str
    source: str
    paper: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name


@dataclass(frozen=True)
class Check:
    """One part of a claim, decided by numbers.

    Attributes:
        rule: what has to be true, in words that can be checked against the table.
        holds: whether it is.
        found: the numbers that decide it.
    """

    rule: str
    holds: bool
    found: str


def verdict(checks: Sequence[Check]) -> str:
    """``holds`` if all parts hold, ``does not hold`` if none does, otherwise ``holds in part``."""
    if not checks:
        return "not run"
    count = sum(check.holds for check in checks)
    return "holds" if count == len(checks) else "holds in part" if count else "does not hold"


def in_every_seed(
    rule: str,
    first: Mapping[int, float],
    second: Mapping[int, float],
    compare: Callable[[float, float], bool] = lambda a, b: a < b,
) -> Check:
    """A check that holds if ``compare(first, second)``, by default less than, is true for every seed.

    Args:
        rule: in words; it should name both sides in this order.
        first: a value for each seed.
        second: a value for each of the same seeds.
        compare: compares the two values of a seed.
    """
    pairs = [(first[seed], second[seed]) for seed in first]
    return Check(
        f"{rule}, in every seed",
        all(compare(a, b) for a, b in pairs),
        ", ".join(f"{a:.4g} | {b:.4g}" for a, b in pairs),
    )
