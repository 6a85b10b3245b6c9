"""The report as a page and as Markdown: the same content in both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain import page
from leanbrain.optbench.report import charts, tables, words
from leanbrain.optbench.report.findings import Findings
from leanbrain.optbench.report.tuned import tuned
from leanbrain.text import markdown_table, markdown_text

__all__ = ["html_page", "markdown_page"]


@dataclass(frozen=True)
class _Chapter:
    """A part of the report."""

    title: str
    text: str
    tables: Sequence[tuple[str, tables.Table]] = ()
    draw: Callable[[Findings], page.Section] | None = None


def html_page(title: str, found: Findings, rules_text: str) -> str:
    """Writes the page.

    Arguments
    ---------
    title : str
        Its heading.
    found : Findings
        The results.
    rules_text : str
        The rules, as YAML.

    Returns
    -------
    str
        HTML that needs no other file; every text is escaped.
    """
    parts = [page.paragraph(words.verdict(found))]
    parts.append(page.bullets(words.notes(found)))
    for chapter in _chapters(found):
        tables = "".join(
            (page.heading(name, 3) if name else "")
            + page.table(rows, kind="words" if _is_words(rows) else "")
            for name, rows in chapter.tables
        )
        content = page.Section(chapter.title, chapter.text, ())
        if chapter.draw is not None:
            drawn = chapter.draw(found)
            text = " ".join(x for x in (chapter.text, drawn.caption) if x)
            content = page.Section(chapter.title, text, drawn.charts)
        parts.append(page.section(content, tables))
    parts.append(_origin(found, rules_text))
    return page.document(title, parts)


def markdown_page(title: str, found: Findings, rules_text: str) -> str:
    """Writes the same as Markdown, without charts.

    Arguments
    ---------
    title : str
        Its heading.
    found : Findings
        The results.
    rules_text : str
        The rules, as YAML.

    Returns
    -------
    str
        Markdown; every text is escaped.
    """
    parts = [f"# {markdown_text(title)}"]
    parts.append(markdown_text(words.verdict(found)))
    listed = words.notes(found)
    if listed:
        parts.append("\n".join(f"- {markdown_text(x)}" for x in listed))
    for chapter in _chapters(found):
        if not chapter.tables:
            continue
        parts.append(f"## {markdown_text(chapter.title)}")
        if chapter.text:
            parts.append(markdown_text(chapter.text))
        for name, rows in chapter.tables:
            if name:
                parts.append(f"### {markdown_text(name)}")
            parts.append(markdown_table(rows))
    parts.append("## Where the numbers come from")
    facts = [["what", "value"]]
    facts += [[k, _line(x)] for k, x in _facts(found).items()]
    parts.append(markdown_table(facts))
    # Four blanks make code of any text, whatever marks are in it.
    rules = "\n".join(f"    {line}" for line in rules_text.splitlines())
    parts.append(f"The rules:\n\n{rules}")
    return "\n\n".join(parts) + "\n"


def _chapters(found: Findings) -> list[_Chapter]:
    """What a report says, in order."""
    if not found.data.optimizers:
        return []
    chapters = [
        _Chapter(
            "Scores",
            words.protocol(found),
            [("", tables.scores(found))],
            charts.scores,
        ),
        _Chapter(
            "Time to target",
            "",
            [("", tables.times(found)), *_pairwise(found)],
            charts.times,
        ),
        _Chapter("Progress over time", "", (), charts.progress),
        _Chapter(
            "How much depends on the target",
            "",
            [("", tables.relaxed(found))],
            charts.sensitivity,
        ),
        _Chapter(
            "What a step costs",
            "",
            [
                ("", tables.costs(found)),
                ("Steps or seconds", tables.ranks(found)),
            ],
            charts.costs,
        ),
        _Chapter(
            "What was tuned",
            "The values that the scored trials were given, over all "
            "workloads. A narrower range or fewer numbers is less to get "
            "wrong, and more that was known before.",
            [("", tuned(found))],
        ),
    ]
    if found.variant_seconds:
        text = (
            "Each variant changes something that nobody tuned for. Its trials "
            "have the points that were best in the studies of the workload "
            "itself; the fastest of them counts."
        )
        rows = tables.variants(found)
        chapters.append(_Chapter("Variants", text, [("", rows)]))
    return [*chapters, *_trials(found)]


def _pairwise(found: Findings) -> list[tuple[str, tables.Table]]:
    """The comparisons with the reference, where there are any."""
    rows = tables.differences(found)
    title = f"Against {found.reference}"
    if found.data.rules.variants:
        title += ", without variants"
    return [(title, rows)] if len(rows) > 1 else []


def _trials(found: Findings) -> list[_Chapter]:
    """How trials ended, and which clocks differ."""
    counts, reasons = tables.ends(found)
    text = (
        "Only trials that reached the target have a time; all others count as "
        "not reached, whatever the reason. "
        f"Trials that differ in the optimizer only are paired: same weights, "
        f"same batches; {found.data.pairs} groups were compared."
    )
    listed = [("", counts)]
    if len(reasons) > 1:
        listed.append(("Trials without a time", reasons))
    chapters = [_Chapter("How the trials ended", text, listed)]
    rows = tables.flagged(found)
    if len(rows) > 1:
        text = (
            "The calibrated time of these trials differs by more than 20 % "
            "from what their own clock measured: the machine was busier, or "
            "less busy, than during calibration."
        )
        chapters.append(_Chapter("Clocks that disagree", text, [("", rows)]))
    return chapters


def _origin(found: Findings, rules_text: str) -> str:
    """Machines, code, versions, rules."""
    return "\n".join(
        [
            f"<section>{page.heading('Where the numbers come from')}",
            page.caption(
                "Everything on this page follows from the ledger and these "
                "rules."
            ),
            page.facts_table(_facts(found)),
            page.details("The rules (YAML)", rules_text),
            "</section>",
        ]
    )


def _facts(found: Findings) -> dict[str, Any]:
    """What was used, with how many trials each."""
    rows = [x for by in found.data.rows.values() for x in by]
    facts: dict[str, Any] = {
        "rules": found.data.rules.label,
        "trials": {k: str(len(x)) for k, x in found.data.rows.items() if x},
    }
    for number, host in enumerate(found.hosts, start=1):
        facts["machine" if number == 1 else f"machine {number}"] = host
    commits = Counter(str(x.get("commit")) for x in rows)
    facts["commit"] = ", ".join(sorted(commits))
    kinds = {json.dumps(x.get("versions") or {}, sort_keys=True) for x in rows}
    for number, text in enumerate(sorted(kinds), start=1):
        name = "versions" if number == 1 else f"versions {number}"
        facts[name] = json.loads(text)
    return facts


def _line(value: Any) -> str:
    """Writes facts on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_line(x)}" for k, x in value.items())
    return value if isinstance(value, str) else json.dumps(value)


def _is_words(rows: tables.Table) -> bool:
    """Whether a table holds sentences rather than numbers."""
    return rows[0][-1] == "reason"
