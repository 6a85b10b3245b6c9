"""LearnedScore: its gradient by autograd, its step, and what it remembers."""

import copy

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.focal import FocalWeights
from leanbrain.pruning.scores import averages, gradient_averages
from leanbrain.pruning.scores.learned import LearnedScore
from leanbrain.pruning.scores.ranking import rank_shares
from leanbrain.pruning.scores.rates import wandering_rate
from leanbrain.pruning.updates.topk import top_mask

WEIGHT = torch.tensor([[-3.0, 1.0], [2.0, 0.5]])
GRADIENT = torch.tensor([[1.0, -2.0], [0.5, 4.0]])


def inner(score, pathway="en", name="w"):
    """The scores themselves, without the map to positive numbers."""
    value = score.value(pathway, name, WEIGHT)
    return value.log()


def test_starts_at_the_rank_of_the_magnitude():
    score = LearnedScore()
    torch.testing.assert_close(inner(score), rank_shares(WEIGHT.abs()))
    for keep in range(5):
        chosen = top_mask(score.value("en", "w", WEIGHT), keep)
        assert torch.equal(chosen, top_mask(WEIGHT.abs(), keep))


def test_the_slope_is_that_of_a_straight_through_mask():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 4, generator=generator)
    inputs = torch.randn(3, 4, generator=generator)
    scores = torch.rand(5, 4, generator=generator).requires_grad_()
    # 1[a in the top 12] forward, identity backward.
    hard = top_mask(scores.detach(), 12).float()
    mask = hard + scores - scores.detach()
    masked = (weight * mask).detach().requires_grad_()
    torch.tanh(inputs @ (weight * mask).t()).square().sum().backward()
    torch.tanh(inputs @ masked.t()).square().sum().backward()

    learned = LearnedScore(lr=0.1)
    before = learned.value("en", "w", weight).log()
    learned.observe("en", "w", weight, masked.grad)
    after = learned.value("en", "w", weight).log()
    # The first step of Adam: that of the sign.
    expected = before - 0.1 * scores.grad.sign()
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-5)


def test_scores_move_as_under_adam():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(5, 4, generator=generator)
    gradients = torch.randn(8, 5, 4, generator=generator)
    learned = LearnedScore(lr=0.02, decay=0.8)
    scores = torch.nn.Parameter(rank_shares(weight.abs()))
    adam = torch.optim.Adam([scores], lr=0.02, betas=(0.8, 0.8), eps=0)
    for gradient in gradients:
        learned.observe("en", "w", weight, gradient)
        scores.grad = gradient * weight
        adam.step()
    torch.testing.assert_close(
        learned.state_dict()["learned"]["en"]["w"],
        scores.detach() - rank_shares(weight.abs()),
        rtol=1e-4,
        atol=1e-6,
    )


def test_scores_follow_weights_that_are_trained():
    """What was learned stays, and is added to the ranks of now."""
    score = LearnedScore(lr=0.1)
    score.observe("en", "w", WEIGHT, GRADIENT)
    drift = inner(score) - rank_shares(WEIGHT.abs())
    later = WEIGHT.flip(0) * 3
    now = score.value("en", "w", later).log()
    torch.testing.assert_close(now, rank_shares(later.abs()) + drift)


def test_noise_does_not_move_large_weights_further_than_small_ones():
    generator = torch.Generator().manual_seed(2)
    weight = torch.cat([torch.full((500,), 0.01), torch.full((500,), 10.0)])
    score = LearnedScore(lr=0.01)
    before = score.value("en", "w", weight).log()
    for _ in range(60):
        noise = torch.randn(1000, generator=generator)
        score.observe("en", "w", weight, noise)
    moved = (score.value("en", "w", weight).log() - before).abs()
    small, large = float(moved[:500].mean()), float(moved[500:].mean())
    assert large == pytest.approx(small, rel=0.15)
    # Had all agreed, it would be 0.6.
    assert large < 0.12


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_step_moves_scores_by_lr_on_average_at_any_scale(scale):
    score = LearnedScore(lr=0.25)
    before = inner(score)
    score.observe("en", "w", WEIGHT, GRADIENT * scale)
    moved = inner(score) - before
    assert float(moved.abs().mean()) == pytest.approx(0.25, rel=1e-4)
    assert torch.equal(moved.sign(), -(WEIGHT * GRADIENT).sign())


def test_weak_pathways_move_further_by_their_weight():
    """In the gradient alone weights would cancel: steps have no size of it."""
    focal = FocalWeights(gamma=1.0)
    focal.weigh("en", torch.tensor(1.0))
    focal.weigh("ru", torch.tensor(3.0))
    score = LearnedScore(lr=0.1, weights=focal)
    for pathway, weight in focal.weights().items():
        before = inner(score, pathway)
        score.observe(pathway, "w", WEIGHT, weight * GRADIENT)
        moved = (inner(score, pathway) - before).abs()
        torch.testing.assert_close(moved, torch.full((2, 2), 0.1 * weight))
    assert focal.weights() == {"en": 0.5, "ru": 1.5}


@pytest.mark.parametrize("count, steps", [(1, 100), (2, 500), (5, 2500)])
def test_noise_moves_scores_as_far_as_asked_whatever_the_length(count, steps):
    generator = torch.Generator().manual_seed(count)
    weight = torch.randn(2000, generator=generator)
    names = [f"p{i}" for i in range(count)]
    lr = wandering_rate(0.3, steps, names, heal=0.2)
    score = LearnedScore(lr=lr)
    before = score.value("p0", "w", weight).log()
    for _ in range(int(0.8 * steps / count)):
        noise = torch.randn(2000, generator=generator)
        score.observe("p0", "w", weight, noise)
    moved = score.value("p0", "w", weight).log() - before
    assert float(moved.std()) == pytest.approx(0.3, rel=0.2)


def test_a_mask_that_is_known_is_learned():
    """The best half of the weights of a linear layer is not the largest."""
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(40, 30, generator=generator)
    wanted = torch.rand(40, 30, generator=generator) < 0.3
    score = LearnedScore(lr=wandering_rate(0.06, 300, ["en"], 0.0))
    keep = int(wanted.sum())
    recalled = []
    for _ in range(300):
        mask = top_mask(score.value("en", "w", weight), keep)
        recalled.append(float((mask & wanted).sum() / keep))
        inputs = torch.randn(16, 30, generator=generator)
        masked = (weight * mask).requires_grad_()
        target = inputs @ (weight * wanted).t()
        (inputs @ masked.t() - target).square().mean().backward()
        score.observe("en", "w", weight, masked.grad)
    assert recalled[0] < 0.4 and recalled[-1] > 0.8


def test_values_are_positive_and_in_the_order_of_the_scores():
    score = LearnedScore(lr=1.0)
    for _ in range(50):
        score.observe("en", "w", WEIGHT, GRADIENT)
    start = rank_shares(WEIGHT.abs())
    exact = start - 50 * (WEIGHT * GRADIENT).sign()
    value = score.value("en", "w", WEIGHT)
    assert float(exact.min()) < -10 and float(exact.max()) > 10
    assert (value > 0).all()
    assert torch.equal(value.view(-1).argsort(), exact.view(-1).argsort())


def test_removed_weights_learn_and_pathways_are_apart():
    score = LearnedScore(lr=1.0)
    only_last = torch.tensor([[0.0, 0.0], [0.0, -1.0]])
    score.observe("en", "w", WEIGHT, only_last)
    assert int(score.value("en", "w", WEIGHT).argmax()) == 3
    assert int(score.value("fr", "w", WEIGHT).argmax()) == 0
    assert int(score.value("en", "v", WEIGHT).argmax()) == 0


@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_a_gradient_that_is_not_finite_leaves_no_trace(bad):
    score = LearnedScore()
    score.observe("en", "w", WEIGHT, GRADIENT)
    before = score.value("en", "w", WEIGHT)
    broken = GRADIENT.clone()
    broken[1, 0] = bad
    assert score.observe("en", "w", WEIGHT, broken) is False
    assert torch.equal(score.value("en", "w", WEIGHT), before)
    assert score.seen("en") == 1


@pytest.mark.parametrize("scale", [0.0, 1e-45])
def test_no_gradient_to_speak_of_moves_nothing_far(scale):
    score = LearnedScore()
    before = score.value("en", "w", WEIGHT)
    assert score.observe("en", "w", WEIGHT, GRADIENT * scale) is True
    after = score.value("en", "w", WEIGHT)
    assert after.isfinite().all()
    assert scale or torch.equal(after, before)
    assert score.seen("en") == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_widened_before_the_product(dtype):
    # 1e-4 * 1e-4 underflows in float16.
    weight = torch.tensor([1e-4, 2e-4]).to(dtype)
    score = LearnedScore(lr=0.5)
    before = score.value("en", "w", weight)
    score.observe("en", "w", weight, weight)
    moved = (score.value("en", "w", weight) != before).tolist()
    assert moved == [True, True]


def test_a_reset_of_a_pathway_only_counts_anew():
    score = LearnedScore()
    assert score.wants_gradient is True
    assert score.knows("en", "w") is True and score.seen("en") == 0
    for _ in range(3):
        score.observe("en", "w", WEIGHT, GRADIENT)
    learned = score.value("en", "w", WEIGHT)
    assert score.seen("en") == 3
    score.reset("en")
    assert score.seen("en") == 0
    assert torch.equal(score.value("en", "w", WEIGHT), learned)
    score.reset()
    assert torch.equal(inner(score), inner(LearnedScore()))


def test_saved_and_resumed_is_not_interrupted():
    score = LearnedScore()
    score.observe("en", "w", WEIGHT, GRADIENT)
    state = copy.deepcopy(score.state_dict())
    resumed = LearnedScore()
    resumed.load_state_dict(state)
    for one in (score, resumed):
        one.observe("en", "w", WEIGHT, GRADIENT)
    assert torch.equal(
        resumed.value("en", "w", WEIGHT), score.value("en", "w", WEIGHT)
    )
    assert resumed.seen("en") == 2
    # The state was copied, not taken.
    assert state["slopes"]["seen"]["en"]["w"] == 1
    again = LearnedScore()
    again.load_state_dict(state)
    assert not torch.equal(inner(again), inner(resumed))


def test_an_observation_reuses_its_space(monkeypatch):
    made = []
    empty = torch.empty

    def noting(*size, **options):
        made.append(size)
        return empty(*size, **options)

    score = LearnedScore()
    monkeypatch.setattr(torch, "empty", noting)
    score.observe("en", "w", WEIGHT, GRADIENT)
    assert made == [(4,), (4,)]  # of dL/da, and of its square
    values = score.state_dict()["learned"]["en"]["w"]
    score.observe("en", "w", WEIGHT, GRADIENT)
    score.observe("en", "small", WEIGHT[:1], GRADIENT[:1])
    assert made == [(4,), (4,)]
    assert score.state_dict()["learned"]["en"]["w"] is values


def test_reduce_leaves_a_single_process_alone():
    score = LearnedScore()
    score.observe("en", "w", WEIGHT, GRADIENT)
    before = score.value("en", "w", WEIGHT)
    score.reduce("en")
    score.reduce("fr")
    assert torch.equal(score.value("en", "w", WEIGHT), before)
    assert score.seen("en") == 1


class SecondRank:
    """Stands for `torch.distributed`, with scores on another rank."""

    def __init__(self, values, seen):
        self.values, self.seen = values, seen

    def is_available(self):
        return True

    is_initialized = is_available

    def get_world_size(self):
        return 2

    def get_backend(self):
        return "gloo"

    def all_gather_object(self, ranks, facts):
        ranks[:] = facts, {"w": (tuple(self.values.shape), self.seen, 0.0)}

    def all_reduce(self, total):
        total += self.values


class ItsCounts(SecondRank):
    """The same rank, where it tells how many observations it has."""

    def all_gather_object(self, ranks, facts):
        ranks[:] = facts, {"w": self.seen}


@pytest.mark.parametrize("observes", [True, False])
def test_ranks_average_the_scores_of_those_that_observed(monkeypatch, observes):
    score = LearnedScore(lr=1.0)
    for _ in range(9):
        score.observe("en", "w", WEIGHT, GRADIENT)
    mine = inner(score)
    assert float(mine.min()) < -1.0
    if not observes:
        score.reset("en")
    other = torch.tensor([[-4.0, 0.5], [2.0, -0.5]])  # what it has learned
    start = rank_shares(WEIGHT.abs())
    monkeypatch.setattr(averages, "dist", SecondRank(other, seen=2))
    counts = ItsCounts(other, seen=2)
    monkeypatch.setattr(gradient_averages, "dist", counts)
    monkeypatch.setattr(gradient_averages, "is_distributed", lambda: True)
    score.reduce("en")
    expected = (mine + start + other) / 2 if observes else start + other
    torch.testing.assert_close(inner(score), expected, rtol=1e-4, atol=1e-5)
    assert score.seen("en") == (9 if observes else 2)


def test_settings_and_shapes_are_checked():
    with pytest.raises(UserError, match="`lr` must be a finite number > 0"):
        LearnedScore(lr=0)
    score = LearnedScore()
    with pytest.raises(UserError, match=r"`gradient` .* \(2, 2\); got \(4,\)"):
        score.observe("en", "w", WEIGHT, GRADIENT.view(-1))
    score.observe("en", "w", WEIGHT, GRADIENT)
    with pytest.raises(UserError, match=r"`weight` of 'w' .* got \(4,\)"):
        score.value("en", "w", WEIGHT.view(-1))
    with pytest.raises(UserError, match="state of a LearnedScore must .* none"):
        score.load_state_dict({})
