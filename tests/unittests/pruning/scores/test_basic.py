"""Score functions by hand, in float32 whatever comes in, and Magnitude."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.scores.basic import (
    Magnitude,
    TrackedScore,
    gradient,
    magnitude,
    weight_gradient,
)

FUNCTIONS = [magnitude, gradient, weight_gradient]
WEIGHT = torch.tensor([[-3.0, 0.0], [2.0, 1.0]])
GRADIENT = torch.tensor([[2.0, -5.0], [-0.5, 0.0]])


@pytest.mark.parametrize(
    "function, expected",
    [
        (magnitude, [[3.0, 0.0], [2.0, 1.0]]),
        (gradient, [[2.0, 5.0], [0.5, 0.0]]),
        (weight_gradient, [[6.0, 0.0], [1.0, 0.0]]),
    ],
)
def test_by_hand(function, expected):
    assert function(WEIGHT, GRADIENT).tolist() == expected


@pytest.mark.parametrize("function", FUNCTIONS)
def test_inputs_are_untouched_and_outputs_carry_no_graph(function):
    weight = WEIGHT.clone().requires_grad_()
    grad = GRADIENT.clone()
    result = function(weight, grad)
    assert not result.requires_grad
    assert torch.equal(weight, WEIGHT) and torch.equal(grad, GRADIENT)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_is_written_and_returned(function):
    out = torch.full((2, 2), -1.0)
    assert function(WEIGHT, GRADIENT, out=out) is out
    assert torch.equal(out, function(WEIGHT, GRADIENT))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16]
)
def test_computes_in_float32(function, dtype):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, generator=generator).to(dtype)
    grad = torch.randn(50, generator=generator).to(dtype)
    result = function(weight, grad)
    assert result.dtype == torch.float32
    exact = function(weight.double(), grad.double()).double()
    expected = {
        magnitude: weight.double().abs(),
        gradient: grad.double().abs(),
        weight_gradient: (weight.double() * grad.double()).abs(),
    }[function]
    torch.testing.assert_close(exact, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_transposed_weight_gives_a_contiguous_score(function):
    result = function(WEIGHT.t(), GRADIENT.t())
    assert result.is_contiguous()
    assert torch.equal(result, function(WEIGHT, GRADIENT).t())


@pytest.mark.parametrize("function", [gradient, weight_gradient])
def test_a_missing_or_foreign_gradient_is_refused(function):
    with pytest.raises(UserError, match=r"`gradient` .* \(2, 2\); got None"):
        function(WEIGHT, None)
    with pytest.raises(UserError, match=r"`gradient` .* \(2, 2\); got \(3,\)"):
        function(WEIGHT, torch.ones(3))


def test_magnitude_score_needs_no_gradient_and_holds_no_state():
    score = Magnitude()
    assert score.wants_gradient is False
    assert score.observe("en", "w", WEIGHT, GRADIENT) is True
    assert score.seen("en") == 0
    score.reset("en")
    score.reset()
    score.reduce("en")
    value = score.value("fr", "w", WEIGHT)
    assert torch.equal(value, WEIGHT.abs())
    value.zero_()
    assert WEIGHT[0, 0] == -3.0


def test_magnitude_loads_its_own_state_only():
    score = Magnitude()
    score.load_state_dict(score.state_dict())
    with pytest.raises(UserError, match="`state` must be empty .* dtype"):
        score.load_state_dict(TrackedScore(gradient).state_dict())
