"""What kept results say: methods at sparsities, and their differences."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leanbrain.checks import UserError, check_known
from leanbrain.pruning.comparison.rows import Kept, key
from leanbrain.pruning.comparison.statistics import (
    Difference,
    band,
    hierarchical,
)

__all__ = ["MANY", "Findings", "Point", "Versus", "analyse"]

REFERENCE = "adaptive"
MANY = 6
"""With more methods than this, pages say less of each."""

_DRAWS = 10_000


@dataclass(frozen=True)
class Point:
    """A method at a sparsity, over its seeds.

    Arguments
    ---------
    method : str
        Its name.
    sparsity : float
        Share of the targets' weights that is removed.
    rows : tuple
        What was kept of it, one mapping per seed.
    mean, low, high : float
        Mean CER over languages and seeds with its interval, in percent; NaN
        for an interval of which the utterances were not kept.
    """

    method: str
    sparsity: float
    rows: tuple[Mapping[str, Any], ...]
    mean: float
    low: float
    high: float

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, as they come."""
        return tuple(row["seed"] for row in self.rows)

    def average(self, column: str) -> float | None:
        """Mean of a column over the seeds; None where one has no number."""
        values = [row.get(column) for row in self.rows]
        known = [float(x) for x in values if isinstance(x, int | float)]
        return statistics.mean(known) if len(known) == len(values) else None


@dataclass(frozen=True)
class Versus:
    """The reference against another method at one sparsity.

    Arguments
    ---------
    point, other : Point
        The reference and the other one.
    difference : Difference
        Reference minus other, over their common seeds.
    """

    point: Point
    other: Point
    difference: Difference

    @property
    def lower(self) -> bool:
        """Whether the reference surely makes fewer errors."""
        return self.difference.high < 0.0

    @property
    def higher(self) -> bool:
        """Whether the reference surely makes more errors."""
        return self.difference.low > 0.0


@dataclass(frozen=True)
class Findings:
    """All that a report says of its numbers.

    Arguments
    ---------
    kept : Kept
        The results.
    reference : str
        The method that the others are compared with.
    points : tuple[Point, ...]
        In the order of the results.
    versus : tuple[Versus, ...]
        By sparsity, ascending.
    confidence : float
        Of all intervals.
    problems : tuple[str, ...]
        What could not be compared, one sentence each.
    """

    kept: Kept
    reference: str
    points: tuple[Point, ...]
    versus: tuple[Versus, ...]
    confidence: float
    problems: tuple[str, ...]

    @property
    def sparsities(self) -> tuple[float, ...]:
        """Those above 0, ascending."""
        return tuple(sorted({x.sparsity for x in self.points} - {0.0}))

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them, the reference first."""
        names = dict.fromkeys(x.method for x in self.points)
        return tuple(sorted(names, key=lambda x: x != self.reference))

    @property
    def main_sparsity(self) -> float:
        """Where most methods were run; of several the middle one."""
        count = Counter(x.sparsity for x in self.points if x.sparsity)
        most = sorted(x for x in count if count[x] == max(count.values()))
        return most[len(most) // 2]

    def at(self, sparsity: float) -> list[Point]:
        """The points at a sparsity, the reference first."""
        found = [x for x in self.points if x.sparsity == sparsity]
        return sorted(found, key=lambda x: x.method != self.reference)

    def index(self, method: str) -> int:
        """Number of a method: its colour."""
        return self.methods.index(method)

    def of_runs(self, kind: Mapping[str, Any], point: Point) -> list[Any]:
        """What was kept of the runs of a point, for the seeds that have it."""
        keys = [key(point.method, point.sparsity, x) for x in point.seeds]
        return [kind[x] for x in keys if kind.get(x)]


def analyse(
    kept: Kept,
    reference: str | None = None,
    draws: int = _DRAWS,
    confidence: float = 0.95,
    seed: int = 0,
    bands: bool = True,
) -> Findings:
    """Computes means, bands and paired differences.

    Arguments
    ---------
    kept : Kept
        The results.
    reference : str | None
        The method that all others are compared with; None takes "adaptive",
        or the first sparse method where there is none of that name.
    draws : int
        Resamples of each interval.
    confidence : float
        Of the intervals.
    seed : int
        Of the resampling: the same results give the same page.
    bands : bool
        Whether to compute the intervals of single methods as well.

    Returns
    -------
    Findings
        What the report shows.

    Raises
    ------
    UserError
        If there is no sparse result, or none of the reference.
    """
    sparse = [x["method"] for x in kept.rows if x["sparsity"] > 0.0]
    if not sparse:
        raise UserError(
            "A report needs the results of at least one sparse run, got "
            f"{len(kept.rows)} rows."
        )
    if reference is None:
        reference = REFERENCE if REFERENCE in sparse else sparse[0]
    check_known("reference", reference, dict.fromkeys(sparse))
    settings = {"n": draws, "confidence": confidence}
    points = [
        _point(kept, rows, seed, settings if bands else None)
        for rows in _groups(kept.rows)
    ]
    versus, problems = _compare(kept, reference, points, seed, settings)
    return Findings(
        kept,
        reference,
        tuple(points),
        tuple(versus),
        confidence,
        tuple(problems),
    )


def _groups(
    rows: Sequence[Mapping[str, Any]],
) -> list[list[Mapping[str, Any]]]:
    """Collects the rows of each method and sparsity."""
    groups: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["sparsity"]), []).append(row)
    return list(groups.values())


def _point(
    kept: Kept,
    rows: Sequence[Mapping[str, Any]],
    seed: int,
    settings: Mapping[str, Any] | None,
) -> Point:
    """Averages a method at a sparsity."""
    method, sparsity = rows[0]["method"], rows[0]["sparsity"]
    edits = _edits(kept, method, sparsity, [x["seed"] for x in rows])
    if settings is None or len(edits) < len(rows):
        mean = statistics.mean(x["mean_cer"] for x in rows)
        return Point(method, sparsity, tuple(rows), mean, math.nan, math.nan)
    found = band(
        edits,
        kept.utterances["characters"],
        generator=np.random.default_rng(seed),
        **settings,
    )
    return Point(
        method, sparsity, tuple(rows), found.mean, found.low, found.high
    )


def _compare(
    kept: Kept,
    reference: str,
    points: Sequence[Point],
    seed: int,
    settings: Mapping[str, Any],
) -> tuple[list[Versus], list[str]]:
    """Compares the reference with all others, where both have a seed."""
    versus, problems = [], []
    sparse = [x for x in points if x.method == reference and x.sparsity]
    for point in sorted(sparse, key=lambda x: x.sparsity):
        for other in points:
            if other.method == reference:
                continue
            if other.sparsity not in (0.0, point.sparsity):
                continue
            common = [x for x in point.seeds if x in other.seeds]
            mine = _edits(kept, point.method, point.sparsity, common)
            others = _edits(kept, other.method, other.sparsity, common)
            if not common or not len(mine) == len(others) == len(common):
                problems.append(
                    f"{reference} at {100 * point.sparsity:g} % is not "
                    f"compared with {other.method}: no seed of both, or no "
                    "edits by utterance."
                )
                continue
            difference = hierarchical(
                mine,
                others,
                kept.utterances["characters"],
                generator=np.random.default_rng(seed),
                **settings,
            )
            versus.append(Versus(point, other, difference))
    return versus, problems


def _edits(
    kept: Kept, method: str, sparsity: float, seeds: Sequence[int]
) -> dict[int, Mapping[str, Sequence[int]]]:
    """Character edits by seed, language and utterance, where known."""
    edits = kept.utterances["edits"]
    known = {x: edits.get(key(method, sparsity, x)) for x in seeds}
    return {x: by_language for x, by_language in known.items() if by_language}
