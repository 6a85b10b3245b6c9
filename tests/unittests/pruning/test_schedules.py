"""Laws of the schedules: exact ends, clamped, monotone, checked settings."""

from functools import partial

import pytest

from leanbrain.checks import UserError
from leanbrain.hyperyaml import load_yaml
from leanbrain.pruning.schedules import (
    clamp_progress,
    constant,
    cubic,
    geometric,
    linear,
)

# 0.1, 0.7 and 0.9 are not exact in binary: a formula alone misses the ends.
ENDS = [(0.0, 0.7), (0.5, 0.7), (0.1, 0.9), (0.9, 0.1), (0.3, 0.3), (0.3, 0.8)]
SHAPES = [
    linear,
    cubic,
    partial(geometric, rounds=1),
    partial(geometric, rounds=5),
    partial(geometric, rounds=48),
]
GRID = [i / 1000 for i in range(-100, 1101)]


@pytest.mark.parametrize("initial, final", ENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_ends_are_exact_and_progress_is_clamped(shape, initial, final):
    schedule = partial(shape, initial=initial, final=final)
    assert schedule(0.0) == schedule(-0.1) == initial
    assert schedule(1.0) == schedule(1.1) == final


@pytest.mark.parametrize("initial, final", ENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_monotone_and_between_the_ends(shape, initial, final):
    values = [shape(p, initial=initial, final=final) for p in GRID]
    assert values == sorted(values, reverse=initial > final)
    assert min(values) == min(initial, final)
    assert max(values) == max(initial, final)


@pytest.mark.parametrize("progress", [-0.1, 0.0, 0.4, 1.0, 1.1])
def test_constant(progress):
    assert constant(progress, sparsity=0.7) == 0.7


def test_linear_and_cubic_by_hand():
    assert linear(0.25, initial=0.2, final=0.6) == pytest.approx(0.3)
    # 0.8 + (0.4 - 0.8) * 0.75^3
    assert cubic(0.25, initial=0.4, final=0.8) == pytest.approx(0.63125)


@pytest.mark.parametrize("rounds", [1, 3, 7])
def test_geometric_removes_an_equal_share_every_round(rounds):
    stairs = [
        1 - geometric(k / (rounds + 1), initial=0.2, final=0.9, rounds=rounds)
        for k in range(rounds + 1)
    ]
    ratios = [b / a for a, b in zip(stairs, stairs[1:], strict=False)]
    assert ratios == pytest.approx([(0.1 / 0.8) ** (1 / rounds)] * rounds)


def test_geometric_gives_every_stair_equal_time():
    values = [
        geometric(i / 600, initial=0.0, final=0.8, rounds=5) for i in range(600)
    ]
    times = [values.count(value) for value in sorted(set(values))]
    assert times == [100] * 6


def test_geometric_is_not_late_by_a_rounding():
    # 1 / 49 * 49 is below 1 in floating point.
    assert geometric(1 / 49, initial=0.0, final=0.5, rounds=48) > 0.0


@pytest.mark.parametrize("value", [-0.1, 1.0, 1.2, float("nan"), "0.5", None])
@pytest.mark.parametrize("name", ["initial", "final"])
@pytest.mark.parametrize("shape", SHAPES[:3])
def test_ends_outside_the_range_are_refused(shape, name, value):
    settings = {"initial": 0.0, "final": 0.5, name: value}
    with pytest.raises(UserError, match=rf"`{name}` must be in \[0, 1\), got"):
        shape(0.5, **settings)


def test_other_settings_are_checked():
    with pytest.raises(UserError, match=r"`sparsity` must be .* got 1.0"):
        constant(0.0, sparsity=1.0)
    with pytest.raises(UserError, match=r"`rounds` must be .* >= 1, got 0"):
        geometric(0.5, initial=0.0, final=0.5, rounds=0)


@pytest.mark.parametrize("progress", [float("nan"), "half", None, True])
@pytest.mark.parametrize(
    "schedule",
    [partial(constant, sparsity=0.5), partial(cubic, initial=0.0, final=0.5)],
)
def test_progress_that_is_no_number_is_refused(schedule, progress):
    with pytest.raises(UserError, match="`progress` must be a number, got"):
        schedule(progress)


def test_clamp_progress():
    assert [clamp_progress(p) for p in (-1, 0.25, 7)] == [0.0, 0.25, 1.0]


def test_yaml_names_a_schedule():
    loaded = load_yaml(
        "schedule: !name:leanbrain.pruning.schedules.cubic"
        " {initial: 0.5, final: 0.7}"
    )
    assert loaded["schedule"](1.0) == 0.7
