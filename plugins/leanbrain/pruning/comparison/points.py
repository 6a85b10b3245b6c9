"""Methods at sparsities, and their differences: what a report speaks of."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leanbrain.pruning.comparison.rows import Kept, key
from leanbrain.pruning.comparison.statistics import Difference

__all__ = ["MANY", "Findings", "Point", "Versus"]

MANY = 6
"""With more methods than this, pages say less of each."""


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

    @property
    def is_trained(self) -> bool:
        """Whether it has had any step, be it of its dense start."""
        steps = [self.average(x) for x in ("total_steps", "start_steps")]
        return steps != [0.0, 0.0]

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
    def seeds(self) -> tuple[int, ...]:
        """Those that both have."""
        return tuple(x for x in self.point.seeds if x in self.other.seeds)

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
    def mixed(self) -> bool:
        """Whether some begin with a dense start, and others from scratch."""
        trained = [x for x in self.points if x.is_trained]
        return len({x.average("start_steps") for x in trained}) > 1

    def steps_of(self, point: Point) -> float | None:
        """The optimizer steps by which methods can be compared.

        All beyond the dense start; where not all have one, with its own.
        """
        steps, start = point.average("total_steps"), 0.0
        if self.mixed:
            start = point.average("start_steps") or 0.0
        return None if steps is None else steps + start

    @property
    def methods(self) -> tuple[str, ...]:
        """All of them, the reference first."""
        names = dict.fromkeys(x.method for x in self.points)
        return tuple(sorted(names, key=lambda x: x != self.reference))

    @property
    def curves(self) -> tuple[str, ...]:
        """Methods at more than one sparsity: charts draw them as curves."""
        count = Counter(x.method for x in self.points if x.sparsity)
        return tuple(x for x in self.methods if count[x] > 1)

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
