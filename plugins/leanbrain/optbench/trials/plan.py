"""What a trial shall do, and what it finds at an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.trials.clock import Reading
from leanbrain.optbench.trials.grid import (
    Budget,
    Grid,
    StepBudget,
    StepGrid,
    TimeBudget,
    TimeGrid,
)
from leanbrain.optbench.trials.steering import Schedule
from leanbrain.optbench.trials.stopping import Target

__all__ = ["Plan", "Point", "make_plan", "steps_allowed"]


@dataclass(frozen=True)
class Plan:
    """What a session shall do.

    Arguments
    ---------
    seed : int
        Random generators start from it when training starts.
    total_steps : int
        The horizon of the learning-rate schedule.
    grid : Grid
        When to evaluate.
    budget : Budget
        When to give up.
    target : Target
        What to reach; the first evaluation that does ends the session.
    schedule : Schedule
        Multiplier of the learning rates.
    expected_class : str
        Dotted name of the optimizer's class.
    """

    seed: int
    total_steps: int
    grid: Grid
    budget: Budget
    target: Target
    schedule: Schedule
    expected_class: str


@dataclass(frozen=True)
class Point:
    """What was found at one evaluation.

    Arguments
    ---------
    step : int
        Optimizer steps made.
    reading : Reading
        The clock, before the evaluation.
    train_loss : float
        Mean since the evaluation before.
    valid : dict
        Name of a metric -> value.
    rates : list
        Learning rate of each parameter group at the last step.
    order : str
        Hash of all batches so far.
    """

    step: int
    reading: Reading
    train_loss: float
    valid: dict[str, float]
    rates: list[float]
    order: str


def make_plan(config: Mapping[str, Any], spec: OptimizerSpec) -> Plan:
    """Turns a configuration into what a session does.

    Arguments
    ---------
    config : Mapping
        Of a trial.
    spec : OptimizerSpec
        Its optimizer.

    Returns
    -------
    Plan
        For a session.
    """
    grid: Grid
    budget: Budget
    if config.get("eval_period_s") is not None:
        grid = TimeGrid(config["eval_period_s"])
    else:
        grid = StepGrid(config["eval_every_steps"])
    if config.get("budget_s") is not None:
        budget = TimeBudget(config["budget_s"])
    else:
        budget = StepBudget(steps_allowed(config))
    if isinstance(grid, StepGrid) and isinstance(budget, StepBudget):
        if grid.every_steps > budget.steps:
            raise UserError(
                "`eval_every_steps` must be at most `budget_steps` "
                f"{budget.steps}, got {grid.every_steps}."
            )
    return Plan(
        seed=config["seed"],
        total_steps=config["total_steps"],
        grid=grid,
        budget=budget,
        target=Target(config["metric"], config.get("target")),
        schedule=spec.lr_schedule,
        expected_class=spec.expected_class,
    )


def steps_allowed(config: Mapping[str, Any]) -> int:
    """How many steps a trial may make.

    The budget is one of time, counted in steps of the optimizer that set the
    target: it cuts off those whose steps cost more. Nobody gets more steps
    than the horizon of the schedules: most rates are zero from there on, and
    a constant one shall be no way to train longer than the others.

    Arguments
    ---------
    config : Mapping
        Of a trial: "budget_steps" and "total_steps".

    Returns
    -------
    int
        The smaller one.

    Example
    -------
    >>> steps_allowed({"budget_steps": 160, "total_steps": 120})
    120
    """
    return min(int(config["budget_steps"]), int(config["total_steps"]))
