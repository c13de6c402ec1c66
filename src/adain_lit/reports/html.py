"""The comparison of runs as one self-contained HTML page: no other file, no network.

Its one script sorts the table.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from adain_lit.reports.runs_table import Cells
from adain_lit.runs.comparison import shown

CSS = """
:root {color-scheme: light dark; --line: #8886; --soft: #8882}
body {font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1400px; padding: 1.5rem}
h1 {font-size: 1.6rem; margin: 0} h2 {font-size: 1.15rem; margin: 2rem 0 .5rem}
figure {margin: 0} figcaption {font-size: .9rem; margin-top: .4rem; max-width: 80ch}
img {background: white; display: block; max-width: 100%}
.wide {overflow-x: auto} .wide img {max-width: none}
#curves img {width: min(100%, 1080px)}
table {border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums}
th, td {border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top}
td {white-space: pre-line} td.n {text-align: right} tbody tr:nth-child(even) {background: var(--soft)}
th {padding: 0} th button {all: unset; cursor: pointer; font-weight: 600; padding: .3rem .6rem; width: 100%;
box-sizing: border-box} th button:focus-visible {outline: 2px solid} th button::after {content: " \\2195"; opacity: .4}
th[aria-sort=ascending] button::after {content: " \\2191"; opacity: 1}
th[aria-sort=descending] button::after {content: " \\2193"; opacity: 1}
.note {border-left: .25rem solid #D55E00; margin: 1rem 0; padding: .1rem .8rem}
@media (max-width: 700px) {figure {overflow-x: auto} #curves img, #pareto img {max-width: none; width: 680px}
figcaption {left: 0; position: sticky; width: calc(100vw - 3rem)}}
@media print {figure {overflow: visible} #curves img, #pareto img {width: 100%}
body {max-width: none; padding: 0} .wide {overflow: visible} .wide img {max-width: 100%}}
"""
CURVES_CAPTION = """Content and style loss during training. Lines: running means of training batches, which
are faint behind them if there are few runs; points: the held-out pairs, which are more reliable. The
loss axes are logarithmic."""
TABLE_CAPTION = """Losses are means over the held-out pairs, at the last validation and at the one with the lowest total
loss (content + style weight x style, so totals compare only between runs of the same style weight). The training time
excludes validation and is computed from the logged pairs per second."""
PARETO_CAPTION = """Content and style loss on the held-out pairs at the last validation. No run beats those on the
dashed line in both."""
SCRIPT = """
for (const table of document.querySelectorAll('table')) {
  const heads = [...table.querySelectorAll('th')];
  heads.forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    const value = row => { const cell = row.cells[column]; return cell.dataset.sort ?? cell.textContent; };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)], [n, m] = [Number(x), Number(y)];
      if (isNaN(n) !== isNaN(m)) return isNaN(n) ? 1 : -1;  // what is no number comes last in both directions
      const order = isNaN(n) ? x.localeCompare(y) : n - m;
      return down ? -order : order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
    for (const other of heads) other.setAttribute('aria-sort', 'none');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
  }));
}
"""
SHEET_CAPTION = (
    "Held-out pairs after the last validation of each run. Runs share the content and style columns to their left."
)


def report_page(
    title: str,
    *,
    rows: Sequence[Cells],
    folders: Mapping[str, str],
    curves: bytes,
    sheet: bytes | None,
    common: Mapping[str, Any],
    pareto: bytes | None = None,
    provenance: Mapping[str, Cells] | None = None,
    notes: Sequence[str],
) -> str:
    """Render the page.

    Args:
        title: of the page.
        rows: the table of the runs, see `adain_lit.reports.runs_table.columns_of`.
        folders: the folder of each run, by label.
        curves: PNG of the curves.
        sheet: PNG of the contact sheet; None if no run made images.
        common: settings that all runs share.
        pareto: PNG of content against style loss; None for too few runs.
        provenance: by label, what a paper needs to say of a run.
        notes: warnings: what does not compare, and which runs are missing.

    Example:
        >>> table = {"rows": [{"run": "adain", "settings": "", "steps": "5"}], "folders": {"adain": "outputs/a"}}
        >>> page = report_page("Runs", **table, curves=b"", sheet=None, common={}, notes=["few steps"])
        >>> page.count("<figure"), '<p class="note">few steps</p>' in page
        (1, True)
    """
    parts = [f"<h1>{escape(title)}</h1>", *(f'<p class="note">{escape(note)}</p>' for note in notes)]
    parts += ["<h2>Curves</h2>", _figure("curves", curves, "Loss curves of the runs", CURVES_CAPTION)]
    parts += ["<h2>Runs</h2>", f'<div class="wide">{_table(rows, folders)}</div>', f"<p>{TABLE_CAPTION}</p>"]
    if pareto is not None:
        parts += [
            "<h2>Content against style</h2>",
            _figure("pareto", pareto, "Both losses of each run", PARETO_CAPTION),
        ]
    if sheet is not None:
        parts += ["<h2>Images</h2>", _figure("images", sheet, "Images of each run", SHEET_CAPTION, wide=True)]
    if provenance:
        rows = [{"run": label} | cells for label, cells in provenance.items()]
        parts += ["<h2>For a paper</h2>", f'<div class="wide">{_table(rows, folders)}</div>']
    if common:
        items = "".join(f"<tr><td>{escape(k)}</td><td>{escape(shown(v))}</td></tr>" for k, v in common.items())
        parts.append(f"<h2>Settings that all runs share</h2><details><summary>{len(common)} settings</summary>")
        parts.append(f"<table>{items}</table></details>")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join([*parts, f"<script>{SCRIPT}</script>"])
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}<style>{CSS}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _figure(name: str, png: bytes, alt: str, caption: str, *, wide: bool = False) -> str:
    data = base64.b64encode(png).decode()
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    image = f'<div class="wide">{image}</div>' if wide else image
    return f'<figure id="{name}">{image}<figcaption>{caption}</figcaption></figure>'


def _table(rows: Sequence[Cells], folders: Mapping[str, str]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f'<th aria-sort="none"><button>{escape(name)}</button></th>' for name in names)
    lines = []
    for cells in rows:
        folder = escape(folders[cells["run"]])
        first, *others = (_cell(cells.get(name, "")) for name in names)
        lines.append(f'<tr title="{folder}">{first}{"".join(others)}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(text: str) -> str:
    """A cell; numbers are aligned to the right, and times carry their seconds, by which they are sorted."""
    if match := re.fullmatch(r"(?:(\d+) h )?(?:(\d+) min)?(?: ?(\d+) s)?", text):
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        if text:
            return f'<td class="n" data-sort="{3600 * hours + 60 * minutes + seconds}">{escape(text)}</td>'
    kind = ' class="n"' if re.fullmatch(r"-|[-+]?[\d.]+(e[-+]?\d+)?", text) else ""
    return f"<td{kind}>{escape(text)}</td>"
