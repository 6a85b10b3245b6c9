"""FocalWeights: the weaker pathway counts for more, the mean stays 1."""

import math

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.focal import FocalWeights


def fed(losses, **settings):
    """Weights after one loss per pathway."""
    weights = FocalWeights(**settings)
    for name, loss in losses.items():
        weights.weigh(name, torch.tensor(loss))
    return weights


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_weights_follow_their_formula(gamma):
    found = fed({"en": 1.0, "fr": 2.0, "it": 4.0}, gamma=gamma).weights()
    raw = {"en": 1.0, "fr": 2.0**gamma, "it": 4.0**gamma}
    mean = sum(raw.values()) / 3
    assert found == pytest.approx({n: x / mean for n, x in raw.items()})
    assert found["en"] < found["fr"] < found["it"]


def test_gamma_zero_weighs_all_the_same():
    found = fed({"en": 1.0, "fr": 5.0}, gamma=0.0).weights()
    assert found == {"en": 1.0, "fr": 1.0}


def test_the_loss_and_its_gradient_are_scaled():
    weights = fed({"en": 1.0}, decay=0.0)
    x = torch.tensor(3.0, requires_grad=True)
    loss = weights.weigh("fr", x)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(4.5)
    assert float(x.grad) == pytest.approx(1.5)
    assert float(weights.last) == 3.0 and not weights.last.requires_grad


def test_the_average_is_bias_corrected():
    weights = FocalWeights(decay=0.5)
    for loss in (1.0, 4.0):
        weights.weigh("en", torch.tensor(loss))
    # (1 * 0.25 + 4 * 0.5) / (1 - 0.25)
    assert weights.state_dict()["losses"] == {"en": pytest.approx(3.0)}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_loss_leaves_the_averages(bad):
    weights = fed({"en": 1.0, "fr": 3.0})
    before = weights.state_dict()
    assert not torch.isfinite(weights.weigh("fr", torch.tensor(bad)))
    assert weights.state_dict() == before


def test_losses_of_zero_are_weighed_the_same():
    assert fed({"en": 0.0, "fr": -1.0}).weights() == {"en": 1.0, "fr": 1.0}


def test_a_saved_state_continues():
    a = fed({"en": 1.0, "fr": 3.0})
    b = FocalWeights()
    b.load_state_dict(a.state_dict())
    for weights in (a, b):
        weights.weigh("en", torch.tensor(7.0))
    assert a.weights() == b.weights() and a.weights()["en"] != 0.5


@pytest.mark.parametrize(
    "settings, match",
    [
        ({"gamma": -1}, "`gamma` must be in .* got -1"),
        ({"decay": 1.0}, "`decay` must be in \\[0, 1\\), got 1.0"),
    ],
)
def test_settings_are_checked(settings, match):
    with pytest.raises(UserError, match=match):
        FocalWeights(**settings)
