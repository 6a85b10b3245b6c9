"""What each optimizer was allowed to tune, as its trials got it."""

from __future__ import annotations

from typing import Any

from leanbrain.optbench.report.findings import Findings
from leanbrain.text import number

__all__ = ["tuned", "uneven"]


def tuned(found: Findings) -> list[list[str]]:
    """One line per optimizer and hyper-parameter that its trials were given.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list
        The header, then names, the lowest and the highest value, and how many
        there are.
    """
    header = ["optimizer", "hyper-parameter", "lowest", "highest", "values"]
    rows = [header]
    for name in found.order:
        values = _values(found, name)
        if not values:
            rows.append([name, "none", "–", "–", "0"])
        for key, known in sorted(values.items()):
            ends = _text(known[0]), _text(known[-1])
            rows.append([name, key, *ends, str(len(known))])
    return rows


def uneven(found: Findings) -> list[str]:
    """Says where others tuned more, or fewer, numbers than the reference.

    Arguments
    ---------
    found : Findings
        The results.

    Returns
    -------
    list[str]
        A sentence, or nothing.
    """
    counts = {x: _count(found, x) for x in found.order}
    wanted = counts.get(found.reference)
    if wanted is None:
        return []
    odd = {x: n for x, n in counts.items() if n is not None and n != wanted}
    if not odd:
        return []
    listed = ", ".join(f"{x} {n}" for x, n in odd.items())
    return [
        "Not all tuned as many hyper-parameters as "
        f"{found.reference}, which tuned {wanted}: {listed}."
    ]


def _values(found: Findings, name: str) -> dict[str, list[Any]]:
    """Hyper-parameter -> the values that trials got, the lowest first."""
    values: dict[str, dict[str, Any]] = {}
    for x in found.outcomes:
        if x.place.optimizer == name and x.place.variant is None:
            for key, value in (x.config.get("hyperparameters") or {}).items():
                values.setdefault(key, {})[repr(value)] = value
    return {key: sorted(x.values(), key=_rank) for key, x in values.items()}


def _count(found: Findings, name: str) -> int | None:
    """How many numbers differ between trials; None where one trial has any."""
    trials = {
        x.place[3:]
        for x in found.outcomes
        if x.place.optimizer == name and x.place.variant is None and x.row
    }
    if len(trials) < 2:
        return None
    return sum(len(x) > 1 for x in _values(found, name).values())


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers in their order, then all else by its text."""
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, repr(value)


def _text(value: Any) -> str:
    """Writes a value."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return number(float(value)) if is_number else str(value)
