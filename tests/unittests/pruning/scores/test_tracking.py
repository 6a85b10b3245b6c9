"""TrackedScore: what it takes in, gives back, forgets and saves."""

from functools import partial

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.scores import tracking
from leanbrain.pruning.scores.basic import (
    TrackedScore,
    gradient,
    weight_gradient,
)

DTYPES = ["float32", "float16", "bfloat16", "int8"]
WEIGHT = torch.tensor([[-3.0, 1.0], [2.0, 0.5]])


def gradients(count, seed=0):
    """Gradients of as many micro-batches."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 2, generator=generator) for _ in range(count)]


def tracked(dtype="float32", decay=0.9, batches=3):
    """A score that has observed two pathways."""
    score = TrackedScore(weight_gradient, decay=decay, dtype=dtype)
    for pathway, seed in (("en", 1), ("fr", 2)):
        for grad in gradients(batches, seed):
            assert score.observe(pathway, "w", WEIGHT, grad) is True
    return score


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_pathways_have_their_own_corrected_averages(decay):
    score = tracked(decay=decay)
    for pathway, seed in (("en", 1), ("fr", 2)):
        ema = torch.zeros(2, 2, dtype=torch.float64)
        for grad in gradients(3, seed):
            fresh = (WEIGHT.double() * grad.double()).abs()
            ema = decay * ema + (1 - decay) * fresh
        expected = (ema / (1 - decay**3)).float()
        value = score.value(pathway, "w", WEIGHT)
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)
        assert score.seen(pathway) == 3


def test_default_decay_and_needs():
    score = TrackedScore(gradient)
    assert score.decay == 0.9
    assert score.wants_gradient is True


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("inf"), float("-inf"), float("nan")])
def test_a_gradient_that_is_not_finite_leaves_no_trace(dtype, bad):
    score = tracked(dtype)
    before = score.value("en", "w", WEIGHT)
    grad = torch.ones(2, 2)
    grad[1, 0] = bad
    assert score.observe("en", "w", WEIGHT, grad) is False
    assert torch.equal(score.value("en", "w", WEIGHT), before)
    assert score.seen("en") == 3
    # Not even as the first observation, and not by 0 * inf = NaN.
    assert score.observe("de", "w", WEIGHT * 0, grad) is False
    assert score.seen("de") == 0
    assert list(score.state_dict()["pathways"]) == ["en", "fr"]


def test_seen_is_that_of_the_parameter_with_most():
    score = tracked()
    score.observe("en", "v", WEIGHT, torch.ones(2, 2))
    assert score.seen("en") == 3
    assert score.seen("nl") == 0


def test_a_pathway_that_was_never_observed_is_named():
    score = tracked()
    message = "'de' must have .* gradient of 'w' .* got 0 observations"
    with pytest.raises(UserError, match=message):
        score.value("de", "w", WEIGHT)
    with pytest.raises(
        UserError, match="'en' .* got 3 observations, none of 'v'"
    ):
        score.value("en", "v", WEIGHT)


def test_reset_forgets_one_or_all():
    score = tracked()
    score.reset("en")
    assert (score.seen("en"), score.seen("fr")) == (0, 3)
    assert list(score.state_dict()["pathways"]) == ["fr"]
    score.reset("en")  # again: nothing to forget is no error
    # The first observation afterwards is the average.
    score.observe("en", "w", WEIGHT, torch.ones(2, 2))
    assert torch.equal(score.value("en", "w", WEIGHT), WEIGHT.abs())
    score.reset()
    assert score.state_dict()["pathways"] == {}


@pytest.mark.parametrize("dtype", DTYPES)
def test_saved_and_loaded_it_goes_on_bit_for_bit(tmp_path, dtype):
    straight = tracked(dtype)
    torch.save(tracked(dtype).state_dict(), tmp_path / "score.pt")
    state = torch.load(tmp_path / "score.pt", weights_only=True)
    resumed = TrackedScore(weight_gradient, dtype=dtype)
    resumed.load_state_dict(state)
    for score in (straight, resumed):
        for grad in gradients(2, seed=5):
            score.observe("en", "w", WEIGHT, grad)
    assert resumed.seen("en") == straight.seen("en") == 5
    for pathway in ("en", "fr"):
        assert torch.equal(
            resumed.value(pathway, "w", WEIGHT),
            straight.value(pathway, "w", WEIGHT),
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loaded_state_is_a_copy(dtype):
    source = tracked(dtype)
    copy = TrackedScore(weight_gradient, dtype=dtype)
    copy.load_state_dict(source.state_dict())
    before = copy.value("en", "w", WEIGHT)
    source.observe("en", "w", WEIGHT, torch.full((2, 2), 9.0))
    assert torch.equal(copy.value("en", "w", WEIGHT), before)


def test_loading_replaces_what_was_there():
    score = tracked()
    score.observe("de", "w", WEIGHT, torch.ones(2, 2))
    score.load_state_dict(tracked().state_dict())
    assert score.seen("de") == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 2}, "`version` of a saved score must be 1, got 2"),
        ({"dtype": "torch.int8"}, "`dtype` .* torch.float32, got torch.int8"),
    ],
)
def test_a_foreign_state_is_refused(change, message):
    score = tracked()
    with pytest.raises(UserError, match=message):
        score.load_state_dict({**score.state_dict(), **change})
    assert score.seen("en") == 3


def test_a_parameter_of_another_shape_is_refused():
    score = tracked()
    other = torch.ones(3, 2)
    message = r"'w' .* \(2, 2\); got \(3, 2\)"
    with pytest.raises(UserError, match=message):
        score.observe("en", "w", other, other)
    with pytest.raises(UserError, match=message):
        score.value("en", "w", other)


def test_a_function_of_ones_own():
    def squared(weight, gradient):
        return gradient.double() ** 2

    score = TrackedScore(squared, decay=0.0, dtype="float16")
    score.observe("en", "w", WEIGHT, torch.full((2, 2), 3.0))
    assert score.value("en", "w", WEIGHT).tolist() == [[9.0, 9.0], [9.0, 9.0]]


def test_a_function_that_ignores_out_is_heard():
    def stubborn(weight, gradient, out=None):
        return gradient.abs() + 1

    score = TrackedScore(stubborn)
    score.observe("en", "w", WEIGHT, torch.ones(2, 2))
    assert score.value("en", "w", WEIGHT).tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_observations_reuse_the_same_memory():
    places = []

    def spy(weight, gradient, out):
        places.append(out.data_ptr())
        return weight_gradient(weight, gradient, out=out)

    score = TrackedScore(spy)
    for shape in ((40, 50), (30, 20), (40, 50)):
        score.observe("en", str(shape), torch.ones(shape), torch.ones(shape))
    assert len(places) == 3 and len(set(places)) == 1


def test_a_built_in_function_without_signature(monkeypatch):
    def without(function):
        raise ValueError("no signature found")

    monkeypatch.setattr(tracking.inspect, "signature", without)
    score = TrackedScore(weight_gradient)
    assert score.observe("en", "w", WEIGHT, torch.ones(2, 2)) is True
    assert torch.equal(score.value("en", "w", WEIGHT), WEIGHT.abs())


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda w, g: -g.abs(), "`function` must return scores >= 0, got -1"),
        (lambda w, g: g.view(-1), r"`function` .* \(2, 2\); got \(4,\)"),
    ],
)
def test_a_function_that_breaks_the_contract(function, message):
    with pytest.raises(UserError, match=message):
        TrackedScore(function).observe("en", "w", WEIGHT, torch.ones(2, 2))


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"decay": 1.0}, r"`decay` must be in \[0, 1\), got 1.0"),
        (
            {"dtype": "float8"},
            "`dtype` must be one of float32, .* got 'float8'",
        ),
        ({"function": "magnitude"}, "`function` must be callable"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(UserError, match=message):
        TrackedScore(**{"function": weight_gradient, **settings})


def test_reduce_keeps_a_single_process_and_takes_what_ranks_say(monkeypatch):
    score = tracked()
    before = score.value("en", "w", WEIGHT)
    score.reduce("en")
    score.reduce("de")
    assert torch.equal(score.value("en", "w", WEIGHT), before)
    assert list(score.state_dict()["pathways"]) == ["en", "fr"]
    # A rank without observations receives those of the others.
    others = score._averages["en"]
    monkeypatch.setattr(
        tracking, "reduce_over_ranks", lambda averages, code: others
    )
    score.reduce("de")
    assert torch.equal(score.value("de", "w", WEIGHT), before)


def test_a_partial_still_writes_to_out():
    score = TrackedScore(partial(weight_gradient))
    assert score._takes_out is True
