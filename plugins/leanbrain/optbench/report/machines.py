"""Which rows were measured on machines of one kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from leanbrain.optbench.report.rows import Row

__all__ = ["began", "is_like", "kinds", "machine"]

_FACTS = ("cpu", "cores", "memory_gib", "gpu", "platform")
_MEMORY = 0.02  # how much of it a kernel may or may not keep for itself


def machine(row: Row) -> dict[str, Any]:
    """The hardware of a row; its load and its settings are left out.

    Arguments
    ---------
    row : Mapping
        Row of the ledger.

    Returns
    -------
    dict
        What is known of processor, memory and accelerator.
    """
    host = row.get("host") or {}
    return {key: host[key] for key in _FACTS if key in host}


def is_like(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two machines are of one kind, as far as both are known.

    Arguments
    ---------
    one, other : Mapping
        What `machine` returns. A row that was written without torch says
        nothing of an accelerator.

    Returns
    -------
    bool
    """
    return all(_same(one[key], other[key]) for key in one if key in other)


def kinds(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One machine of each kind.

    Arguments
    ---------
    rows : Iterable
        Rows of the ledger.

    Returns
    -------
    list[dict]
        The same for the same rows in any order.
    """
    found: list[dict[str, Any]] = []
    # Those of which most is known first: others are like one of them.
    known = sorted(map(machine, rows), key=lambda x: (-len(x), repr(x)))
    for one in known:
        if not any(is_like(one, x) for x in found):
            found.append(one)
    return found


def began(row: Row) -> tuple[str, str]:
    """By what rows are put in order of time, the same one every time.

    Arguments
    ---------
    row : Mapping
        Row of the ledger.

    Returns
    -------
    tuple[str, str]
        When it began; its digest, for those that began at once.
    """
    return str(row.get("started") or ""), str(row.get("digest"))


def _same(one: Any, other: Any) -> bool:
    """Whether two facts are alike; numbers may differ a little."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_MEMORY)
    return bool(one == other)
