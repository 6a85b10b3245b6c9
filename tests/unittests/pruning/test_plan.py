"""PruningPlan: exact ends, clamped progress, checked settings."""

from functools import partial

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.plan import PruningPlan
from leanbrain.pruning.schedules import geometric


def linear(progress):
    return 0.2 + 0.5 * progress


def test_progress_is_clamped_and_hits_both_ends():
    plan = PruningPlan(linear, 200, begin=0.1, heal=0.4)
    assert (plan.begin_step, plan.end_step) == (20, 120)
    assert [plan.progress(s) for s in (0, 20, 70, 120, 500)] == [
        0.0,
        0.0,
        0.5,
        1.0,
        1.0,
    ]
    assert plan.sparsity(0) == 0.2 and plan.sparsity(200) == 0.7


def test_a_run_of_one_step_has_a_pruning_phase():
    plan = PruningPlan(linear, 1, heal=0.9)
    assert plan.end_step == 1 and plan.progress(1) == 1.0


def test_constant_is_told_by_the_ends():
    assert PruningPlan(lambda p: 0.5, 10).is_constant()
    assert not PruningPlan(linear, 10).is_constant()


def test_one_round_leaves_the_learning_rate_alone():
    plan = PruningPlan(linear, 10)
    assert [plan.schedule_step(s) for s in range(12)] == list(range(12))


def test_every_round_runs_through_the_whole_schedule():
    plan = PruningPlan(linear, 12, heal=0.0, rounds=3)
    assert plan.round_length == 4
    steps = [plan.schedule_step(s) for s in range(12)]
    assert steps == [0, 3, 6, 9] * 3


@pytest.mark.parametrize("asks", [False, True])
def test_a_schedule_that_never_begins_anew_is_told(asks, caplog):
    plan = PruningPlan(linear, 12, heal=0.0, rounds=4)
    if asks:
        plan.schedule_step(0)
    plan.warn_of_one_schedule()
    assert ("schedule runs once" in caplog.text) != asks


def test_steps_that_rounds_leave_over_are_trained_at_the_end():
    """Neither a round of their own nor a learning rate below zero."""
    plan = PruningPlan(linear, 14, heal=0.0, rounds=3)
    assert plan.end_step == 12
    assert [plan.schedule_step(s) for s in range(8, 14)] == [
        0,
        3,
        6,
        9,
        12,
        14,
    ]


@pytest.mark.parametrize("total_steps", [12, 100, 1261])
@pytest.mark.parametrize("parts", [2, 3, 7])
def test_stairs_of_the_schedule_fall_on_the_ends_of_rounds(total_steps, parts):
    stairs = partial(geometric, initial=0.0, final=0.8, rounds=parts - 1)
    plan = PruningPlan(stairs, total_steps, heal=0.0, rounds=parts)
    rises = [
        step
        for step in range(1, total_steps + 1)
        if plan.sparsity(step) > plan.sparsity(step - 1)
    ]
    length = total_steps // parts
    assert rises == [length * k for k in range(1, parts)]
    assert plan.sparsity(total_steps) == 0.8


@pytest.mark.parametrize(
    "plan, fit, match",
    [
        ({}, {"fixed": True}, "constant .* got 0.2 at the start and 0.7"),
        ({"rounds": 4}, {"interval": 10}, "round of 25 steps, got 10"),
        ({"begin": 0.1}, {"learns": False}, "`begin` must be 0 .* step 10"),
        (
            {"heal": 0.5},
            {"grows": True, "interval": 50},
            "below the 50 steps in which masks change.*, got 50",
        ),
    ],
)
def test_what_does_not_go_with_a_plan_is_refused(plan, fit, match):
    with pytest.raises(UserError, match=match):
        PruningPlan(linear, 100, **plan).check_fits(**{"interval": 1, **fit})


def test_sparsity_does_not_fall_where_weights_are_only_removed():
    plan = PruningPlan(lambda p: 0.9 - 0.4 * p, 100)
    with pytest.raises(UserError, match="must not fall .* got 0.9 at the sta"):
        plan.check_fits(1, shrinks=True)
    assert plan.check_fits(1, shrinks=False) is None


def test_what_goes_with_a_plan_is_accepted():
    fixed = PruningPlan(lambda p: 0.5, 100, rounds=4)
    assert fixed.check_fits(25, fixed=True, learns=False) is None


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"total_steps": 0}, "`total_steps` .* got 0"),
        ({"begin": 1.0}, "`begin` must be in \\[0, 1\\), got 1.0"),
        ({"heal": -0.1}, "`heal` must be in \\[0, 1\\), got -0.1"),
        ({"begin": 0.5, "heal": 0.5}, "below 1, got 0.5 \\+ 0.5"),
        ({"schedule": lambda p: 1.2}, "`sparsity` must be .* got 1.2"),
        ({"schedule": lambda p: p}, "`sparsity` must be .* got 1.0"),
        ({"schedule": 0.5}, "`schedule`"),
        ({"rounds": 0}, "`rounds` must be an integer >= 1, got 0"),
        ({"rounds": 101}, "`rounds` must be at most .* got 101 of 100"),
    ],
)
def test_settings_are_checked(settings, match):
    defaults = {"schedule": linear, "total_steps": 100}
    with pytest.raises(UserError, match=match):
        PruningPlan(**{**defaults, **settings})
