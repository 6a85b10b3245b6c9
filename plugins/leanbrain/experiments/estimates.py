"""What a set of trials will cost, before and while they run."""

import heapq
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import check_int
from leanbrain.experiments.ledger import Ledger
from leanbrain.experiments.trials import Trial

__all__ = ["Estimate", "duration", "estimate", "makespan", "scale"]


@dataclass(frozen=True)
class Estimate:
    """How much there is to do.

    Arguments
    ---------
    total : int
        Number of different trials.
    todo : int
        Number of those that are not recorded yet.
    seconds : float | None
        How long they will take; None if nothing is known of any of them.
    unknown : int
        Number of those to do that name no cost: the mean of the others is
        taken for them.
    """

    total: int
    todo: int
    seconds: float | None
    unknown: int

    def __str__(self) -> str:
        """Says it in one line."""
        if not self.todo:
            return f"All {self.total} trials are recorded already."
        text = f"{self.todo} of {self.total} trials to run"
        if self.seconds is None:
            return f"{text}, duration unknown"
        text += f", about {duration(self.seconds)}"
        return text + (
            f" ({self.unknown} of unknown duration)" if self.unknown else ""
        )


def estimate(
    trials: Iterable[Trial],
    root: str | os.PathLike[str],
    workers: int,
    *,
    retry: Iterable[str] = (),
) -> Estimate:
    """Estimates how long trials will take.

    Arguments
    ---------
    trials : Iterable[Trial]
        All trials; equal ones count once.
    root : path
        The folder of the experiment: what it holds is not run again, and says
        by how much the costs were wrong.
    workers : int
        How many run at the same time.
    retry : Iterable[str]
        Statuses that are run again.

    Returns
    -------
    Estimate
        The numbers; as text, one line to show.

    Example
    -------
    >>> trials = [Trial("math:fsum", {"i": i}, cost_s=10.0) for i in range(5)]
    >>> str(estimate(trials, "none", workers=2))
    '5 of 5 trials to run, about 30 s'
    """
    check_int("workers", workers, low=1)
    again = set(retry)
    unique = {trial.digest: trial for trial in trials}
    rows = {row["digest"]: row for row in Ledger(root).read()}
    done = {
        digest
        for digest in unique.keys() & rows.keys()
        if rows[digest]["status"] not in again
    }
    todo = [trial for digest, trial in unique.items() if digest not in done]
    costs = expected(todo, scale(unique.values(), rows.values()))
    return Estimate(
        total=len(unique),
        todo=len(todo),
        seconds=makespan(costs, workers) if costs or not todo else None,
        unknown=sum(trial.cost_s is None for trial in todo),
    )


def expected(trials: Sequence[Trial], factor: float) -> list[float]:
    """Gives each trial a cost.

    Arguments
    ---------
    trials : Sequence[Trial]
        The trials.
    factor : float
        What the named costs are multiplied by.

    Returns
    -------
    list
        Seconds, one for each; empty if no trial names any.
    """
    known = [x.cost_s for x in trials if x.cost_s is not None]
    if not known:
        return []
    mean = sum(known) / len(known)
    return [factor * (mean if x.cost_s is None else x.cost_s) for x in trials]


def scale(trials: Iterable[Trial], rows: Iterable[dict[str, Any]]) -> float:
    """Compares what trials took with what they were said to cost.

    Arguments
    ---------
    trials : Iterable[Trial]
        The trials.
    rows : Iterable[dict[str, Any]]
        Rows; those of other trials, and of other endings than "done", are
        left out.

    Returns
    -------
    float
        Real over estimated seconds; 1 if there is nothing to compare.
    """
    costs = {x.digest: x.cost_s for x in trials if x.cost_s is not None}
    pairs = [
        (row["seconds"], costs[row["digest"]])
        for row in rows
        if row["digest"] in costs and row["status"] == "done"
    ]
    return sum(a for a, _ in pairs) / sum(b for _, b in pairs) if pairs else 1.0


def makespan(costs: Iterable[float], workers: int) -> float:
    """Computes when the last of some trials ends, begun in their order.

    Arguments
    ---------
    costs : Iterable[float]
        What each takes.
    workers : int
        How many run at the same time.

    Returns
    -------
    float
        The time from the first beginning to the last end.

    Example
    -------
    >>> makespan([1, 1, 4], workers=2)
    5.0
    """
    free = [0.0] * workers
    for cost in costs:
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


def duration(seconds: float) -> str:
    """Writes a duration for people.

    Arguments
    ---------
    seconds : float
        The duration.

    Returns
    -------
    str
        Such as "42 s", "3 min 20 s" or "5 h 07 min".

    Example
    -------
    >>> duration(18420), duration(200), duration(0.2)
    ('5 h 07 min', '3 min 20 s', '1 s')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
