"""Table 1 of the paper, and the table of measured times with it for comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from adain_lit.reports.tables import text_table

TABLE_1: dict[str, dict[str, list[float | None]]] = {
    "Gatys et al.": {"256": [14.17, 14.19], "512": [46.75, 46.79]},
    "Chen and Schmidt": {"256": [0.171, 0.407], "512": [3.214, 4.144]},
    "Ulyanov et al.": {"256": [0.011, None], "512": [0.038, None]},
    "Dumoulin et al.": {"256": [0.011, None], "512": [0.038, None]},
    "Huang and Belongie": {"256": [0.018, 0.027], "512": [0.065, 0.098]},
}
"""Seconds for one image without and with style encoding, by size in pixels: mean of 100 images, Pascal Titan X."""

IN_TABLE_1 = {
    "gatys": "Gatys et al.",
    "style_swap": "Chen and Schmidt",
    "ulyanov": "Ulyanov et al.",
    "dumoulin": "Dumoulin et al.",
    "plain": "Huang and Belongie",
    "vgg19": "Huang and Belongie",
}
"""Rows of Table 1 by the name of a method in ``conf/method``."""


def published(method: str, size: int, *, style_encoding: bool) -> float | None:
    """Seconds of Table 1; None if it has no such entry.

    Example:
        >>> published("plain", 512, style_encoding=True), published("plain", 1024, style_encoding=True)
        (0.098, None)
    """
    seconds = TABLE_1.get(IN_TABLE_1.get(method, ""), {}).get(str(size))
    return seconds[style_encoding] if seconds else None


def speed_table(cases: Sequence[Mapping[str, Any]], *, reference: str) -> str:
    """Format medians, quartiles, ratios and the paper's seconds: one row for each method and size.

    Args:
        cases: as in the JSON of `adain_lit.benchmark`.
        reference: name of the method that ratios compare with.

    Example:
        >>> case = {"method": "plain", "size": 256, "median": 0.2, "quartiles": [0.2, 0.3], "ratio": 1.0}
        >>> case |= {"style_encoding": True, "extrapolated": None, "memory": None}
        >>> print(speed_table([case], reference="plain"))
        <BLANKLINE>
         method    px   s, style encoded before   x plain   s, with style encoding   x plain   MiB   paper, Titan X
         ──────────────────────────────────────────────────────────────────────────────────────────────────────────
         plain    256                         -         -         0.2 (0.2 to 0.3)         1     -    0.018 (0.027)
        <BLANKLINE>
        x plain: how many times as fast; MiB: memory that building the method and one image take
    """
    ratio = f"x {reference}"
    times = ["s, style encoded before", ratio, "s, with style encoding", ratio]
    rows = []
    for method, size in dict.fromkeys((case["method"], case["size"]) for case in cases):
        of_row = {case["style_encoding"]: case for case in cases if (case["method"], case["size"]) == (method, size)}
        cells = [text for encoding in (False, True) for text in _times(of_row.get(encoding))]
        rows.append([method, str(size), *cells, _memory(of_row[True]), _paper(method, size)])
    text = text_table(["method", "px", *times, "MiB", "paper, Titan X"], rows)
    notes = [f"x {reference}: how many times as fast; MiB: memory that building the method and one image take"]
    marked = dict.fromkeys((case["method"], *case["extrapolated"]) for case in cases if case["extrapolated"])
    notes += [f"* {method}: extrapolated from {part} iterations to {total}" for method, part, total in marked]
    return "\n".join([text, *notes])


def _times(case: Mapping[str, Any] | None) -> tuple[str, str]:
    """Seconds with their quartiles, and the ratio."""
    if case is None:
        return "-", "-"
    lower, upper = case["quartiles"]
    mark = "*" if case["extrapolated"] else ""
    ratio = "" if case["ratio"] is None else f"{case['ratio']:.3g}"
    return f"{case['median']:.3g}{mark} ({lower:.3g} to {upper:.3g})", ratio


def _memory(case: Mapping[str, Any]) -> str:
    memory = case["memory"]
    return "-" if memory is None else f"{memory['peak'] - memory['before']:.0f}"


def _paper(method: str, size: int) -> str:
    without, whole = (published(method, size, style_encoding=encoding) for encoding in (False, True))
    return "" if without is None else f"{without:g} ({'N/A' if whole is None else f'{whole:g}'})"
