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
from leanbrain.pruning.report.control import control, models_of, total_steps

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
    models = models_of(summary)
    sentences = []
    for name, result in models.items():
        if not result["sparsity"]:
            continue
        text = (
            f"{name}: every pathway keeps {100 * (1 - result['sparsity']):.0f}"
            f" % of the weights and makes {result['mean_cer']:.2f} % "
            f"character errors after {total_steps(result):,} steps in all"
        )
        base = control(summary, name)
        if base is not None:
            dense = models[base]
            text += (
                f", {base} without pruning {dense['mean_cer']:.2f} % after "
                f"{total_steps(dense):,}"
            )
        sentences.append(f"{text}.")
    note = (
        "Error rates are in percent, on test data; lower is better. CER counts"
        " characters, WER words. Steps are those of the run, after those of "
        "the model that it started from. A line with a minus is the difference"
        " to the dense model nearest in steps, in percentage points, taken "
        "before rounding: where their totals of steps differ it says so, and "
        "is of training as well as of pruning."
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
