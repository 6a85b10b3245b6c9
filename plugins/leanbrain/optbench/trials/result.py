"""From a session to the row of the ledger."""

from __future__ import annotations

import math
from typing import Any

from leanbrain.optbench.trials.audit import (
    Check,
    check_clipping,
    check_order,
    check_schedule,
    check_threads,
    first_failure,
)
from leanbrain.optbench.trials.kernels import (
    kernel_flavour,
    state_bytes_per_parameter,
)
from leanbrain.optbench.trials.plan import Point
from leanbrain.optbench.trials.session import Session
from leanbrain.optbench.trials.workload import Workload

__all__ = ["final_checks", "make_result"]


def final_checks(
    session: Session, workload: Workload, threads: int
) -> list[Check]:
    """Makes the checks that need the whole training.

    Arguments
    ---------
    session : Session
        At its end.
    workload : Workload
        What was trained.
    threads : int
        That torch must compute with.

    Returns
    -------
    list[Check]
        Empty if training never started.
    """
    if not session.step:
        return []
    curve, steering = session.curve, session.steering
    recorded = [(x.step, x.order) for x in curve]
    last = curve[-1].step if curve else 0
    return [
        check_clipping(steering.norms, steering.max_grad_norm),
        check_schedule(
            [(x.step, x.rates) for x in curve],
            steering.base_rates,
            steering.schedule,
            steering.total_steps,
        ),
        check_order(recorded, workload.data.expected_order(last)),
        check_threads(threads),
    ]


def make_result(session: Session, checks: list[Check]) -> dict[str, Any]:
    """Makes what goes into the ledger.

    Arguments
    ---------
    session : Session
        At its end.
    checks : list[Check]
        All of the audit.

    Returns
    -------
    dict
        Plain JSON.
    """
    failure = first_failure(checks)
    status, reason = session.status, session.reason
    if failure:
        status, reason = "void", failure
    reached = session.reached if status == "done" else None
    metric = session.plan.target.metric
    values = [x.valid[metric] for x in session.curve]
    finite = [x for x in values if math.isfinite(x)]
    optimizer, modules = session.optimizer, session.brain.modules
    kind = type(optimizer)
    passed = session.checks[0].passed
    expected = session.plan.expected_class
    spent = session.harness_s + math.fsum(session.steering.audit_seconds)
    return {
        "status": status,
        "reason": reason,
        "reached": reached is not None,
        "steps_to_target": reached and reached.step,
        "seconds_to_target": reached and reached.reading.as_result(),
        "best": min(finite, default=None),
        "steps": session.step,
        "seconds": session.end.as_result(),
        "curve": [_point(x) for x in session.curve],
        "evaluation_s": session.evaluation_s,
        "evaluations": len(session.curve),
        "harness_s": spent,
        "class": expected
        if passed
        else f"{kind.__module__}.{kind.__qualname__}",
        "kernel": kernel_flavour(optimizer) if session.step else None,
        "parameters": sum(
            p.numel() for p in modules.parameters() if p.requires_grad
        ),
        "state_bytes_per_parameter": state_bytes_per_parameter(optimizer),
        "order_hash": [[x.step, x.order] for x in session.curve],
        "audit": [x.as_result() for x in checks],
    }


def _point(point: Point) -> dict[str, Any]:
    """A point of the curve as plain JSON."""
    return {
        "step": point.step,
        **point.reading.as_point(),
        "train_loss": _number(point.train_loss),
        "valid": {key: _number(x) for key, x in point.valid.items()},
        "lr": [_number(x) for x in point.rates],
    }


def _number(value: float) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if math.isfinite(value) else None
