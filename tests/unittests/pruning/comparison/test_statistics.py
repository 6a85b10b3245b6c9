"""Intervals of differences between methods, and whether they hold them."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.resampling import Resampling
from leanbrain.pruning.comparison.statistics import band, hierarchical

LANGUAGES = ("en", "ru")
SEEDS = (1, 2, 3)


def make_edits(rng, rates, characters, spread=0.0, seeds=SEEDS):
    """Edits of one method; a seed makes all its rates higher or lower."""
    return {
        seed: {
            x: rng.binomial(
                characters[x],
                np.clip(rates[x] * (1 + spread * rng.standard_normal()), 0, 1),
            )
            for x in LANGUAGES
        }
        for seed in seeds
    }


@pytest.fixture(scope="module")
def case():
    """Two methods that are tested on the same, very unequal utterances."""
    rng = np.random.default_rng(5)
    characters = {x: rng.integers(20, 90, 50) for x in LANGUAGES}
    hard = {x: rng.beta(2, 3, 50) for x in LANGUAGES}
    easier = {x: 0.9 * y for x, y in hard.items()}
    a = make_edits(rng, easier, characters)
    return a, make_edits(rng, hard, characters), characters


def constant(rates, utterances=4, characters=100):
    """Edits of seeds that make the same errors in every utterance."""
    edits = {
        seed: {"en": [round(characters * rate)] * utterances}
        for seed, rate in enumerate(rates)
    }
    return edits, {"en": [characters] * utterances}


def test_means_are_over_languages_and_seeds():
    characters = {"en": [10, 30], "ru": [100]}
    a = {1: {"en": [1, 3], "ru": [50]}, 2: {"en": [2, 6], "ru": [50]}}
    b = {1: {"en": [2, 6], "ru": [80]}, 2: {"en": [2, 6], "ru": [80]}}
    found = hierarchical(a, b, characters, n=10)
    assert found.mean == pytest.approx((30 + 35) / 2 - 50)
    assert found.relative == pytest.approx(32.5 / 50 - 1)
    assert band(a, characters, n=10).mean == pytest.approx(32.5)


def test_where_utterances_are_alike_it_is_students_interval_of_the_seeds():
    rates = [0.30, 0.34, 0.35]
    edits, characters = constant(rates)
    oracle = ttest_1samp([100 * x for x in rates], 0.0)
    low, high = oracle.confidence_interval(0.95)
    found = band(edits, characters, n=100)
    assert (found.low, found.high) == pytest.approx((low, high))
    other, _ = constant([0.40, 0.41, 0.45])
    oracle = ttest_1samp([-10.0, -7.0, -10.0], 0.0)
    low, high = oracle.confidence_interval(0.9)
    found = hierarchical(edits, other, characters, n=100, confidence=0.9)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_with_one_seed_it_is_the_interval_of_the_utterances(case):
    edits, _, characters = case
    one = {1: edits[1]}
    found = band(one, characters, n=4000)
    # Linearised: a ratio of sums changes by (edits - rate * characters).
    variance = 0.0
    for language, lengths in characters.items():
        counts = one[1][language]
        rest = counts - counts.sum() / lengths.sum() * lengths
        variance += rest.var() * len(rest) / lengths.sum() ** 2
    half = 1.96 * 100 * math.sqrt(variance) / len(LANGUAGES)
    assert found.high - found.mean == pytest.approx(half, rel=0.08)
    assert found.mean - found.low == pytest.approx(half, rel=0.08)


def test_few_bad_utterances_make_the_interval_reach_further_up():
    """Three of thirty are all wrong: they may be drawn seven times."""
    edits = {1: {"en": [20] * 3 + [1] * 27}}
    found = band(edits, {"en": [20] * 30}, n=4000)
    assert found.high - found.mean > 1.08 * (found.mean - found.low)


def test_an_error_rate_is_never_negative():
    edits, characters = constant([0.0, 0.2])
    assert band(edits, characters, n=20).low == 0.0


def test_utterances_are_paired(case):
    """What is hard for both methods is no part of their difference."""
    a, b, characters = case
    found = hierarchical(a, b, characters, n=1000)
    alone = band(a, characters, n=1000)
    other = band(b, characters, n=1000)
    unpaired = math.hypot(alone.high - alone.low, other.high - other.low)
    assert found.high - found.low < 0.6 * unpaired
    assert found.high < 0.0


def test_exchanging_the_methods_turns_all_signs(case):
    a, b, characters = case
    one = hierarchical(a, b, characters, n=500)
    other = hierarchical(b, a, characters, n=500)
    assert one.mean == pytest.approx(-other.mean)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert 1 + one.relative == pytest.approx(1 / (1 + other.relative))
    assert 1 + one.relative_low == pytest.approx(1 / (1 + other.relative_high))


def test_equal_methods_do_not_differ(case):
    a, _, characters = case
    found = hierarchical(a, a, characters, n=50)
    assert found.mean == found.low == found.high == 0.0
    assert found.relative == 0.0
    assert (found.relative_low, found.relative_high) == pytest.approx((0, 0))


def test_relative_and_absolute_intervals_agree(case):
    a, b, characters = case
    found = hierarchical(a, b, characters, n=1000)
    mean = band(b, characters, n=10).mean
    assert found.relative == pytest.approx(found.mean / mean)
    assert found.relative_low == pytest.approx(found.low / mean, rel=0.15)
    assert found.relative_high == pytest.approx(found.high / mean, rel=0.15)


def test_higher_confidence_is_wider_and_draws_repeat(case):
    a, b, characters = case
    wide = hierarchical(a, b, characters, n=500, confidence=0.99)
    found = hierarchical(a, b, characters, n=500, confidence=0.95)
    assert wide.low < found.low < found.high < wide.high
    assert hierarchical(a, b, characters, n=500) == found
    other = np.random.default_rng(1)
    assert hierarchical(a, b, characters, n=500, generator=other) != found


def test_only_common_seeds_are_compared(case):
    a, b, characters = case
    fewer = {seed: b[seed] for seed in (2, 3)}
    found = hierarchical(a, fewer, characters, n=100)
    both = {seed: a[seed] for seed in (2, 3)}
    assert found == hierarchical(both, fewer, characters, n=100)


def test_no_errors_at_all():
    none, characters = constant([0.0, 0.0])
    some, _ = constant([0.1, 0.1])
    found = hierarchical(none, some, characters, n=20)
    assert (found.mean, found.relative) == pytest.approx((-10.0, -1.0))
    assert found.relative_low == pytest.approx(-1.0)
    assert math.isnan(hierarchical(some, none, characters, n=20).relative)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"a": {}}, "a seed in common, got"),
        ({"a": {1: {"en": [1]}}}, "must have 2 utterances of 'en', got"),
        ({"b": {1: {"ru": [1, 2]}}}, "utterances of 'en', got \\[None\\]"),
        ({"characters": {"en": [0, 0]}}, "`characters` of 'en' must not be"),
        ({"n": 1}, "`n` must be an integer >= 2, got 1"),
        ({"confidence": 1.0}, "`confidence` must be in"),
    ],
)
def test_what_cannot_be_compared_is_named(change, message):
    edits = {1: {"en": [1, 2]}}
    case = {"a": edits, "b": edits, "characters": {"en": [5, 5]}, **change}
    settings = {x: case[x] for x in ("n", "confidence") if x in case}
    with pytest.raises(UserError, match=message):
        hierarchical(case["a"], case["b"], case["characters"], **settings)


def test_a_band_needs_a_seed():
    with pytest.raises(UserError, match="at least one seed"):
        band({}, {"en": [1]})


def coverage(spread, seeds=SEEDS, repetitions=150):
    """How often the interval of the difference holds the true one."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(repetitions):
        characters = {x: rng.integers(20, 90, 40) for x in LANGUAGES}
        # Mean 0.4 and 0.38, each utterance harder for one of the two.
        hard = {x: rng.beta(4, 6, 40) for x in LANGUAGES}
        tilt = {x: 1 + rng.uniform(-0.3, 0.3, 40) for x in LANGUAGES}
        other = {x: 0.95 * hard[x] * tilt[x] for x in LANGUAGES}
        pair = [
            make_edits(rng, rates, characters, spread, seeds)
            for rates in (other, hard)
        ]
        found = hierarchical(*pair, characters, n=150, generator=rng)
        held += found.low <= -2.0 <= found.high
    return held / repetitions


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_intervals_of_three_seeds_hold_the_truth(spread):
    # A standard error of 150 repetitions is 1.8 %.
    assert coverage(spread) >= 0.92


def test_the_bootstrap_alone_would_not(monkeypatch):
    monkeypatch.setattr(Resampling, "_half", lambda self, values, drawn: 0.0)
    assert coverage(0.15) < 0.87
