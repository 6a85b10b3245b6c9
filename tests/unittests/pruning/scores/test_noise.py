"""Random scores: their law, their own generator, and the share of chance."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.scores import noise
from leanbrain.pruning.scores.basic import Magnitude, TrackedScore, gradient
from leanbrain.pruning.scores.noise import PartlyRandom, RandomScore
from leanbrain.pruning.updates.topk import top_mask

WEIGHT = torch.zeros(3, 4)


def partly(share, count=4000, seed=0):
    """A score that has seen the gradients 1, 2, ..., `count`."""
    weight = torch.zeros(count)
    score = PartlyRandom(TrackedScore(gradient), share=share, seed=seed)
    score.observe("en", "w", weight, torch.arange(1.0, count + 1.0))
    return score, weight


def test_random_scores_are_uniform_and_new_at_each_call():
    score = RandomScore(seed=3)
    drawn = score.value("en", "w", torch.zeros(100, 100))
    assert drawn.dtype == torch.float32 and drawn.shape == (100, 100)
    assert 0.0 < float(drawn.min()) and float(drawn.max()) < 1.0
    counts = torch.histc(drawn, bins=10, min=0.0, max=1.0)
    assert float((counts - 1000).abs().max()) < 150  # five deviations
    again = score.value("en", "w", torch.zeros(100, 100))
    assert not bool((drawn == again).any(dim=1).all())
    together = torch.stack([drawn, again]).flatten(1)
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.05


def test_zero_is_never_drawn(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *a, **k: torch.zeros(2))
    assert (RandomScore().value("en", "w", torch.zeros(2)) > 0.0).all()


@given(seed=st.integers(0, 2**40))
@settings(max_examples=20, deadline=None)
def test_numbers_depend_on_the_seed_and_not_on_the_rest(seed):
    state = torch.get_rng_state()
    first = RandomScore(seed).value("en", "a", WEIGHT)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    other = WEIGHT.double() + 1.0
    assert torch.equal(RandomScore(seed).value("fr", "b", other), first)
    assert not torch.equal(
        RandomScore(seed + 1).value("en", "a", WEIGHT), first
    )


@pytest.mark.parametrize("make", [RandomScore, lambda: partly(0.5)[0]])
def test_a_resumed_score_draws_what_the_saved_one_would(make):
    score, weight = make(), torch.zeros(4000)
    score.value("en", "w", weight)
    state = score.state_dict()
    expected = score.value("en", "w", weight)
    fresh = make()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.value("en", "w", weight), expected)
    # The state is a copy: what is drawn later does not change it.
    again = make()
    again.load_state_dict(state)
    assert torch.equal(again.value("en", "w", weight), expected)


@pytest.mark.parametrize("donors", [2**16, 1000])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_the_expected_share_of_what_is_taken_is_random(
    share, donors, monkeypatch
):
    monkeypatch.setattr(noise, "_DONORS", donors)
    score, weight = partly(share)
    plain = score.score.value("en", "w", weight)
    best = top_mask(plain, 400)
    by_chance = []
    for _ in range(40):
        taken = top_mask(score.value("en", "w", weight), 400)
        # Of those by chance a tenth are among the best anyway.
        by_chance.append(float((taken & ~best).sum()) / 400 / 0.9)
    assert sum(by_chance) / 40 == pytest.approx(share, abs=0.05)


def test_scores_are_distributed_as_before():
    score, weight = partly(0.5)
    plain = score.score.value("en", "w", weight)
    mixed = score.value("en", "w", weight)
    assert set(mixed.tolist()) <= set(plain.tolist())
    assert float((mixed != plain).float().mean()) == pytest.approx(
        0.5, abs=0.05
    )
    quantiles = torch.linspace(0, 1, 11)
    off = (mixed.quantile(quantiles) - plain.quantile(quantiles)).abs()
    assert float(off.max()) < 0.05 * 4000


def test_what_is_read_does_not_change_what_is_tracked():
    score, weight = partly(1.0)
    before = score.score.value("en", "w", weight)
    score.value("en", "w", weight)
    assert torch.equal(score.score.value("en", "w", weight), before)


def test_calls_are_passed_on():
    score, weight = partly(0.5)
    assert score.wants_gradient is True and RandomScore.wants_gradient is False
    assert score.seen("en") == 1 and score.seen("fr") == 0
    assert score.knows("en", "w") and not score.knows("en", "v")
    assert score.observe("en", "w", weight, weight + float("inf")) is False
    score.reduce("en")
    score.reset("en")
    assert not score.knows("en", "w")
    score.observe("fr", "w", weight, weight)
    score.reset()
    assert score.seen("fr") == 0


def test_an_empty_tensor_has_no_scores():
    score = PartlyRandom(TrackedScore(gradient), share=0.5)
    score.score = Magnitude()
    assert score.value("en", "w", torch.zeros(0, 3)).shape == (0, 3)


def test_settings_are_checked():
    with pytest.raises(UserError, match="`seed` must be an integer >= 0"):
        RandomScore(seed=-1)
    with pytest.raises(UserError, match="`seed` must be an integer >= 0"):
        PartlyRandom(TrackedScore(gradient), seed=0.5)
    with pytest.raises(UserError, match=r"`share` must be in \[0, 1\], got 2"):
        PartlyRandom(TrackedScore(gradient), share=2)
    with pytest.raises(UserError, match="`score` must be one that wants"):
        PartlyRandom(Magnitude())


@pytest.mark.parametrize("score", [RandomScore(), partly(0.5)[0]])
def test_the_state_of_another_score_is_refused(score):
    with pytest.raises(UserError, match="must have a generator .* none"):
        score.load_state_dict({})
