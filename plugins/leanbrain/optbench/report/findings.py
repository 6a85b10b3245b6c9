"""The results of a benchmark, as tables and charts need them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leanbrain.optbench.report.collect import Collected
from leanbrain.optbench.report.outcomes import Outcome
from leanbrain.optbench.statistics.stats import (
    Comparison,
    ScoreInterval,
    Stability,
)

__all__ = ["Findings", "Interval", "Seconds"]

Seconds = dict[str, dict[str, float]]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Findings:
    """The results of a benchmark.

    Arguments
    ---------
    data : Collected
        The trials.
    outcomes : list[Outcome]
        What became of each, at the target that is scored.
    problems : list[str]
        What is wrong with the ledger itself.
    reference : str
        The optimizer that all others are compared with.
    order : tuple[str, ...]
        Optimizers, the highest score first.
    seconds : dict
        Optimizer -> workload -> seconds to the target; inf: not reached.
    time_intervals : dict
        Optimizer -> workload -> (low, high).
    variant_seconds : dict
        (workload, variant) -> optimizer -> seconds.
    refused : set
        (optimizer, workload) reached, but too slow to count, or failed on a
        variant.
    scores : dict
        Optimizer -> score and rank, with their intervals.
    speedups, reference_scores : dict
        Optimizer -> how it compares with the reference alone.
    step_ranks : dict
        Optimizer -> its rank if steps counted in place of seconds.
    taus : list[float]
        Where the performance profiles are known.
    profiles : dict
        Optimizer -> its profile.
    comparisons, versus : dict
        Optimizer -> `stats.Comparison` of the first with it; of it with the
        reference.
    sensitivity : dict
        Percent by which targets are relaxed -> optimizer -> score.
    stability : Stability | None
        The ranks there.
    """

    data: Collected
    outcomes: list[Outcome]
    problems: list[str]
    reference: str
    order: tuple[str, ...]
    seconds: Seconds
    time_intervals: dict[str, dict[str, Interval]]
    variant_seconds: dict[tuple[str, str], dict[str, float]]
    refused: set[tuple[str, str]]
    scores: dict[str, ScoreInterval]
    speedups: dict[str, float]
    reference_scores: dict[str, float]
    step_ranks: dict[str, int]
    taus: list[float]
    profiles: dict[str, list[float]]
    comparisons: dict[str, Comparison]
    versus: dict[str, Comparison]
    sensitivity: dict[float, dict[str, float]]
    stability: Stability | None

    @property
    def confidence(self) -> float:
        """Of all intervals."""
        return self.data.rules.bootstrap.confidence

    @property
    def hosts(self) -> list[Mapping[str, Any]]:
        """The kinds of machines; their load, which changes, left out."""
        rows = [x for by in self.data.rows.values() for x in by]
        kinds = set()
        for row in rows:
            host = dict(row.get("host") or {})
            host.pop("load", None)
            kinds.add(json.dumps(host, sort_keys=True))
        return [json.loads(x) for x in sorted(kinds)]

    def evaluation_share(
        self, workload: str, optimizer: str | None = None
    ) -> float | None:
        """Seconds of evaluation, of all seconds of the trials of a workload.

        Arguments
        ---------
        workload : str
            Its name; its variants count, too.
        optimizer : str | None
            Whose trials; None takes all.

        Returns
        -------
        float | None
            None if no trial was measured.
        """
        evaluation = training = 0.0
        for x in self.outcomes:
            curve = x.result.get("curve")
            if x.place.workload != workload or not curve:
                continue
            if optimizer in (None, x.place.optimizer):
                evaluation += x.result.get("evaluation_s") or 0.0
                training += curve[-1].get("step_s") or 0.0
        total = evaluation + training
        return evaluation / total if total else None

    def index(self, name: str) -> int:
        """The number of an optimizer, by which it has the same colour."""
        return self.data.optimizers.index(name)

    def reached(self, name: str) -> int:
        """On how many workloads an optimizer reached the target."""
        return sum(math.isfinite(x) for x in self.seconds[name].values())

    def wins(self, name: str) -> int:
        """On how many workloads that count no other optimizer is faster."""
        count = 0
        for workload in self.seconds[name]:
            best = min(self._counted_s(x, workload) for x in self.order)
            mine = self._counted_s(name, workload)
            count += math.isfinite(mine) and mine <= best
        return count

    def _counted_s(self, name: str, workload: str) -> float:
        """Seconds that the score counts."""
        if (name, workload) in self.refused:
            return math.inf
        return self.seconds[name][workload]

    def typical(self, name: str, workload: str) -> Outcome | None:
        """The trial that decides an optimizer's time, or came nearest."""
        trials = [
            x
            for x in self.outcomes
            if x.place[:3] == (name, workload, None) and x.result.get("curve")
        ]
        wanted = self.seconds[name][workload]

        def far(trial: Outcome) -> tuple[float, float, int, int]:
            """How far a trial is from what is wanted."""
            best = trial.result.get("best")
            off = abs(trial.seconds - wanted) if math.isfinite(wanted) else 0.0
            nearest = math.inf if best is None else float(best)
            return off, nearest, trial.place.study, trial.place.trial

        return min(trials, key=far, default=None)

    def seconds_at(self, trial: Outcome, step: int) -> float:
        """The time of a trial at a step, in the unit that is scored."""
        place = trial.place
        step_s = self.data.step_s(place.workload, place.optimizer)
        if step_s is not None and self.data.rules.time_unit == "calibrated":
            return step * step_s
        points = trial.result.get("curve") or []
        clock = [x.get("step_s") for x in points if x["step"] == step]
        return float(clock[0]) if clock and clock[0] is not None else math.nan
