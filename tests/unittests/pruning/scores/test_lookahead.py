"""LookAhead: against Adam itself, and what makes pathways differ."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.scores.lookahead import LookAhead


def rms(tensor):
    return float(tensor.square().mean().sqrt())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.floats(0.0, 0.99))
def test_equals_the_direction_of_adam(count, decay):
    """One Adam step from the same past, with both betas at `decay`."""
    generator = torch.Generator().manual_seed(count)
    weight = torch.randn(5, 4, generator=generator)
    gradients = torch.randn(count, 5, 4, generator=generator)
    score = LookAhead(step=0.5, decay=decay)
    parameter = torch.nn.Parameter(weight.clone())
    adam = torch.optim.Adam([parameter], lr=1e-3, betas=(decay, decay), eps=0)
    for gradient in gradients:
        assert score.observe("en", "w", weight, gradient)
        before = parameter.detach().clone()
        parameter.grad = gradient.clone()
        adam.step()
    direction = (parameter.detach() - before) / 1e-3
    wanted = (weight + 0.5 * rms(weight) * direction).abs()
    got = score.value("en", "w", weight)
    assert torch.allclose(got, wanted, atol=2e-3)


def test_no_weight_moves_further_than_step():
    weight = torch.linspace(-2.0, 2.0, 9)
    score = LookAhead(step=0.25)
    for _ in range(40):
        score.observe("en", "w", weight, torch.full((9,), -3.0))
    moved = score.value("en", "w", weight) - weight.abs()
    most = 0.25 * rms(weight)
    assert moved[1:].abs().max() <= most + 1e-5
    # All gradients agree: positive weights grow by all of it.
    assert torch.allclose(moved[5:], torch.full((4,), most), atol=1e-5)


@pytest.mark.parametrize("size", [1e-15, 1e-22, 1e-30, 1e-38, 1e15])
def test_no_gradient_is_too_small_or_large(size):
    """Squares of tiny ones are no float32: the quotient must stay bounded."""
    weight = torch.ones(2)
    score = LookAhead(step=0.25)
    score.observe("en", "w", weight, torch.tensor([-size, size]))
    value = score.value("en", "w", weight)
    assert (value - weight).abs().max() <= 0.25 + 1e-5


def test_pathways_rank_the_same_weights_differently():
    weight = torch.ones(4)
    score = LookAhead()
    score.observe("en", "w", weight, torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    score.observe("fr", "w", weight, torch.tensor([1.0, 1.0, -1.0, -1.0]))
    best = {
        p: score.value(p, "w", weight).topk(2).indices for p in ("en", "fr")
    }
    assert sorted(best["en"].tolist()) == [0, 1]
    assert sorted(best["fr"].tolist()) == [2, 3]


def test_noise_cancels_where_a_pull_does_not():
    """Alternating signs move a weight less and less, a steady pull does not."""
    weight = torch.ones(2)
    score = LookAhead(step=1.0, decay=0.99)
    for i in range(100):
        noise = 1.0 if i % 2 else -1.0
        score.observe("en", "w", weight, torch.tensor([noise, -1.0]))
    value = score.value("en", "w", weight)
    assert abs(float(value[0]) - 1.0) < 0.05 and value[1] == pytest.approx(2.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_gradient_leaves_no_trace(bad):
    weight = torch.ones(2)
    score = LookAhead()
    assert not score.observe("en", "w", weight, torch.tensor([bad, 1.0]))
    assert score.seen("en") == 0 and not score.knows("en", "w")
    assert torch.equal(score.value("en", "w", weight), weight)


def test_a_reset_counts_anew_and_remembers():
    weight = torch.ones(2)
    score = LookAhead()
    score.observe("en", "w", weight, torch.tensor([-1.0, 1.0]))
    before = score.value("en", "w", weight)
    score.reset("en")
    assert score.seen("en") == 0
    assert torch.equal(score.value("en", "w", weight), before)
    score.reset()
    assert not score.knows("en", "w")


def test_a_saved_state_goes_on_the_same():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 3, generator=generator)
    first, second = LookAhead(), LookAhead()
    first.observe("en", "w", weight, weight.flip(0))
    second.load_state_dict(first.state_dict())
    for score in (first, second):
        score.observe("en", "w", weight, weight.T.contiguous())
    assert torch.equal(
        first.value("en", "w", weight), second.value("en", "w", weight)
    )
    assert first.seen("en") == second.seen("en") == 2


def test_what_is_wrong_is_one_sentence():
    with pytest.raises(UserError, match="`step` must be .*, got 0"):
        LookAhead(step=0.0)
    with pytest.raises(UserError, match=r"`decay` must be .*, got 1"):
        LookAhead(decay=1.0)
    score = LookAhead()
    with pytest.raises(UserError, match="`gradient` must be in the shape"):
        score.observe("en", "w", torch.ones(2), torch.ones(3))
    score.observe("en", "w", torch.ones(2), torch.ones(2))
    with pytest.raises(UserError, match="'w' must be in the shape of its"):
        score.value("en", "w", torch.ones(3))
    with pytest.raises(UserError, match="LookAhead must have averages"):
        score.load_state_dict({"version": 1, "learned": {}})
