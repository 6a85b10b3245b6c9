"""Targets: set by a rule from runs.

The rule is AlgoPerf's (arXiv 2306.07179, section 4.2): several optimizers get
equally many quasi-random points; the best single point of all is repeated
with other seeds; the target is the median over seeds of the best validation
value. The median keeps a lucky run from setting a target that nobody meets
again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from leanbrain.checks import UserError, check_fraction
from leanbrain.optbench.protocol.target_file import (
    DEMANDED,
    check_target_file,
    read_targets,
    write_targets,
)

__all__ = [
    "check_target_file",
    "make_target",
    "pick_best_point",
    "read_targets",
    "relax",
    "steps_to_target",
    "validation_target",
    "write_targets",
]

RELAXATIONS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Percent of the error by which targets are relaxed for sensitivity."""

Row = Mapping[str, Any]


def relax(target: float, percent: float) -> float:
    """Relaxes a target by a share of the error.

    Of the error, not of the accuracy: 1 % of an accuracy of 77 % would be
    3.4 % of the error, and a different share on each workload.

    Arguments
    ---------
    target : float
        An error or a loss, lower being better.
    percent : float
        By how much.

    Returns
    -------
    float

    Example
    -------
    >>> relax(20.0, 5)
    21.0
    """
    check_fraction("percent", percent, high=math.inf)
    return target * (1.0 + percent / 100.0)


def steps_to_target(
    curve: Iterable[Mapping[str, Any]], metric: str, target: float
) -> int | None:
    """The step of the first evaluation that met a target.

    Arguments
    ---------
    curve : Iterable[Mapping]
        Evaluations in the order of time: "step" and "valid" (metric ->
        value).
    metric : str
        Which value.
    target : float
        Met by values <= it. Values between evaluations are not guessed.

    Returns
    -------
    int | None
        None if it was never met.

    Example
    -------
    >>> curve = [{"step": 5, "valid": {"error": 9.0}},
    ...          {"step": 10, "valid": {"error": 4.0}}]
    >>> steps_to_target(curve, "error", 4.0)
    10
    """
    for point in curve:
        value = (point.get("valid") or {}).get(metric)
        if value is not None and value <= target:
            return int(point["step"])
    return None


def validation_target(best_values: Iterable[float | None]) -> float:
    """The median over seeds of the best validation value.

    Arguments
    ---------
    best_values : Iterable
        One for each seed; None, NaN or inf: the run broke.

    Returns
    -------
    float

    Raises
    ------
    UserError
        If half of the runs or more broke.

    Example
    -------
    >>> validation_target([5.0, 4.0, None])
    5.0
    """
    values = [_finite(x) for x in best_values]
    middle = float(np.median(values)) if values else math.inf
    if not math.isfinite(middle):
        raise UserError(
            "More than half of the runs that set a target must end with a "
            f"finite value, got {sum(map(math.isfinite, values))} of "
            f"{len(values)}."
        )
    return middle


def pick_best_point(rows: Sequence[Row]) -> dict[str, Any]:
    """The best point of a target search, whichever optimizer it is of.

    Arguments
    ---------
    rows : Sequence[Mapping]
        Rows of the ledger: the search of one workload or variant.

    Returns
    -------
    dict
        "optimizer", "hyperparameters", "best" (its value), "searched"
        (optimizer -> how many points were tried). Of equal values the first.

    Raises
    ------
    UserError
        If no trial ended with a finite value.
    """
    searched: dict[str, int] = {}
    for row in rows:
        name = row["config"]["optimizer"]
        searched[name] = searched.get(name, 0) + 1
    values = [_best(row) for row in rows]
    if not any(map(math.isfinite, values)):
        raise UserError(
            f"The target search{_where(rows)} must have a trial that ends "
            f"with a finite value, got none of {len(rows)}."
        )
    place = int(np.argmin(values))
    config = rows[place]["config"]
    return {
        "optimizer": config["optimizer"],
        "hyperparameters": dict(config["hyperparameters"]),
        "best": values[place],
        "searched": searched,
    }


def make_target(
    rows: Sequence[Row],
    best: Mapping[str, Any],
    relaxations: Sequence[float] = RELAXATIONS,
) -> dict[str, Any]:
    """The entry of a target in its file.

    Arguments
    ---------
    rows : Sequence[Mapping]
        Rows of the ledger: the repeats of the best point.
    best : Mapping
        What `pick_best_point` returned.
    relaxations : Sequence[float]
        Percents of the error for which the relaxed target is listed.

    Returns
    -------
    dict
        Plain JSON: "target"; what it was set for ("data", "metric",
        "total_steps", "workload_digest"); "relaxed" (percent -> value);
        "steps_to_target_median" (null if fewer than half of the seeds got
        there); "optimizer", "hyperparameters", "searched", "search_best";
        "best_values" (null where a run broke) and "provenance".

    Raises
    ------
    UserError
        If half of the runs or more broke, or the runs differ in what they
        were of.
    """
    config = _common_config(rows)
    values = [_best(row) for row in rows]
    target = validation_target(values)
    steps = [_steps(row, target) for row in rows]
    middle = float(np.median(steps))
    return {
        **{key: config[key] for key in DEMANDED},
        "target": target,
        "relaxed": {f"{x:g}": relax(target, x) for x in relaxations},
        "steps_to_target_median": middle if math.isfinite(middle) else None,
        "optimizer": best["optimizer"],
        "hyperparameters": dict(best["hyperparameters"]),
        "searched": dict(best.get("searched", {})),
        "search_best": best.get("best"),
        "best_values": [x if math.isfinite(x) else None for x in values],
        "provenance": _provenance(rows, config),
    }


def _finite(value: Any) -> float:
    """A number; whatever is none, or is NaN, becomes inf."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if real and math.isfinite(value) else math.inf


def _best(row: Row) -> float:
    """The best validation value of a trial; inf unless it ended well."""
    if row.get("status") != "done":
        return math.inf
    return _finite((row.get("result") or {}).get("best"))


def _steps(row: Row, target: float) -> float:
    """Steps to a target as a float; inf if never."""
    result = row.get("result") or {}
    curve = result.get("curve") or []
    steps = steps_to_target(curve, row["config"]["metric"], target)
    return math.inf if steps is None else float(steps)


def _common_config(rows: Sequence[Row]) -> Row:
    """The configuration of the runs, which must agree on what matters."""
    if not rows:
        raise UserError("A target must be set by at least one run, got none.")
    config: Row = rows[0]["config"]
    for key in (*DEMANDED, "optimizer", "hyperparameters"):
        odd = [
            x["config"][key] for x in rows if x["config"][key] != config[key]
        ]
        if odd:
            raise UserError(
                f"The runs that set the target{_where(rows)} must have the "
                f"same {key}, got {config[key]!r} and {odd[0]!r}."
            )
    return config


def _where(rows: Sequence[Row]) -> str:
    """Names the workload and variant of rows, if they say so."""
    config = rows[0]["config"] if rows else {}
    parts = [config.get("workload"), config.get("variant")]
    named = " / ".join(str(x) for x in parts if x)
    return f" of {named}" if named else ""


def _provenance(rows: Sequence[Row], config: Row) -> dict[str, Any]:
    """Who made a target: rules, seeds, and facts of the first run."""
    facts = {key: rows[0].get(key) for key in ("commit", "versions", "host")}
    return {
        "rules": config.get("rules"),
        "seeds": [row["config"].get("seed") for row in rows],
        **{key: value for key, value in facts.items() if value is not None},
    }
