"""From times to scores: performance profiles and what is made of them.

A submission (an optimizer with its search space) has one time per workload;
r is that time over the fastest of all submissions. The profile rho(tau) is the
share of workloads with r <= tau, the benchmark score the mean of rho over
tau in [1, max_ratio] (Dolan and More, arXiv cs/0102001; arXiv 2306.07179,
section 5). For one workload the integral is (max_ratio - r)/(max_ratio - 1),
or 0 beyond max_ratio.

Such scores depend on who else is in the pool: a faster submission lowers all
others. The module `reference` beside this one compares with one submission.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from leanbrain.checks import UserError, check_known
from leanbrain.optbench.statistics.reference import reference_scores, speedups
from leanbrain.optbench.statistics.tables import (
    Times,
    as_times,
    exact_area,
    named,
    table_of,
)

__all__ = [
    "MODES",
    "benchmark_scores",
    "performance_profile",
    "reference_scores",
    "require_variants",
    "score_array",
    "speedups",
    "time_of_trials",
]

GRID = 100
"""Points at which AlgoPerf evaluates the profile."""


def time_of_trials(times: ArrayLike, tuning: str = "external") -> float:
    """The time of a submission on a workload: median over studies.

    Arguments
    ---------
    times : array [studies, trials]
        Seconds to the target; inf or NaN where it was not reached.
    tuning : str
        "external": a study takes as long as its fastest trial; "self": a
        study is a single trial.

    Returns
    -------
    float
        Studies that did not reach the target take part as inf.

    Raises
    ------
    UserError
        If a self-tuned submission has several trials in a study.

    Example
    -------
    >>> time_of_trials([[30.0, 50.0], [np.inf, 20.0], [np.inf, np.inf]])
    30.0
    """
    table = np.atleast_2d(as_times(times))
    if tuning == "self" and table.shape[1] != 1:
        raise UserError(
            'A study must have one trial where `tuning` is "self", got '
            f"{table.shape[1]}."
        )
    return float(np.median(table.min(axis=1)))


def benchmark_scores(
    times: Times, mode: str = "exact", max_ratio: float = 4.0
) -> dict[str, float]:
    """Scores of all submissions of a pool, from 0 to 1.

    Arguments
    ---------
    times : Mapping
        Submission -> workload -> seconds; inf or NaN: target not reached.
        Workloads that nobody reached count as well, so that the best score
        may be below 1.
    mode : str
        "exact": the integral of the profile; "grid": AlgoPerf's trapezoid
        over 100 points, up to 0.5/99 away for each workload.
    max_ratio : float
        Times beyond this multiple of the fastest count as not reached.

    Returns
    -------
    dict
        Submission -> score.

    Raises
    ------
    UserError
        If a time is not positive or a submission lacks a workload.

    Example
    -------
    >>> benchmark_scores({"a": {"x": 10.0}, "b": {"x": 25.0}})
    {'a': 1.0, 'b': 0.5}
    """
    names, table = table_of(times)
    return named(names, score_array(table, mode, max_ratio))


def score_array(
    times: ArrayLike, mode: str = "exact", max_ratio: float = 4.0
) -> np.ndarray:
    """Scores of many pools at once.

    Arguments
    ---------
    times : array [..., submissions, workloads]
        Seconds, inf where the target was not reached.
    mode : str
        As for `benchmark_scores`.
    max_ratio : float
        As for `benchmark_scores`.

    Returns
    -------
    array [..., submissions]
    """
    check_known("mode", mode, MODES)
    return MODES[mode](_ratios(as_times(times)), max_ratio).mean(axis=-1)


def performance_profile(
    times: Times, taus: Sequence[float]
) -> dict[str, np.ndarray]:
    """The share of workloads on which a submission is within tau x fastest.

    Arguments
    ---------
    times : Mapping
        As for `benchmark_scores`.
    taus : Sequence[float]
        Multiples of the fastest time.

    Returns
    -------
    dict
        Submission -> array as long as taus.

    Example
    -------
    >>> times = {"a": {"x": 10.0}, "b": {"x": 25.0}}
    >>> performance_profile(times, [1.0, 2.0, 3.0])["b"].tolist()
    [0.0, 0.0, 1.0]
    """
    names, table = table_of(times)
    within = _ratios(table)[:, :, None] <= np.asarray(taus, dtype=float)
    return dict(zip(names, within.mean(axis=1), strict=True))


def require_variants(
    times: Times,
    variants: Mapping[str, Mapping[str, Mapping[str, float]]],
    max_ratio: float = 4.0,
) -> dict[str, dict[str, float]]:
    """Takes a workload's time away from who fails on its variants.

    A time counts only if base and variant were both reached within max_ratio
    times the fastest there (AlgoPerf v0.5's rule of held-out workloads).

    Arguments
    ---------
    times : Mapping
        As for `benchmark_scores`.
    variants : Mapping
        Workload -> variant -> submission -> seconds.
    max_ratio : float
        See above.

    Returns
    -------
    dict
        The times, some of them now inf.

    Example
    -------
    >>> times = {"a": {"x": 10.0}, "b": {"x": 25.0}}
    >>> require_variants(times, {"x": {"gelu": {"a": np.inf, "b": 30.0}}})
    {'a': {'x': inf}, 'b': {'x': 25.0}}
    """
    names, _ = table_of(times)
    kept = {name: dict(row) for name, row in times.items()}
    for workload, columns in variants.items():
        base = {name: times[name][workload] for name in names}
        for column in (base, *columns.values()):
            seconds = as_times([[column.get(x, math.inf)] for x in names])
            ok = _ratios(seconds)[:, 0] <= max_ratio
            for name, passed in zip(names, ok, strict=True):
                if not passed:
                    kept[name][workload] = math.inf
    return kept


def _grid(ratios: np.ndarray, max_ratio: float) -> np.ndarray:
    """The trapezoid over a step: the interval it lies in counts by half."""
    taus = np.linspace(1.0, max_ratio, GRID)
    first = np.searchsorted(taus, ratios, side="left")
    share = (GRID - 0.5 - first) / (GRID - 1)
    return np.where(first == 0, 1.0, np.where(first < GRID, share, 0.0))


MODES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "exact": exact_area,
    "grid": _grid,
}


def _ratios(times: np.ndarray) -> np.ndarray:
    """Times over the fastest of the pool, submissions being axis -2."""
    fastest = times.min(axis=-2, keepdims=True)
    # Where nobody reached the target: inf over 1, not inf over inf.
    return times / np.where(np.isfinite(fastest), fastest, 1.0)
