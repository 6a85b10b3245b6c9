"""Which dense model a sparse one is compared with: one trained as long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["control", "models_of", "steps_cell", "total_steps", "uneven"]


def models_of(summary: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Results by model, without the machine."""
    return {k: x for k, x in summary.items() if k != "host"}


def total_steps(result: Mapping[str, Any]) -> int:
    """Optimizer steps of a run and of what it started from."""
    return result["steps"] + result.get("start_steps", 0)


def control(summary: Mapping[str, Any], name: str) -> str | None:
    """The dense model that a sparse one is compared with.

    Arguments
    ---------
    summary : Mapping
        What `collect` returns.
    name : str
        A model of it.

    Returns
    -------
    str | None
        The dense model with as many steps in all, so that the difference is
        not one of training; else that nearest in steps. None of a dense
        model, or where there is none.
    """
    models = models_of(summary)
    if not models[name]["sparsity"]:
        return None
    mine = total_steps(models[name])
    dense = [k for k, x in models.items() if not x["sparsity"]]
    return min(
        dense, key=lambda k: abs(total_steps(models[k]) - mine), default=None
    )


def uneven(result: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What to add to a comparison of unequal totals of steps."""
    more = total_steps(result) - total_steps(other)
    if not more:
        return ""
    return f" ({abs(more):,} steps {'more' if more > 0 else 'fewer'})"


def steps_cell(result: Mapping[str, Any]) -> str:
    """The steps of a run, after those of the model that it started from.

    Example
    -------
    >>> steps_cell({"steps": 500, "start_steps": 1000})
    '1,000 + 500'
    """
    start, own = result.get("start_steps", 0), f"{result['steps']:,}"
    return f"{start:,} + {own}" if start else own
