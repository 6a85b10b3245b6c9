"""GradientAverages: directions that are bounded, and what is remembered."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.scores.gradient_averages import GradientAverages

FINITE = st.floats(-(2.0**60), 2.0**60, width=32)


def direction(averages, shape=(3,)):
    """Minus what a move by 1 adds to zeros."""
    values = torch.zeros(shape)
    averages.move(values, "en", "w", most=1.0)
    return -values


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1, max_size=8))
def test_directions_are_at_most_one_whatever_the_gradients(rows):
    averages = GradientAverages(decay=0.9)
    for row in rows:
        assert averages.observe("en", "w", torch.zeros(3), torch.tensor(row))
    found = direction(averages)
    assert found.isfinite().all() and found.abs().max() <= 1.0 + 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_equals_plain_averages_of_gradients_and_squares(decay):
    generator = torch.Generator().manual_seed(3)
    gradients = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    averages = GradientAverages(decay)
    for gradient in gradients:
        averages.observe("en", "w", torch.zeros(3), gradient.float())
    weights = torch.tensor([decay ** (6 - i) for i in range(7)]).double()
    weights /= weights.sum()
    mean = (weights[:, None] * gradients).sum(0)
    square = (weights[:, None] * gradients.square()).sum(0)
    wanted = (mean / square.sqrt()).float()
    torch.testing.assert_close(direction(averages), wanted, rtol=1e-4, atol=0)


def test_what_was_not_observed_stays_where_it_is():
    averages = GradientAverages(decay=0.9)
    averages.observe("en", "w", torch.zeros(2), torch.ones(2))
    values = torch.tensor([1.0, 2.0])
    averages.move(values, "fr", "w", most=1.0)
    averages.move(values, "en", "other", most=1.0)
    assert values.tolist() == [1.0, 2.0]


def test_observations_are_counted_by_parameter():
    averages = GradientAverages(decay=0.9)
    for name in ("w", "w", "v"):
        averages.observe("en", name, torch.zeros(2), torch.ones(2))
    assert averages.counts("en") == {"w": 2, "v": 1}
    assert averages.seen("en") == 2
    averages.reset("en")
    assert averages.counts("en") == {} and averages.seen("en") == 0
    assert averages.knows("en", "v")


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), 1e30])
def test_what_cannot_be_squared_leaves_no_trace(bad):
    averages = GradientAverages(decay=0.9)
    gradient = torch.tensor([1.0, bad])
    assert not averages.observe("en", "w", torch.zeros(2), gradient)
    assert not averages.knows("en", "w") and averages.counts("en") == {}


def test_wrong_input_is_one_sentence():
    with pytest.raises(UserError, match=r"`decay` must be .*, got 1"):
        GradientAverages(decay=1.0)
    averages = GradientAverages(decay=0.9)
    averages.observe("en", "w", torch.zeros(2), torch.ones(2))
    with pytest.raises(UserError, match="'w' must be in the shape of its"):
        averages.move(torch.zeros(3), "en", "w", most=1.0)
