"""Which hyper-parameters trials get."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from leanbrain.optbench.protocol.search import SearchSpace
from leanbrain.optbench.protocol.targets import relax, steps_to_target
from leanbrain.optbench.suite.suite import Suite

__all__ = ["best_points", "score_points", "search_points"]


def search_points(suite: Suite, name: str) -> list[dict[str, Any]]:
    """The points among which targets are searched.

    Arguments
    ---------
    suite : Suite
        Whose rules say how many.
    name : str
        The optimizer.

    Returns
    -------
    list
        The first points of its quasi-random sequence.
    """
    return _draw(suite, name, suite.rules.target.points)


def score_points(suite: Suite, name: str) -> list[list[dict[str, Any]]]:
    """The points of an optimizer that are scored.

    Arguments
    ---------
    suite : Suite
        Whose rules say how many.
    name : str
        The optimizer.

    Returns
    -------
    list
        By study and trial.
    """
    rules, searched = suite.rules, suite.rules.target.points
    studies, trials = rules.studies, rules.trials_per_study
    if rules.tuning == "self":
        # One setting for all: the numbers of the file.
        return [[{}] * trials for _ in range(studies)]
    space = suite.specs[name].space(rules.short_runs)
    if isinstance(space, list):
        # Full points that somebody chose: there are no others.
        return SearchSpace.from_mapping(space).draw(studies, trials)
    # None of those among which the target's own was chosen.
    points = _draw(suite, name, searched + studies * trials)[searched:]
    return [points[i * trials : (i + 1) * trials] for i in range(studies)]


def _draw(suite: Suite, name: str, count: int) -> list[dict[str, Any]]:
    """The first points of an optimizer's quasi-random sequence."""
    space = suite.specs[name].space(suite.rules.short_runs)
    return SearchSpace.from_mapping(space).draw(1, count)[0]


def best_points(
    rows: Iterable[Mapping[str, Any]], percent: float
) -> dict[tuple[str, str, int], Mapping[str, Any]]:
    """The points that did best.

    Arguments
    ---------
    rows : Iterable
        Rows of the ledger; only those of score trials are looked at.
    percent : float
        By how much the target that is scored is relaxed.

    Returns
    -------
    dict
        (workload, optimizer, study) -> its hyper-parameters.
    """
    best: dict[tuple[str, str, int], tuple[Any, Mapping[str, Any]]] = {}
    for row in rows:
        config, result = row["config"], row.get("result") or {}
        ended_well = row["status"] in ("done", "diverged") and result
        if config.get("kind") != "score" or not ended_well:
            continue
        # First whoever reached what is scored, the soonest; then the closest.
        goal = relax(config["target"], percent)
        steps = steps_to_target(result["curve"], config["metric"], goal)
        numbers = steps, result.get("best")
        merit = [math.inf if x is None else x for x in numbers]
        key = (config["workload"], config["optimizer"], config["study"])
        if key not in best or merit < best[key][0]:
            best[key] = (merit, config["hyperparameters"])
    return {key: point for key, (_, point) in best.items()}
