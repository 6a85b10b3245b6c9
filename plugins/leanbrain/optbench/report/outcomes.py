"""What became of a trial: reached, too late, not reached, or worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from leanbrain.optbench.report.rows import Row

__all__ = ["Outcome", "Place", "judge", "point_at"]

TOLERANCE = 0.2
"""Share by which calibrated and measured seconds may differ unmentioned."""


class Place(NamedTuple):
    """The place of a trial in the plan; `variant` None: the workload itself."""

    optimizer: str
    workload: str
    variant: str | None
    study: int
    trial: int


@dataclass(frozen=True)
class Outcome:
    """What became of one planned trial.

    Arguments
    ---------
    place : Place
        Its place in the plan.
    status : str
        "reached", "not reached", "too late" (beyond the budget), "missing"
        (not in the ledger), or the ledger's own where a trial did not end
        well.
    reason : str
        One sentence; "" for those that reached the target.
    steps : int | None
        Steps to the target.
    seconds : float
        Time to the target as it is scored; inf if not reached.
    calibrated_s : float | None
        Steps times the calibrated cost of one.
    measured_s : float | None
        The same as the trial's own clock measured it, which stands still
        during evaluation.
    row : Mapping
        The row of the ledger; empty for those that are missing.
    """

    place: Place
    status: str
    reason: str = ""
    steps: int | None = None
    seconds: float = math.inf
    calibrated_s: float | None = None
    measured_s: float | None = None
    row: Row = field(default_factory=dict)

    @property
    def flagged(self) -> bool:
        """Whether calibrated and measured time differ by more than 20 %."""
        if not self.calibrated_s or not self.measured_s:
            return False
        return abs(self.calibrated_s / self.measured_s - 1.0) > TOLERANCE

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the trial."""
        return self.row.get("config") or {}

    @property
    def result(self) -> Mapping[str, Any]:
        """What the trial measured; empty where it measured nothing."""
        return self.row.get("result") or {}


def judge(
    place: Place,
    row: Row | None,
    *,
    percent: float,
    step_s: float | None,
    budget_s: float,
    by_clock: bool,
) -> Outcome:
    """Judges one trial.

    Arguments
    ---------
    place : Place
        Its place in the plan.
    row : Mapping | None
        Its row in the ledger.
    percent : float
        By how much the target is relaxed, in percent of the error.
    step_s : float | None
        Calibrated seconds per step; None takes the trial's own clock.
    budget_s : float
        Seconds that count.
    by_clock : bool
        Whether measured seconds are scored, in place of calibrated ones.

    Returns
    -------
    Outcome
        What became of it.
    """
    if row is None:
        return Outcome(place, "missing", "the ledger has no such trial")
    if row["status"] != "done" and not _met_before(row, percent):
        reason = str(row.get("reason") or "no reason was recorded")
        return Outcome(place, str(row["status"]), reason, row=row)
    point = point_at(row, percent)
    if point is None:
        return Outcome(place, "not reached", _short_of(row, percent), row=row)
    steps, measured_s = int(point["step"]), point.get("step_s")
    facts: dict[str, Any] = {
        "steps": steps,
        "calibrated_s": None if step_s is None else steps * step_s,
        "measured_s": measured_s,
        "row": row,
    }
    seconds = measured_s if by_clock else facts["calibrated_s"]
    # Without a calibration the trial's own clock is all there is.
    seconds = measured_s if seconds is None else seconds
    seconds = math.inf if seconds is None else float(seconds)
    if seconds > budget_s:
        reason = f"took {seconds:.4g} s, the budget is {budget_s:.4g} s"
        return Outcome(place, "too late", reason, **facts)
    return Outcome(place, "reached", seconds=seconds, **facts)


def point_at(row: Row, percent: float = 0.0) -> Mapping[str, Any] | None:
    """Finds the first evaluation that met a relaxed target.

    Arguments
    ---------
    row : Mapping
        Row of a trial that ran to its end.
    percent : float
        By how much the target is relaxed, in percent of the error.

    Returns
    -------
    Mapping | None
        The point of the curve, with "step" and the clocks; None if the
        target was not met. Values between evaluations are not guessed.
    """
    config, result = row["config"], row.get("result") or {}
    goal = _goal(config, percent)
    for point in result.get("curve") or []:
        value = (point.get("valid") or {}).get(config["metric"])
        if value is not None and value <= goal:
            return point
    return None


def _met_before(row: Row, percent: float) -> bool:
    """Whether a trial met what is scored before it diverged.

    It only trained on for the strict target; were the relaxed one all that
    is asked for, it would have ended there.
    """
    is_sound = row["status"] == "diverged"
    return is_sound and point_at(row, percent) is not None


def _goal(config: Mapping[str, Any], percent: float) -> float:
    """The relaxed target; nothing meets a target that was not set."""
    target = config.get("target")
    return -math.inf if target is None else target * (1.0 + percent / 100.0)


def _short_of(row: Row, percent: float) -> str:
    """Says what was wanted and how near the trial came."""
    config, best = row["config"], (row.get("result") or {}).get("best")
    if config.get("target") is None:
        return "the trial had no target"
    got = "nothing" if best is None else f"{best:.4g} at best"
    return f"wanted {_goal(config, percent):.4g}, got {got}"
