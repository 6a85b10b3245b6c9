"""Times as tables, and the area under a performance profile."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from leanbrain.checks import UserError

__all__ = ["Times", "as_times", "exact_area", "named", "table_of"]

Times = Mapping[str, Mapping[str, float]]
"""Submission -> workload -> seconds; inf: target not reached."""


def as_times(values: ArrayLike) -> np.ndarray:
    """Times as floats; NaN, as a trial that broke leaves it, becomes inf.

    Arguments
    ---------
    values : array
        Seconds.

    Returns
    -------
    array

    Raises
    ------
    UserError
        If a time is zero or negative.
    """
    table = np.asarray(values, dtype=float)
    table = np.where(np.isnan(table), math.inf, table)
    if np.any(table <= 0):
        raise UserError(f"Times must be > 0 s, got {table.min():g}.")
    return table


def table_of(times: Times) -> tuple[list[str], np.ndarray]:
    """Names of the submissions, and times as a table.

    Arguments
    ---------
    times : Mapping
        As for `benchmark_scores`.

    Returns
    -------
    tuple
        Names; array [submissions, workloads].

    Raises
    ------
    UserError
        If a time is not positive or a submission lacks a workload.
    """
    names = list(times)
    if not names or not times[names[0]]:
        raise UserError(
            "`times` must hold at least one submission with one workload."
        )
    workloads = list(times[names[0]])
    for name in names:
        odd = set(workloads) ^ set(times[name])
        if odd:
            raise UserError(
                "All submissions must have a time for every workload (inf "
                f"where the target was not reached), got {names[0]!r} and "
                f"{name!r}, which differ by {', '.join(sorted(odd))}."
            )
    return names, as_times([[times[x][w] for w in workloads] for x in names])


def named(names: Iterable[str], values: np.ndarray) -> dict[str, float]:
    """Puts names to numbers.

    Arguments
    ---------
    names : Iterable[str]
    values : array [names]

    Returns
    -------
    dict
    """
    return {x: float(y) for x, y in zip(names, values, strict=True)}


def exact_area(ratios: np.ndarray, max_ratio: float) -> np.ndarray:
    """The area under the step from 0 to 1 at r, over [1, max_ratio].

    Arguments
    ---------
    ratios : array
        Times over that of the fastest.
    max_ratio : float
        Where the profile ends.

    Returns
    -------
    array
        In [0, 1]; above 1 where a ratio is below 1.
    """
    return np.maximum(max_ratio - ratios, 0.0) / (max_ratio - 1.0)
