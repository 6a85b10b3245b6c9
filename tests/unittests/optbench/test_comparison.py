"""Comparisons: equal optimizers are seldom called different, others are."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.optbench.statistics.aa import aa_rate
from leanbrain.optbench.statistics.comparison import compare, quick_verdict

INF = math.inf
LOG_SD = 0.2
DIFFERENT = ("faster", "slower")


# --- The A/A test: simulated optimizers that are equal -----------------------


def noise(rng, shape, tail):
    """Log times: normal, with heavy tails, or one-sided."""
    draw = {
        "light": lambda: rng.standard_normal(shape),
        "heavy": lambda: rng.standard_t(1.5, shape),
        "skew": lambda: rng.exponential(1.0, shape),
    }
    # No run is 400 times as long as another: such a target would be missed.
    return np.clip(LOG_SD * draw[tail](), -3.0, 3.0)


def two_sets(
    rng,
    workloads,
    *,
    trials=3,
    tail="light",
    grid=0,
    missed=0.0,
    shared=0.0,
    matched=0.0,
    study=0.0,
    ratio=1.0,
):
    """Times of two optimizers, the first taking `ratio` times as long.

    shared: share of the variance that a point has on all workloads; matched:
    of this, the share that both optimizers have in common; study: log-sd of
    what all trials of a study on a workload share.
    """
    common = noise(rng, (1, 3, trials), tail)
    found = []
    for factor in (ratio, 1.0):
        own = noise(rng, (1, 3, trials), tail)
        point = math.sqrt(matched) * common + math.sqrt(1 - matched) * own
        logs = math.sqrt(1 - shared) * noise(rng, (workloads, 3, trials), tail)
        logs = logs + math.sqrt(shared) * point
        logs = logs + study * rng.standard_normal((workloads, 3, 1))
        times = 60.0 * factor * np.exp(logs)
        if grid:
            times = np.ceil(times / grid) * grid
        times[rng.random(times.shape) < missed] = INF
        found.append({str(i): x for i, x in enumerate(times)})
    return found


def share_different(count, seed, workloads, **kind):
    """How often two such optimizers are called different."""
    rng = np.random.default_rng(seed)
    verdicts = [
        quick_verdict(*two_sets(rng, workloads, **kind)) for _ in range(count)
    ]
    return sum(x in DIFFERENT for x in verdicts) / count


EQUAL = {
    "light": {},
    "heavy": {"tail": "heavy"},
    "skew": {"tail": "skew"},
    "grid of 5": {"grid": 5},
    "grid of 20": {"grid": 20},
    "missed": {"missed": 0.3},
    "missed, grid": {"missed": 0.3, "grid": 5},
    "heavy, missed": {"tail": "heavy", "missed": 0.3},
    "shared points": {"shared": 0.7},
    "matched points": {"shared": 0.7, "matched": 0.9},
    "study effects": {"study": LOG_SD / 2},
    "one trial": {"trials": 1},
    "one trial, grid": {"trials": 1, "grid": 20},
}


def test_equal_optimizers_are_seldom_called_different():
    # Of 400 the share varies by 0.9 percentage points around a true 3 %.
    shares = {
        (kind, workloads): share_different(400, 1, workloads, **EQUAL[kind])
        for kind in EQUAL
        for workloads in (1, 3)
    }
    assert {k: x for k, x in shares.items() if x > 0.07} == {}
    assert np.mean(list(shares.values())) <= 0.03


@pytest.mark.parametrize("workloads", [1, 3])
def test_what_studies_share_is_the_limit(workloads):
    # As much variance between studies as between trials, different for both
    # optimizers: the widening to the studies' own spread does not cover all.
    share = share_different(500, 3, workloads, study=LOG_SD)
    assert share <= 0.09


def test_naive_bootstrap_would_not_do():
    # The reason for all this: a percentile bootstrap over three studies.
    rng = np.random.default_rng(4)
    draws = np.array(list(itertools.product(range(3), repeat=3)))
    wrong = 0
    for _ in range(400):
        a, b = two_sets(rng, 1)
        d = np.log(a["0"].min(axis=1)) - np.log(b["0"].min(axis=1))
        low, high = np.quantile(d[draws].mean(axis=1), [0.025, 0.975])
        wrong += low > 0 or high < 0
    assert wrong / 400 > 0.15


@pytest.mark.parametrize(
    ("ratio", "kind"),
    [
        # With chance 0.8 or more, at a log-sd of 0.2 and 3 x 3 x 3 runs.
        (1.35, {}),
        (1.6, {"shared": 0.7}),
        (1.3, {"shared": 0.7, "matched": 0.9}),
    ],
)
def test_power(ratio, kind):
    share = share_different(200, 5, 3, ratio=ratio, **kind)
    assert share >= 0.75
    rng = np.random.default_rng(6)
    verdicts = {
        quick_verdict(*two_sets(rng, 3, ratio=2.5, **kind)) for _ in range(20)
    }
    assert verdicts == {"slower"}


def test_interval_covers_the_true_ratio():
    # Intervals are made by shifting the data: not only at a ratio of 1.
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(100):
        found = compare(*two_sets(rng, 3, shared=0.5, ratio=1.7))
        inside += found.low <= 1.7 <= found.high
    assert inside >= 90


def test_aa_rate_draws_from_a_pool():
    rng = np.random.default_rng(8)
    pool = {str(i): 60 * np.exp(0.2 * rng.standard_normal(60)) for i in "abc"}
    assert aa_rate(pool, rng) <= 0.08
    # Two kinds of trials, told apart by their place, are no A/A test: what is
    # drawn is mixed, so that even then both sets are alike.
    mixed = {k: np.where(np.arange(60) < 30, 2 * v, v) for k, v in pool.items()}
    assert aa_rate(mixed, rng, repeats=100) <= 0.1
    # Fewer trials than needed: drawn with replacement.
    few = {k: v[:9].reshape(3, 3) for k, v in pool.items()}
    assert aa_rate(few, rng, repeats=50) <= 0.12
    with pytest.raises(UserError, match=r"equally many trials, got .*'b': 9"):
        aa_rate({"a": pool["a"], "b": pool["b"][:9]}, rng)


# --- One comparison -----------------------------------------------------------

positive = st.floats(0.5, 500.0)
tables = st.lists(
    st.lists(st.one_of(positive, st.just(INF)), min_size=3, max_size=3),
    min_size=3,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(tables, tables, st.floats(0.01, 100.0))
def test_comparison_is_fair(a, b, factor):
    one = compare({"x": a}, {"x": b})
    other = compare({"x": b}, {"x": a})
    if one.verdict == "undecided":
        assert not one.workloads and other.verdict == "undecided"
        return
    assert one.low <= one.ratio * (1 + 1e-6)
    assert one.ratio <= one.high * (1 + 1e-6)
    # Antisymmetric, and the unit of time does not matter.
    assert one.ratio * other.ratio == pytest.approx(1.0)
    assert one.low * other.high == pytest.approx(1.0, rel=1e-4)
    mirrored = {"faster": "slower", "slower": "faster", "tie": "tie"}
    assert other.verdict == mirrored[one.verdict]
    a, b = np.array(a) * factor, np.array(b) * factor
    assert compare({"x": a}, {"x": b}).low == pytest.approx(one.low, rel=1e-4)
    # A tie is what its definition says.
    assert (one.verdict == "tie") == (one.low <= 1 <= one.high)


@pytest.mark.parametrize("kind", ["light", "missed, grid", "one trial, grid"])
def test_quick_verdict_is_that_of_the_interval(kind):
    rng = np.random.default_rng(19)
    seen = set()
    for number in range(30):
        ratio = (1.0, 1.3, 0.6)[number % 3]
        a, b = two_sets(rng, 1 + number % 2, ratio=ratio, **EQUAL[kind])
        verdict = compare(a, b).verdict
        assert quick_verdict(a, b) == verdict
        seen.add(verdict)
    assert seen >= {"faster", "tie"}


def test_exchange_interval_by_enumeration():
    # The oracle: all 2^9 exchanges, one by one, for a shift near each end.
    rng = np.random.default_rng(9)
    a, b = two_sets(rng, 2, shared=0.5, ratio=1.3)
    x, y = (np.log(np.array(list(t.values()))) for t in (a, b))
    found = compare(a, b)

    def extreme(shift, sign):
        totals = []
        for mask in itertools.product([False, True], repeat=9):
            mask = np.reshape(mask, (1, 3, 3))
            first = np.where(mask, y, x - shift).min(axis=-1)
            second = np.where(mask, x - shift, y).min(axis=-1)
            totals.append(sign * (first - second).mean())
        return np.mean(np.array(totals) >= totals[0] - 1e-9)

    low, high = math.log(found.low), math.log(found.high)
    # The interval may be wider than the test's, never narrower.
    assert extreme(low - 1e-4, 1) <= 0.025
    assert extreme(high + 1e-4, -1) <= 0.025
    # Here the test sets both ends itself.
    assert extreme(low + 1e-4, 1) > 0.025
    assert extreme(high - 1e-4, -1) > 0.025


def test_interval_holds_what_studies_say():
    # Every pair of trials agrees, but the studies do not agree by how much.
    base = np.array([[10.0, 11.0, 12.0]] * 3)
    ratios = np.array([[1.1], [1.2], [6.0]])
    found = compare({"x": base * ratios}, {"x": base}, max_ratio=1e9)
    logs = np.log(ratios[:, 0])
    half = 2.919986 * logs.std(ddof=1) / math.sqrt(3)
    assert found.low == pytest.approx(math.exp(logs.mean() - half), rel=1e-4)
    assert found.verdict == "tie"


def test_one_trial_on_one_workload_has_the_t_interval():
    a, b = [[11.0], [13.0], [12.0]], [[20.0], [20.0], [23.0]]
    logs = np.log(np.array(a) / np.array(b))[:, 0]
    half = 4.302653 * logs.std(ddof=1) / math.sqrt(3)
    found = compare({"x": a}, {"x": b})
    assert found.low == pytest.approx(math.exp(logs.mean() - half), rel=1e-5)
    assert found.high == pytest.approx(math.exp(logs.mean() + half), rel=1e-5)


def test_without_spread_or_repeats_nothing_is_decided():
    # On a coarse grid three studies may agree by chance.
    same = compare({"x": [[10.0]] * 3}, {"x": [[20.0]] * 3})
    assert same.ratio == pytest.approx(0.5)
    assert same.verdict == "undecided"
    assert (same.low, same.high) == (0.0, INF)
    single = compare({"x": [[10.0, 11.0]]}, {"x": [[50.0, 60.0]]})
    assert single.verdict == "undecided"


def test_who_never_reaches_the_target_is_slower_than_who_does():
    reached = np.array(
        [[10.0, 12.0, 11.0], [11.0, 10.0, 14.0], [12.0, 11.0, 9]]
    )
    never = np.full((3, 3), INF)
    found = compare({"x": reached}, {"x": never})
    assert found.verdict == "faster" and found.unreached == 0.5
    # A bound: four times the fastest trial, or the budget.
    assert found.ratio == pytest.approx(
        np.exp(np.log(reached.min(axis=1) / 36.0).mean())
    )
    bound = compare({"x": reached}, {"x": never}, budgets={"x": 20.0})
    assert bound.ratio == pytest.approx(found.ratio * 36 / 20)
    unlimited = compare({"x": reached}, {"x": never}, budgets={"x": INF})
    assert unlimited == found


def test_what_is_missing_opens_the_interval_where_it_may_lie():
    a, b = two_sets(np.random.default_rng(20), 1, ratio=1.1)
    (name,) = a
    whole = compare(a, b, budgets={name: INF})
    assert whole.bounds == (whole.low, whole.high)
    assert whole.unreached_of == (0.0, 0.0)
    for late, early in ((a, b), (b, a)):
        # One study of the slower ones is beyond the budget.
        cut = np.array(late[name])
        cut[0] += early[name].max() + cut.max()
        budgets = {name: max(early[name].max(), late[name].max())}
        true = compare({name: cut}, early, budgets={name: INF})
        found = compare({name: cut}, early, budgets=budgets)
        assert found.unreached_of == (1 / len(cut), 0.0)
        assert found.bounds == (found.low, INF)
        assert found.ratio < true.ratio < INF
        found = compare(early, {name: cut}, budgets=budgets)
        assert found.unreached_of == (0.0, 1 / len(cut))
        assert found.bounds == (0.0, found.high)
        assert found.ratio > 1 / true.ratio


def test_workloads_that_nobody_reached_say_nothing():
    a, b = two_sets(np.random.default_rng(10), 1, ratio=1.8)
    alone = compare(a, b)
    never = np.full((3, 3), math.nan)
    assert compare({**a, "n": never}, {**b, "n": never}) == alone
    nothing = compare({"n": never}, {"n": never})
    assert nothing.verdict == "undecided" and math.isnan(nothing.ratio)


def test_identical_times_are_a_tie():
    a, _ = two_sets(np.random.default_rng(11), 2)
    found = compare(a, a)
    assert (found.verdict, found.unreached) == ("tie", 0.0)
    assert found.ratio == 1.0 and found.low <= 1.0 <= found.high


@pytest.mark.parametrize("shape", [(3, 5), (5, 5), (3, 12), (10, 1)])
def test_many_runs_are_sampled(shape):
    rng = np.random.default_rng(12)
    a = {"x": np.exp(0.2 * rng.standard_normal(shape))}
    b = {"x": 3.0 * np.exp(0.2 * rng.standard_normal(shape))}
    found = compare(a, b)
    assert found.verdict == "faster" and found == compare(a, b)


def test_more_confidence_is_a_wider_interval():
    a, b = two_sets(np.random.default_rng(13), 3)
    widths = [
        math.log(found.high / found.low)
        for found in (compare(a, b, confidence=c) for c in (0.8, 0.95, 0.99))
    ]
    assert widths == sorted(widths) and widths[0] < widths[2]


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ({"x": [[1.0]]}, {"y": [[1.0]]}, "the same workloads, got x, y of one"),
        ({"x": [[1.0]]}, {"x": [[1.0, 2.0]]}, "got (1, 1) and (1, 2)."),
        ({"x": [1.0]}, {"x": [1.0]}, "[studies, trials], got (1,) and (1,)."),
        ({"x": [[0.0]]}, {"x": [[1.0]]}, "Times must be > 0 s, got 0."),
        (
            {"x": [[1.0]], "y": [[1.0, 2.0]]},
            {"x": [[1.0]], "y": [[1.0, 2.0]]},
            "as many studies and trials, got (1, 1), (1, 2).",
        ),
    ],
)
def test_comparisons_of_what_does_not_fit(a, b, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        compare(a, b)
