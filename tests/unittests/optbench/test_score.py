"""Scores: the published ones, an oracle, and the edges of the definition."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.optbench.statistics.reference import (
    ALGOPERF_MISS_S,
    reference_scores,
    speedups,
)
from leanbrain.optbench.statistics.score import (
    benchmark_scores,
    performance_profile,
    require_variants,
    score_array,
    time_of_trials,
)
from leanbrain.optbench.statistics.stats import ranks_of

# Seconds and scores of AlgoPerf's self-tuning leaderboard of 2026:
# artifacts/leaderboard_v2/{time_to_targets_00pct,scores}.csv of
# github.com/mlcommons/submissions_algorithms (Apache-2.0).
PUBLISHED = Path(__file__).with_name("algoperf_2026_scores.csv")

INF = math.inf


@pytest.fixture(scope="module")
def published():
    """Times and scores as AlgoPerf published them."""
    with open(PUBLISHED, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [row.pop("submission") for row in rows]
    scores = [float(row.pop("published_score")) for row in rows]
    times = [{k: float(v) for k, v in row.items()} for row in rows]
    return (
        dict(zip(names, times, strict=True)),
        dict(zip(names, scores, strict=True)),
    )


def test_grid_reproduces_published_scores(published):
    times, expected = published
    found = benchmark_scores(times, mode="grid")
    assert len(found) == 14
    assert {k: round(v, 4) for k, v in found.items()} == expected


def test_exact_scores_are_near_and_rank_alike(published):
    times, expected = published
    found = benchmark_scores(times)
    for name, score in expected.items():
        assert found[name] == pytest.approx(score, abs=2e-3)
    ranks = ranks_of(list(found.values()))
    assert ranks.tolist() == ranks_of(list(expected.values())).tolist()
    # Two ways of computing that agree to the last digit would be one way.
    assert found != benchmark_scores(times, mode="grid")


def test_scores_depend_on_the_pool_and_those_by_reference_do_not(published):
    times, _ = published
    names = [x for x in times if x != "Muon (PyTorch)"]
    fewer = {x: times[x] for x in names}
    budgets = dict.fromkeys(next(iter(times.values())), 1e5)
    reference = "NAdamW (Baseline AlgoPerf v0.5) (JAX)"
    lion = "Lion (PyTorch)"
    assert benchmark_scores(times)[lion] == pytest.approx(0.279, abs=1e-3)
    assert benchmark_scores(fewer)[lion] == pytest.approx(0.351, abs=1e-3)
    for score in (speedups, reference_scores):
        whole = score(times, reference, budgets)
        part = score(fewer, reference, budgets)
        assert part == {x: whole[x] for x in names}


@pytest.mark.parametrize(
    ("seconds", "exact", "grid"),
    [
        (10.0, 1.0, 1.0),
        (25.0, 0.5, (99.5 - 50) / 99),
        (40.0, 0.0, 0.5 / 99),
        (40.01, 0.0, 0.0),
        (INF, 0.0, 0.0),
        (math.nan, 0.0, 0.0),
    ],
)
def test_edges(seconds, exact, grid):
    times = {"fast": {"x": 10.0}, "other": {"x": seconds}}
    assert benchmark_scores(times)["other"] == pytest.approx(exact)
    assert benchmark_scores(times, "grid")["other"] == pytest.approx(grid)


@pytest.mark.parametrize("mode", ["exact", "grid"])
def test_tied_fastest_both_get_all(mode):
    times = {"a": {"x": 7.0}, "b": {"x": 7.0}, "c": {"x": 90.0}}
    found = benchmark_scores(times, mode)
    assert found == {"a": 1.0, "b": 1.0, "c": 0.0}


@pytest.mark.parametrize("mode", ["exact", "grid"])
def test_workloads_that_nobody_reached_stay_in_the_mean(mode):
    times = {"a": {"x": 7.0, "y": INF}, "b": {"x": INF, "y": math.nan}}
    assert benchmark_scores(times, mode) == {"a": 0.5, "b": 0.0}


seconds = st.one_of(st.floats(1.0, 1e4), st.just(INF))
pools = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.lists(seconds, min_size=n, max_size=n), min_size=1, max_size=5
    )
)


@settings(max_examples=30, deadline=None)
@given(pools)
def test_score_is_the_area_under_the_profile(pool):
    times = {
        str(i): {str(j): x for j, x in enumerate(row)}
        for i, row in enumerate(pool)
    }
    taus = np.linspace(1.0, 4.0, 100)
    profile = performance_profile(times, taus)
    fine = np.linspace(1.0, 4.0, 30001)
    area = performance_profile(times, (fine[1:] + fine[:-1]) / 2)
    grid, exact = benchmark_scores(times, "grid"), benchmark_scores(times)
    for name, rho in profile.items():
        trapezoid = np.trapezoid(rho, taus) / 3
        assert grid[name] == pytest.approx(trapezoid, abs=1e-12)
        assert exact[name] == pytest.approx(area[name].mean(), abs=1e-4)
        assert abs(grid[name] - exact[name]) <= 0.5 / 99 + 1e-12


@given(pools, st.floats(0.1, 10.0))
def test_score_does_not_depend_on_the_unit_of_time(pool, factor):
    table = np.array(pool)
    np.testing.assert_allclose(
        score_array(table * factor), score_array(table), atol=1e-12
    )


def test_many_pools_at_once_are_scored_one_by_one():
    rng = np.random.default_rng(0)
    tables = np.exp(rng.standard_normal((6, 4, 3)))
    for mode in ("exact", "grid"):
        one_by_one = [score_array(x, mode) for x in tables]
        np.testing.assert_array_equal(score_array(tables, mode), one_by_one)


def test_time_is_the_median_over_studies_of_the_fastest_trial():
    # The trial of the lowest index or evaluation is not the fastest one.
    trials = [[30.0, 20.0, INF], [INF, 50.0, 40.0], [10.0, 90.0, 80.0]]
    assert time_of_trials(trials) == 20.0
    assert time_of_trials([[INF], [3.0], [INF]], tuning="self") == INF
    assert time_of_trials([[math.nan], [3.0], [4.0]], tuning="self") == 4.0
    with pytest.raises(UserError, match='one trial where `tuning` is "self"'):
        time_of_trials(trials, tuning="self")


def test_speedup_is_above_one_for_who_is_faster():
    times = {"ref": {"x": 8.0, "y": INF}, "b": {"x": 2.0, "y": 25.0}}
    budgets = {"x": 50.0, "y": 99.0}
    found = speedups(times, "ref", budgets, ALGOPERF_MISS_S)
    assert found["ref"] == 1.0
    assert found["b"] == pytest.approx(math.sqrt(4.0 * (99 + 1) / 25))


def test_reference_scores_by_hand():
    times = {
        "ref": {"x": 8.0, "y": INF},
        "b": {"x": 2.0, "y": 20.0},
        "c": {"x": 33.0, "y": INF},
    }
    budgets = {"x": 50.0, "y": 99.0}
    found = reference_scores(times, "ref", budgets, miss_s=ALGOPERF_MISS_S)
    assert found["ref"] == pytest.approx((1.0 + 0.0) / 2)
    assert found["b"] == pytest.approx((3.75 / 3 + 3.8 / 3) / 2)
    assert found["c"] == 0.0


@given(st.floats(1e-6, 1e6))
def test_a_miss_weighs_the_same_in_races_of_any_length(factor):
    seconds = {"ref": {"x": 1.2}, "b": {"x": INF}}
    lost = {"ref": {"x": INF}, "b": {"x": 1.2}}
    for score in (speedups, reference_scores):
        for times in (seconds, lost):
            longer = {k: {"x": factor * v["x"]} for k, v in times.items()}
            found = score(longer, "ref", {"x": factor * 2.0})
            assert found == pytest.approx(score(times, "ref", {"x": 2.0}))
    # A miss is as long as the budget, or it would be a fine.
    found = speedups(seconds, "ref", {"x": 2.0})["b"]
    assert 1.2 / 2.0 * (1 - 1e-4) < found < 1.2 / 2.0


@pytest.mark.parametrize(
    ("base", "variant", "kept"),
    [
        (30.0, 35.0, 30.0),
        (30.0, INF, INF),
        (30.0, 41.0, INF),
        (41.0, 20.0, INF),
        (40.0, 40.0, 40.0),
    ],
)
def test_variants_must_be_reached_as_well(base, variant, kept):
    times = {"fast": {"x": 10.0, "z": 1.0}, "b": {"x": base, "z": 2.0}}
    column = {"fast": 10.0, "b": variant}
    found = require_variants(times, {"x": {"gelu": column}})
    assert found == {"fast": times["fast"], "b": {"x": kept, "z": 2.0}}
    # Who was not run on a variant did not reach it.
    missing = require_variants(times, {"x": {"gelu": {"fast": 10.0}}})
    assert missing["b"]["x"] == INF


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: benchmark_scores({}), "at least one submission"),
        (
            lambda: benchmark_scores({"a": {"x": 1.0}, "b": {"y": 1.0}}),
            "'a' and 'b', which differ by x, y.",
        ),
        (lambda: benchmark_scores({"a": {"x": -1.0}}), "must be > 0 s, got -1"),
        (
            lambda: benchmark_scores({"a": {"x": 1.0}}, mode="gridd"),
            "`mode` must be one of exact, grid; got 'gridd' (nearest: grid",
        ),
        (
            lambda: speedups({"adamw": {"x": 1.0}}, "adam", {"x": 9.0}),
            "`reference` must be one of adamw; got 'adam' (nearest: adamw).",
        ),
        (
            lambda: speedups({"a": {"x": 1.0}}, "a", {"y": 9.0}),
            "`workload` must be one of y; got 'x'",
        ),
    ],
)
def test_bad_input(call, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        call()
