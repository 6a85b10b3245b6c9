"""The page of a comparison of pruned models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from leanbrain.page import (
    Section,
    bullets,
    caption,
    details,
    document,
    facts_table,
    heading,
    section,
    table,
)

__all__ = ["page"]


def page(
    title: str,
    summary: Mapping[str, Any],
    rows: Sequence[Sequence[str]],
    sections: Sequence[Section],
) -> str:
    """Writes the page; every text is escaped.

    Arguments
    ---------
    title : str
        Its heading.
    summary : Mapping
        What `report.collect` returns.
    rows : Sequence
        The table of `report.table`, header first.
    sections : Sequence[Section]
        The charts. Each is drawn twice: for light and for dark screens.

    Returns
    -------
    str
        The HTML document.
    """
    parts = [_lead(summary), table(rows, kind_of_row=_kind_of_row)]
    parts += [section(content) for content in sections]
    parts.append(_origin(summary))
    return document(title, parts)


def _lead(summary: Mapping[str, Any]) -> str:
    """Says in words what the pruned models keep and what it costs."""
    dense = summary.get("dense")
    sentences = []
    for name, result in summary.items():
        if name in ("host", "dense"):
            continue
        text = (
            f"{name}: every pathway keeps {100 * (1 - result['sparsity']):.0f}"
            f" % of the weights and makes {result['mean_cer']:.2f} % "
            "character errors"
        )
        if dense is not None:
            text += f", the dense model {dense['mean_cer']:.2f} %"
        sentences.append(f"{text}.")
    note = (
        "Error rates are in percent, on test data; lower is better. CER counts"
        " characters, WER words. A line with a minus is the difference to the "
        "dense model in percentage points, taken before rounding."
    )
    return bullets(sentences) + caption(note)


def _kind_of_row(row: Sequence[str]) -> str:
    """Tells the second row of a model, which is its difference."""
    return "difference" if row[1] == "" else ""


def _origin(summary: Mapping[str, Any]) -> str:
    """Writes where the numbers come from: machine, code, settings."""
    parts = [
        f"<section>{heading('Where the numbers come from')}",
        caption("With these facts and settings the runs can be repeated."),
        facts_table({"host": summary.get("host")}),
    ]
    for name, result in summary.items():
        if name == "host":
            continue
        known = ("seed", "commit", "versions", "host")
        facts = facts_table({k: result[k] for k in known if k in result})
        parts.append(heading(name, 3) + facts)
        if result.get("hparams"):
            text = str(result["hparams"])
            parts.append(details("All settings (YAML)", text))
    return "\n".join([*parts, "</section>"])
