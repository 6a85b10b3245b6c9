"""Scores against one submission, whoever else is in the pool."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from leanbrain.checks import check_known
from leanbrain.optbench.statistics.tables import (
    Times,
    exact_area,
    named,
    table_of,
)

__all__ = ["ALGOPERF_MISS_S", "reference_scores", "speedups"]

ALGOPERF_MISS_S = 1.0
"""By how much a miss exceeds the budget in AlgoPerf."""

_LEAST_MISS = 1.0 / 58015.0
"""That one second, as a share of the budget of AlgoPerf's slowest speech
workload: where a budget is a few seconds, one more is a fine, not a mark."""


def speedups(
    times: Times,
    reference: str,
    budgets: Mapping[str, float],
    miss_s: float | None = None,
) -> dict[str, float]:
    """How many times faster than the reference; no other one matters.

    Arguments
    ---------
    times : Mapping
        As for `benchmark_scores`.
    reference : str
        The submission to compare with.
    budgets : Mapping[str, float]
        Workload -> seconds; who did not reach the target is given this and a
        little more, as in AlgoPerf, which is kind to whoever fails.
    miss_s : float | None
        How much more, in seconds: `ALGOPERF_MISS_S` where budgets take hours;
        None takes a 58,015th of the budget, which suits budgets of any size.

    Returns
    -------
    dict
        Submission -> geometric mean over workloads of t_ref/t.

    Example
    -------
    >>> times = {"adamw": {"x": 10.0}, "b": {"x": 5.0}, "c": {"x": np.inf}}
    >>> speedups(times, "adamw", {"x": 19.0}, ALGOPERF_MISS_S)
    {'adamw': 1.0, 'b': 2.0, 'c': 0.5}
    """
    names, table = table_of(times)
    limits = _limits(times, budgets, miss_s)
    full = np.where(np.isfinite(table), table, limits)
    own = full[names.index(check_known("reference", reference, names))]
    return named(names, np.exp(np.log(own / full).mean(axis=1)))


def reference_scores(
    times: Times,
    reference: str,
    budgets: Mapping[str, float],
    max_ratio: float = 4.0,
    miss_s: float | None = None,
) -> dict[str, float]:
    """Scores by the time of one submission in place of the fastest one.

    The mean over workloads of (max_ratio - r)/(max_ratio - 1), r being
    t/t_ref; 0 beyond max_ratio and where the target was not reached. The
    reference has 1 if it reached all targets; who is faster has more, up to
    max_ratio/(max_ratio - 1).

    Arguments
    ---------
    times : Mapping
        As for `benchmark_scores`.
    reference : str
        The submission to compare with.
    budgets : Mapping[str, float]
        Workload -> seconds; where the reference missed the target, it is
        given this and a little more.
    max_ratio : float
        Times beyond this multiple of the reference's count as not reached.
    miss_s : float | None
        As for `speedups`.

    Returns
    -------
    dict
        Submission -> score. It does not change when others join the pool.

    Example
    -------
    >>> times = {"adamw": {"x": 10.0}, "b": {"x": 4.0}, "c": {"x": 25.0}}
    >>> reference_scores(times, "adamw", {"x": 30.0})
    {'adamw': 1.0, 'b': 1.2, 'c': 0.5}
    """
    names, table = table_of(times)
    own = table[names.index(check_known("reference", reference, names))]
    own = np.where(np.isfinite(own), own, _limits(times, budgets, miss_s))
    return named(names, exact_area(table / own, max_ratio).mean(axis=1))


def _limits(
    times: Times, budgets: Mapping[str, float], miss_s: float | None
) -> np.ndarray:
    """The times of misses, in the order of the workloads."""
    workloads = list(next(iter(times.values())))
    known = np.array(
        [budgets[check_known("workload", x, budgets)] for x in workloads]
    )
    return known + (_LEAST_MISS * known if miss_s is None else miss_s)
