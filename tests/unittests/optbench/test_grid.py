"""When trials evaluate and when they end."""

import pytest

from leanbrain.checks import UserError
from leanbrain.optbench.trials.grid import (
    StepBudget,
    StepGrid,
    TimeBudget,
    TimeGrid,
)


def unread():
    """A clock that must not be read: that would wait for the device."""
    raise AssertionError("the clock was read")


@pytest.mark.parametrize("every", [1, 2, 5, 7])
def test_step_grid_evaluates_at_multiples_without_the_clock(every):
    grid = StepGrid(every)
    found = [step for step in range(1, 41) if grid.due(step, unread)]
    assert found == list(range(every, 41, every))


@pytest.mark.parametrize("step_s", [0.25, 1.0, 3.0, 25.0])
def test_time_grid_waits_a_period_after_the_first_step(step_s):
    grid, found = TimeGrid(10.0), []
    for step in range(1, 100):
        now = step * step_s
        if grid.due(step, lambda now=now: now):
            grid.note(now)
            found.append(now)
    assert found[0] == step_s
    gaps = [b - a for a, b in zip(found, found[1:], strict=False)]
    # Never sooner than a period, never a step later than needed.
    assert all(10.0 <= gap < 10.0 + step_s for gap in gaps)


def test_the_last_step_of_a_step_budget_counts():
    budget = StepBudget(3)
    assert [budget.allows(x, unread) for x in (2, 3, 4)] == [True, True, False]
    assert [budget.spent(x, unread) for x in (2, 3, 4)] == [False, True, True]


def test_the_last_moment_of_a_time_budget_does_not_count():
    budget = TimeBudget(3.0)
    times = (2.9, 3.0, 3.1)
    allowed = [budget.allows(1, lambda x=x: x) for x in times]
    spent = [budget.spent(1, lambda x=x: x) for x in times]
    assert allowed == [True, False, False]
    assert spent == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (StepGrid, 0, "`eval_every_steps` must be an integer >= 1, got 0"),
        (StepBudget, 1.5, "`budget_steps` must be an integer >= 1, got 1.5"),
        (TimeGrid, 0.0, "`eval_period_s` must be a finite number > 0, got 0"),
        (TimeBudget, float("inf"), "`budget_s` must be a finite number > 0"),
    ],
)
def test_useless_settings_are_refused(kind, value, message):
    with pytest.raises(UserError, match=message):
        kind(value)
