"""PruningPlan: exact ends, clamped progress, checked settings."""

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.plan import PruningPlan


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
    ],
)
def test_settings_are_checked(settings, match):
    defaults = {"schedule": linear, "total_steps": 100}
    with pytest.raises(UserError, match=match):
        PruningPlan(**{**defaults, **settings})
