"""The report of a comparison: page, Markdown, CSV and pictures.

Everything comes from the kept results; no folder of a run is read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leanbrain import page
from leanbrain.files import atomic_path, write_text
from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import Findings, analyse
from leanbrain.pruning.comparison.rows import (
    Kept,
    commits_of,
    read_kept,
)
from leanbrain.text import (
    csv_text,
    markdown_table,
    markdown_text,
)

__all__ = ["markdown_page", "write_report"]

_ORDER = (
    "Errors against sparsity",
    "Errors against training steps",
    "Differences",
    "All results",
    "Errors per language",
    "How much the languages share",
    "Density per layer",
)

_CAPTIONS = {
    "All results": "Steps are those of the last run; of all runs, FLOPs and "
    "minutes are of all that a method takes beyond the dense start, whose "
    "steps have a column of their own: 0 of methods that train from random "
    "weights. Kept by any: share of the weights that at least one language "
    "uses.",
    "Errors per language": "CER in percent of the characters, mean over the "
    "seeds. Small lines are differences of the seeds that both methods have.",
}


def write_report(
    kept: Kept | str | os.PathLike[str],
    out_folder: str | os.PathLike[str],
    reference: str | None = None,
    title: str = "Which pruning method makes the fewest errors",
    draws: int = 10_000,
) -> Path:
    """Writes report.html, report.md, rows.csv and the charts as PNG.

    Arguments
    ---------
    kept : Kept | path
        The results, or the file results/compare_<name>.json.
    out_folder : path
        Where the files go.
    reference : str | None
        The method that all others are compared with; None takes "adaptive",
        or the first sparse method where there is none of that name.
    title : str
        Heading of the page.
    draws : int
        Resamples of each interval.

    Returns
    -------
    Path
        The file `report.html`, which needs no other file and no network.

    Raises
    ------
    UserError
        If the results are missing or broken, or do not hold the reference.
    """
    # matplotlib takes a second to load: only where it draws.
    from leanbrain.chart_style import to_png
    from leanbrain.pruning.comparison.sections import pictures

    if not isinstance(kept, Kept):
        kept = read_kept(kept)
    found = analyse(kept, reference, draws)
    out = Path(out_folder)
    drawn = pictures(found)
    for name, figure in drawn.items():
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(to_png(figure, 150))
    write_text(out / "rows.csv", _csv(kept))
    write_text(out / "report.md", markdown_page(title, found, drawn))
    write_text(out / "report.html", _html_page(title, found))
    return out / "report.html"


def markdown_page(title: str, found: Findings, names: Mapping[str, Any]) -> str:
    """Writes the report as Markdown, which shows pictures beside it.

    Arguments
    ---------
    title : str
        Its heading.
    found : Findings
        The results.
    names : Mapping
        Names of the files with pictures.

    Returns
    -------
    str
        Markdown; every text is escaped.
    """
    parts = [f"# {markdown_text(title)}", markdown_text(words.verdict(found))]
    parts += [_items(words.details(found)), markdown_text(words.reading(found))]
    parts += [_items(words.notes(found))]
    parts += [f"![{name.partition('.')[0]}]({name})" for name in names]
    for name, rows in _tables(found).items():
        parts += [f"## {markdown_text(name)}", markdown_table(rows)]
        if name == "How much the languages share":
            parts.append(_items(words.kinship(found)))
    parts.append("## Where the numbers come from")
    facts = [["what", "value"]]
    facts += [[k, _line(x)] for k, x in _facts(found).items()]
    parts.append(markdown_table(facts))
    # Four blanks make code of any text, whatever marks are in it.
    lines = found.kept.suite.splitlines()
    parts.append("The suite:\n\n" + "\n".join(f"    {x}" for x in lines))
    return "\n\n".join(x for x in parts if x) + "\n"


def _html_page(title: str, found: Findings) -> str:
    """Writes the page; every text is escaped."""
    from leanbrain.pruning.comparison.sections import sections

    parts = [page.paragraph(words.verdict(found))]
    parts += [
        page.bullets(words.details(found)),
        page.caption(words.reading(found)),
    ]
    parts.append(page.bullets(words.notes(found)))
    charts = {x.title: x for x in sections(found)}
    listed = _tables(found)
    for name in _ORDER:
        text = _CAPTIONS.get(name, "")
        content = charts.get(name, page.Section(name, text, ()))
        rows = listed.get(name)
        after = page.table(rows, kind_of_row=_kind_of_row) if rows else ""
        if content.charts or after:
            parts.append(page.section(content, after))
    parts += [
        f"<section>{page.heading('Where the numbers come from')}",
        page.facts_table(_facts(found)),
        page.details("The suite (YAML)", found.kept.suite),
        "</section>",
    ]
    return page.document(title, parts)


def _tables(found: Findings) -> dict[str, tables.Table]:
    """Heading -> table, of those that have any rows."""
    listed = {
        "Differences": tables.differences(found),
        "All results": tables.results(found),
        "Errors per language": tables.by_language(found),
        "How much the languages share": tables.overlaps(found),
    }
    return {k: x for k, x in listed.items() if len(x) > 1}


def _kind_of_row(row: Sequence[str]) -> str:
    """Tells rows of differences, which have no sparsity."""
    return "difference" if row[1] == "" else ""


def _facts(found: Findings) -> dict[str, Any]:
    """Machine, code, versions, size of the comparison."""
    kept = found.kept
    seeds = sorted({x for point in found.points for x in point.seeds})
    sizes = {k: len(x) for k, x in kept.utterances["characters"].items()}
    return {
        "comparison": kept.name,
        "host": kept.host,
        "commits of the runs": ", ".join(commits_of(kept.rows)),
        "kept by commit": kept.commit,
        "versions": kept.versions,
        "seeds": ", ".join(map(str, seeds)),
        "test utterances": sizes,
        "rows": str(len(kept.rows)),
    }


def _csv(kept: Kept) -> str:
    """The rows with all their digits."""
    columns = list(dict.fromkeys(k for row in kept.rows for k in row))
    return csv_text(columns, [[x.get(k) for k in columns] for x in kept.rows])


def _items(texts: list[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {markdown_text(x)}" for x in texts)


def _line(value: Any) -> str:
    """Writes facts on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_line(x)}" for k, x in value.items())
    return str(value)
