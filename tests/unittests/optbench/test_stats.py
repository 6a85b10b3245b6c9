"""Scores and ranks: their intervals, and how they move."""

import math
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.optbench.statistics.score import benchmark_scores, time_of_trials
from leanbrain.optbench.statistics.stats import (
    bootstrap_scores,
    rank_stability,
    ranks_of,
)

INF = math.inf
LOG_SD = 0.2


def pool(rng, submissions, workloads, speeds, studies=3, trials=3):
    """Submission -> workload -> seconds."""
    shape = (submissions, workloads, studies, trials)
    table = 60 * np.exp(LOG_SD * rng.standard_normal(shape))
    table *= np.reshape(speeds, (-1, 1, 1, 1))
    return {
        f"s{i}": {f"w{j}": x for j, x in enumerate(row)}
        for i, row in enumerate(table)
    }


def test_bootstrap_is_about_the_score():
    rng = np.random.default_rng(14)
    times = pool(rng, 4, 3, [1, 1.4, 2, 3])
    times["s3"]["w0"] = np.full((3, 3), INF)
    found = bootstrap_scores(times, rng)
    own = benchmark_scores(
        {
            k: {w: time_of_trials(t) for w, t in v.items()}
            for k, v in times.items()
        }
    )
    ranks = ranks_of(list(own.values())).tolist()
    for (name, interval), rank in zip(found.items(), ranks, strict=True):
        assert interval.score == pytest.approx(own[name], abs=1e-12)
        assert interval.rank == rank
        assert 0 <= interval.low <= interval.score <= interval.high <= 1
        assert 1 <= interval.rank_low <= rank <= interval.rank_high <= 4
    assert found["s0"].rank_high < found["s3"].rank_low
    assert found["s1"].low < found["s1"].high


def test_score_intervals_cover():
    # By simulation: what scores are on average, and how often an interval
    # holds that.
    rng = np.random.default_rng(15)
    speeds = np.exp(np.linspace(0, 0.8, 4))
    truth = np.mean(
        [
            [x.score for x in bootstrap_scores(t, rng, draws=1).values()]
            for t in (pool(rng, 4, 3, speeds) for _ in range(400))
        ],
        axis=0,
    )
    inside = []
    for _ in range(60):
        found = bootstrap_scores(pool(rng, 4, 3, speeds), rng, draws=300)
        inside.append(
            [
                x.low <= t <= x.high
                for x, t in zip(found.values(), truth, strict=True)
            ]
        )
    assert np.mean(inside) >= 0.93


def test_without_repeats_there_is_no_spread():
    times = {"a": {"x": [[10.0]]}, "b": {"x": [[25.0]]}}
    found = bootstrap_scores(times, np.random.default_rng(0), draws=50)
    assert (found["b"].low, found["b"].score, found["b"].high) == (0.5,) * 3


def test_bootstrap_keeps_pairs():
    # Optimizers that are equal run by run are equal in every resample.
    rng = np.random.default_rng(16)
    same = pool(rng, 1, 2, [1.0])["s0"]
    slower = {k: 2 * v for k, v in same.items()}
    found = bootstrap_scores({"a": same, "b": slower}, rng, draws=200)
    assert (found["a"].low, found["a"].high) == (1.0, 1.0)
    assert found["b"].low == pytest.approx(found["b"].high)


def test_draws_come_from_the_generator():
    times = pool(np.random.default_rng(17), 3, 2, [1, 1.2, 1.5])
    one, two, three = (
        bootstrap_scores(times, np.random.default_rng(seed), draws=100)
        for seed in (0, 0, 1)
    )
    assert one == two and one != three


def test_bootstrap_is_fast():
    times = pool(np.random.default_rng(18), 12, 9, np.ones(12), 3, 5)
    started = time.process_time()
    bootstrap_scores(times, np.random.default_rng(0), draws=2000)
    # Some 0.2 s; the bound only catches loops in Python.
    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ({}, "at least one submission with one workload"),
        ({"a": {"x": [[1.0]]}, "b": {"y": [[1.0]]}}, "the same workloads, got"),
        (
            {"a": {"x": [[1.0]]}, "b": {"x": [[1.0, 2.0]]}},
            "one shape [studies, trials], got (1, 1), (1, 2).",
        ),
    ],
)
def test_bootstrap_of_what_does_not_fit(times, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        bootstrap_scores(times, np.random.default_rng(0))


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_rank_is_one_more_than_how_many_are_better(scores):
    expected = [1 + sum(x > own for x in scores) for own in scores]
    assert ranks_of(scores).tolist() == expected


def test_ranks_do_not_come_of_rounding():
    assert ranks_of([0.1 + 0.2, 0.3]).tolist() == [1, 1]


def test_rank_stability():
    scores = {
        10: {"a": 0.2, "b": 0.4, "c": 0.6, "d": 0.0},
        0: {"c": 0.1, "a": 0.9, "b": 0.5, "d": 0.5},
        5: {"a": 0.9, "b": 0.5, "c": 0.1, "d": 0.5},
    }
    found = rank_stability(scores)
    assert found.percents == (0.0, 5.0, 10.0)
    assert found.ranks["a"] == (1, 1, 3)
    assert found.ranks["d"] == (2, 2, 4)
    assert found.moves == {"a": 2, "b": 0, "c": 3, "d": 2}
    first, same, last = found.correlation
    assert first == same == 1.0
    # By hand: ranks 4, 1, 2.5, 2.5 and 3, 1, 2, 4 less 2.5, as a cosine.
    x, y = np.array([1.5, 0, 0, -1.5]), np.array([0.5, -0.5, -1.5, 1.5])
    x, y = np.array([-1.5, 0, 1.5, 0]), np.array([0.5, -0.5, -1.5, 1.5])
    assert last == pytest.approx(x @ y / math.sqrt((x @ x) * (y @ y)))


def test_rank_stability_where_all_tie():
    found = rank_stability({0: {"a": 0.0, "b": 0.0}, 5: {"a": 0.1, "b": 0.0}})
    assert found.ranks == {"a": (1, 1), "b": (1, 2)}
    assert all(map(math.isnan, found.correlation))


def test_rank_stability_of_what_does_not_fit():
    with pytest.raises(UserError, match="0 % and 5 %, which differ by b"):
        rank_stability({0: {"a": 1.0, "b": 0.0}, 5: {"a": 1.0}})
    with pytest.raises(UserError, match="at least one relaxation"):
        rank_stability({})
