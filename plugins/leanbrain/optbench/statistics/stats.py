"""How sure a benchmark's numbers are: scores, ranks, comparisons.

`compare` and `aa_rate` are in files of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from leanbrain.checks import UserError, check_fraction, check_int
from leanbrain.optbench.statistics.aa import aa_rate
from leanbrain.optbench.statistics.comparison import Comparison, compare
from leanbrain.optbench.statistics.score import score_array
from leanbrain.optbench.statistics.tables import as_times

__all__ = [
    "Comparison",
    "Samples",
    "ScoreInterval",
    "Stability",
    "aa_rate",
    "bootstrap_scores",
    "compare",
    "rank_stability",
    "ranks_of",
]

Samples = Mapping[str, Mapping[str, ArrayLike]]
"""Submission -> workload -> seconds [studies, trials]; inf: not reached."""


@dataclass(frozen=True)
class ScoreInterval:
    """A score and a rank, each with its interval.

    Arguments
    ---------
    score, low, high : float
        Benchmark score.
    rank, rank_low, rank_high : int
        1 is the best; submissions with equal scores share the better rank.
    """

    score: float
    low: float
    high: float
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Stability:
    """How ranks change as targets are relaxed.

    Arguments
    ---------
    percents : tuple[float, ...]
        Relaxations, ascending.
    ranks : dict
        Submission -> rank at each of them.
    moves : dict
        Submission -> its worst rank less its best one.
    correlation : tuple[float, ...]
        Spearman's rank correlation of each relaxation with the first; NaN
        where all submissions tie.
    """

    percents: tuple[float, ...]
    ranks: dict[str, tuple[int, ...]]
    moves: dict[str, int]
    correlation: tuple[float, ...]


def bootstrap_scores(
    times: Samples,
    rng: np.random.Generator,
    *,
    draws: int = 2000,
    confidence: float = 0.95,
    mode: str = "exact",
    max_ratio: float = 4.0,
) -> dict[str, ScoreInterval]:
    """Intervals of scores and ranks, by a hierarchical bootstrap.

    Studies are drawn with replacement, then the trials of each drawn study;
    all submissions and workloads get the same ones, since they are paired.
    Intervals of two optimizers that overlap say little, since runs are
    paired: whether one of them is faster is for `compare` to say.

    Arguments
    ---------
    times : Mapping
        Submission -> workload -> seconds [studies, trials].
    rng : np.random.Generator
        Draws.
    draws : int
        How many resamples; 2,000 or more for intervals of 95 %.
    confidence : float
        Of the intervals.
    mode, max_ratio : Any
        As for `benchmark_scores`.

    Returns
    -------
    dict
        Submission -> its score and rank, with intervals. Intervals hold the
        score and the rank of the data themselves.

    Raises
    ------
    UserError
        If submissions differ in workloads or in shape.

    Example
    -------
    >>> times = {"a": {"x": [[10.0], [11.0]]}, "b": {"x": [[25.0], [24.0]]}}
    >>> found = bootstrap_scores(times, np.random.default_rng(0), draws=200)
    >>> found["a"].score, found["a"].rank, found["b"].rank_low
    (1.0, 1, 2)
    """
    check_int("draws", draws, low=1)
    check_fraction("confidence", confidence, low_open=True, high_open=True)
    table = _stacked(times)
    own = score_array(_over_studies(table), mode, max_ratio)
    resampled = _over_studies(_resample(table, rng, draws))
    scores = score_array(resampled, mode, max_ratio)
    error = (1.0 - confidence) / 2
    low, high = np.quantile(scores, [error, 1.0 - error], axis=0)
    # Ranks are whole numbers: the outer ones, not something in between.
    ranks, rank = ranks_of(scores), ranks_of(own)
    first = np.quantile(ranks, error, axis=0, method="lower")
    last = np.quantile(ranks, 1.0 - error, axis=0, method="higher")
    return {
        name: ScoreInterval(
            score=float(own[i]),
            low=float(min(low[i], own[i])),
            high=float(max(high[i], own[i])),
            rank=int(rank[i]),
            rank_low=int(min(first[i], rank[i])),
            rank_high=int(max(last[i], rank[i])),
        )
        for i, name in enumerate(times)
    }


def ranks_of(scores: ArrayLike) -> np.ndarray:
    """Ranks by score, 1 for the highest.

    Arguments
    ---------
    scores : array [..., submissions]

    Returns
    -------
    array [..., submissions]
        Equal scores share the better rank.

    Example
    -------
    >>> ranks_of([0.5, 0.9, 0.5, 0.1]).tolist()
    [2, 1, 2, 4]
    """
    # Sums in another order differ in the last bits: no rank comes of that.
    table = np.round(np.asarray(scores, dtype=float), 12)
    better = table[..., None, :] > table[..., :, None]
    return 1 + better.sum(axis=-1)


def rank_stability(
    scores: Mapping[float, Mapping[str, float]],
) -> Stability:
    """Ranks at several relaxations of the targets.

    Arguments
    ---------
    scores : Mapping
        Relaxation in percent -> submission -> score.

    Returns
    -------
    Stability

    Raises
    ------
    UserError
        If not all relaxations have the same submissions.

    Example
    -------
    >>> scores = {0: {"a": 0.9, "b": 0.5}, 10: {"a": 0.6, "b": 0.8}}
    >>> found = rank_stability(scores)
    >>> found.ranks, found.moves, found.correlation
    ({'a': (1, 2), 'b': (2, 1)}, {'a': 1, 'b': 1}, (1.0, -1.0))
    """
    if not scores:
        raise UserError("`scores` must hold at least one relaxation, got {}.")
    percents = sorted(scores)
    names = list(scores[percents[0]])
    for percent in percents:
        if set(scores[percent]) != set(names):
            odd = ", ".join(sorted(set(scores[percent]) ^ set(names)))
            raise UserError(
                "All relaxations must have the same submissions, got "
                f"{percents[0]:g} % and {percent:g} %, which differ by {odd}."
            )
    values = np.array([[scores[p][x] for x in names] for p in percents])
    ranks = ranks_of(values)
    return Stability(
        percents=tuple(float(x) for x in percents),
        ranks={x: tuple(ranks[:, i].tolist()) for i, x in enumerate(names)},
        moves={x: int(np.ptp(ranks[:, i])) for i, x in enumerate(names)},
        correlation=tuple(_spearman(values[0], row) for row in values),
    )


def _stacked(times: Samples) -> np.ndarray:
    """Seconds as [submissions, workloads, studies, trials]."""
    if not times or not next(iter(times.values())):
        raise UserError(
            "`times` must hold at least one submission with one workload."
        )
    workloads = list(next(iter(times.values())))
    for name, row in times.items():
        odd = set(row) ^ set(workloads)
        if odd:
            raise UserError(
                "All submissions must have the same workloads, got "
                f"{', '.join(sorted(odd))} not for all ({name})."
            )
    tables = [as_times(row[x]) for row in times.values() for x in workloads]
    shapes = {x.shape for x in tables}
    if len(shapes) > 1 or tables[0].ndim != 2 or not tables[0].size:
        raise UserError(
            "All times must be of one shape [studies, trials], got "
            f"{', '.join(map(str, sorted(shapes)))}."
        )
    return np.reshape(tables, (len(times), len(workloads), *tables[0].shape))


def _resample(
    table: np.ndarray, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Resamples [draws, submissions, workloads, studies, trials]."""
    studies, trials = table.shape[-2:]
    study = rng.integers(studies, size=(draws, studies, 1))
    trial = rng.integers(trials, size=(draws, studies, trials))
    # [submissions, workloads, draws, ...] -> draws first
    return np.moveaxis(table[:, :, study, trial], 2, 0)


def _over_studies(table: np.ndarray) -> np.ndarray:
    """Median over studies of the minimum over trials."""
    return np.median(table.min(axis=-1), axis=-1)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; equal scores have the mean of their ranks."""
    x, y = _mean_ranks(a), _mean_ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = math.sqrt(float((x @ x) * (y @ y)))
    return round(float(x @ y) / norm, 12) if norm > 0 else math.nan


def _mean_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of which equal values get the mean of the ones they take."""
    first = ranks_of(values)
    last = len(values) + 1 - ranks_of(-values)
    return (first + last) / 2
