"""From times to findings: scores, ranks, comparisons, intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from leanbrain.optbench.report.collect import Collected, Times
from leanbrain.optbench.report.findings import Findings, Interval, Seconds
from leanbrain.optbench.statistics.reference import (
    ALGOPERF_MISS_S,
    reference_scores,
    speedups,
)
from leanbrain.optbench.statistics.score import (
    benchmark_scores,
    performance_profile,
    require_variants,
    time_of_trials,
)
from leanbrain.optbench.statistics.stats import (
    Comparison,
    ScoreInterval,
    bootstrap_scores,
    compare,
    rank_stability,
    ranks_of,
)

__all__ = ["analyse"]

PREFERRED = "adamw"
"""With what all others are compared, if it was run."""

POINTS = 151  # of a performance profile

SEED = 0  # the same ledger gives the same report


def analyse(data: Collected, problems: Sequence[str] = ()) -> Findings:
    """Draws the conclusions.

    Arguments
    ---------
    data : Collected
        What `collect` returns.
    problems : Sequence[str]
        What is wrong with the ledger itself, for the reader.

    Returns
    -------
    Findings
        The same for the same data: resampling has a fixed seed.
    """
    rules, times = data.rules, data.times()
    seconds = _over_trials(times, rules.tuning)
    counted = _counted(data, seconds, None)
    refused = _refused(data, seconds, counted)
    scores = _scores(data, times, refused)
    order = tuple(
        sorted(
            data.optimizers,
            key=lambda x: (scores[x].rank, -_inverse(seconds[x]), x),
        )
    )
    reference = PREFERRED if PREFERRED in order else "".join(order[:1])
    budgets = _budgets(data, seconds)
    relaxed = _sensitivity(data)
    taus = np.linspace(1.0, rules.max_ratio, POINTS).tolist()
    whole = bool(order and data.workloads)
    alone: dict[str, dict[str, float]] = {"speedups": {}, "scores": {}}
    if whole:
        miss_s = ALGOPERF_MISS_S if rules.time_unit == "wall" else None
        alone["speedups"] = speedups(seconds, reference, budgets, miss_s)
        alone["scores"] = reference_scores(
            seconds, reference, budgets, rules.max_ratio, miss_s
        )
    profiles = performance_profile(counted, taus) if whole else {}
    return Findings(
        data=data,
        outcomes=data.outcomes(),
        problems=list(problems),
        reference=reference,
        order=order,
        seconds=seconds,
        time_intervals=_time_intervals(data, times),
        variant_seconds=_variant_seconds(data, None),
        refused={x for x in refused if math.isfinite(seconds[x[0]][x[1]])},
        scores=scores,
        speedups=alone["speedups"],
        reference_scores=alone["scores"],
        step_ranks=_step_ranks(data),
        taus=taus,
        profiles={k: x.tolist() for k, x in profiles.items()},
        comparisons=_compare(data, times, order, budgets),
        versus={
            name: _compare(data, times, (name, reference), budgets)[reference]
            for name in order
            if name != reference
        },
        sensitivity=relaxed,
        stability=rank_stability(relaxed) if relaxed and whole else None,
    )


def _over_trials(times: Times, tuning: str) -> Seconds:
    """Seconds of each optimizer on each workload."""
    return {
        name: {k: time_of_trials(x, tuning) for k, x in by.items()}
        for name, by in times.items()
    }


def _variant_seconds(
    data: Collected, percent: float | None
) -> dict[tuple[str, str], dict[str, float]]:
    """Seconds of each optimizer on each variant."""
    return {
        key: {k: time_of_trials(x, data.rules.tuning) for k, x in by.items()}
        for key, by in data.variant_times(percent).items()
    }


def _counted(
    data: Collected, seconds: Seconds, percent: float | None
) -> Seconds:
    """Takes workloads away from who fails on their variants."""
    if not data.rules.variants or not seconds or not data.workloads:
        return seconds
    variants: dict[str, dict[str, Mapping[str, float]]] = {}
    for (workload, name), by in _variant_seconds(data, percent).items():
        variants.setdefault(workload, {})[name] = by
    return require_variants(seconds, variants, data.rules.max_ratio)


def _refused(
    data: Collected, seconds: Seconds, counted: Seconds
) -> set[tuple[str, str]]:
    """(optimizer, workload) that does not count, whatever its trials say."""
    # As if all were equally fast on the workloads themselves: what is taken
    # away then is taken for the variants.
    equal = {name: dict.fromkeys(by, 1.0) for name, by in seconds.items()}
    equal = _counted(data, equal, None)
    return {
        (name, workload)
        for name, by in seconds.items()
        for workload, value in by.items()
        if math.isinf(equal[name][workload])
        or (math.isinf(counted[name][workload]) and math.isfinite(value))
    }


def _scores(
    data: Collected, times: Times, refused: set[tuple[str, str]]
) -> dict[str, ScoreInterval]:
    """Scores and ranks with intervals."""
    if not times or not data.workloads:
        return {}
    kept = {
        name: {
            k: np.full_like(x, math.inf) if (name, k) in refused else x
            for k, x in by.items()
        }
        for name, by in times.items()
    }
    rules = data.rules
    return bootstrap_scores(
        kept,
        np.random.default_rng(SEED),
        draws=rules.bootstrap.draws,
        confidence=rules.bootstrap.confidence,
        mode=rules.score_mode,
        max_ratio=rules.max_ratio,
    )


def _inverse(seconds: Mapping[str, float]) -> float:
    """Mean speed: orders those whose scores are equal."""
    return sum(1.0 / x for x in seconds.values())


def _budgets(data: Collected, seconds: Seconds) -> dict[str, float]:
    """Seconds that a workload may take; the slowest where nothing says so."""
    budgets = {}
    for workload in data.workloads:
        rows = [
            row
            for place, row in data.trials.items()
            if place.workload == workload and place.variant is None and row
        ]
        known = [data.budget_s(workload, row) for row in rows]
        known = [x for x in known if math.isfinite(x)]
        if not known:
            known = [x[workload] for x in seconds.values()]
            known = [x for x in known if math.isfinite(x)]
        budgets[workload] = max(known, default=1.0)
    return budgets


def _time_intervals(
    data: Collected, times: Times
) -> dict[str, dict[str, Interval]]:
    """Intervals of the times: studies are resampled, then their trials."""
    rules = data.rules.bootstrap
    error = (1.0 - rules.confidence) / 2
    rng = np.random.default_rng(SEED)
    shape = data.rules.studies, data.rules.trials_per_study
    study = rng.integers(shape[0], size=(rules.draws, shape[0], 1))
    trial = rng.integers(shape[1], size=(rules.draws, *shape))
    found: dict[str, dict[str, Interval]] = {}
    for name, by in times.items():
        found[name] = {}
        for workload, seconds in by.items():
            drawn = np.median(seconds[study, trial].min(axis=-1), axis=-1)
            # Never between two draws: one of them may be infinite.
            low = np.quantile(drawn, error, method="lower")
            high = np.quantile(drawn, 1.0 - error, method="higher")
            found[name][workload] = float(low), float(high)
    return found


def _compare(
    data: Collected,
    times: Times,
    names: Sequence[str],
    budgets: Mapping[str, float],
) -> dict[str, Comparison]:
    """Compares the first of the names with each of the others."""
    return {
        name: compare(
            times[names[0]],
            times[name],
            confidence=data.rules.bootstrap.confidence,
            max_ratio=data.rules.max_ratio,
            budgets=budgets,
        )
        for name in names[1:]
    }


def _sensitivity(data: Collected) -> dict[float, dict[str, float]]:
    """Scores at relaxed targets; variants are relaxed as well."""
    if not data.optimizers or not data.workloads:
        return {}
    rules, found = data.rules, {}
    percents = {*rules.target.relaxations_percent}
    for percent in sorted(percents | {rules.target.relaxation_percent}):
        seconds = _over_trials(data.times(percent), rules.tuning)
        found[percent] = benchmark_scores(
            _counted(data, seconds, percent), rules.score_mode, rules.max_ratio
        )
    return found


def _step_ranks(data: Collected) -> dict[str, int]:
    """Ranks if the number of steps were scored in place of seconds."""
    if not data.optimizers or not data.workloads:
        return {}
    shape = data.rules.studies, data.rules.trials_per_study
    steps: Times = {
        name: {w: np.full(shape, math.inf) for w in data.workloads}
        for name in data.optimizers
    }
    for x in data.outcomes():
        place = x.place
        if place.variant is None and x.status == "reached" and x.steps:
            by = steps[place.optimizer]
            by[place.workload][place.study, place.trial] = x.steps
    scores = benchmark_scores(
        _over_trials(steps, data.rules.tuning),
        data.rules.score_mode,
        data.rules.max_ratio,
    )
    ranks = ranks_of(list(scores.values()))
    return dict(zip(scores, map(int, ranks), strict=True))
