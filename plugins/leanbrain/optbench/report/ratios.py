"""Comparisons in words: what was not reached makes a ratio a bound."""

from __future__ import annotations

import math

from leanbrain.optbench.statistics.comparison import Comparison
from leanbrain.text import interval, number

__all__ = ["bound_of", "ends_of", "ratio_of", "span_of"]


def ratio_of(one: Comparison) -> str:
    """Writes the ratio of times.

    Arguments
    ---------
    one : Comparison
        Of two optimizers.

    Returns
    -------
    str
        A number where all times are known; what is missing took longer than
        the limit, which bounds the ratio from one side if only one of the two
        missed targets.
    """
    text = number(one.ratio)
    first, second = one.unreached_of
    if first and second:
        return f"{text} up to the budget" if math.isfinite(one.ratio) else text
    if first:
        return f"at least {text}"
    return f"at most {text}" if second else text


def span_of(one: Comparison) -> str:
    """Writes the interval, with two ends only where both are known.

    Arguments
    ---------
    one : Comparison
        Of two optimizers.

    Returns
    -------
    str
        "0.7 to 0.9", "at most 0.9", "at least 0.7" or "none". Where both
        missed some targets it is that of the times up to the budget; where
        one of them missed all, there is none.
    """
    low, high = ends_of(one)
    if low is not None and high is not None:
        text = interval(low, high)
        return f"{text} up to the budget" if one.unreached else text
    if low is not None:
        return f"at least {number(low)}"
    return "none" if high is None else f"at most {number(high)}"


def ends_of(one: Comparison) -> tuple[float | None, float | None]:
    """The ends of the interval.

    Arguments
    ---------
    one : Comparison
        Of two optimizers.

    Returns
    -------
    tuple
        Low and high; None for an end that is not known.
    """
    low, high = one.bounds
    if all(one.unreached_of) and max(one.unreached_of) < 1:
        # Both are open; what is left is the race up to the budget.
        low, high = one.low, one.high
    return low if low > 0 else None, high if math.isfinite(high) else None


def bound_of(one: Comparison) -> str:
    """Says how many times are missing.

    Arguments
    ---------
    one : Comparison
        Of two optimizers.

    Returns
    -------
    str
        Empty if none is.
    """
    if not one.unreached:
        return ""
    share = max(1, round(100 * one.unreached))
    return f"a bound: {share} % of the study times were not reached"
