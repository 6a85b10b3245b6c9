"""What Adam does to a late arrival, by hand, and what the reset makes of it."""

from functools import partial

import pytest
import torch

from leanbrain.pruning.updates.regrowth import reset_moments

STEPS, LR = 8000, 0.01


def first_update(prepare):
    """|update| / lr of weight 1, revived after STEPS steps of weight 0."""
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = torch.optim.Adam([weight], lr=LR, betas=(0.9, 0.999))
    for _ in range(STEPS):
        weight.grad = torch.tensor([0.3, 0.3], dtype=torch.float64)
        optimizer.step()
    prepare(optimizer, weight)
    before = weight.detach().clone()
    weight.grad = torch.tensor([0.3, 0.3], dtype=torch.float64)
    optimizer.step()
    return float((before - weight.detach()).abs()[1]) / LR


def both_zero(optimizer, weight):
    state = optimizer.state[weight]
    state["exp_avg"][1] = 0.0
    state["exp_avg_sq"][1] = 0.0


def ours(optimizer, weight):
    revived = torch.tensor([False, True])
    assert reset_moments(optimizer, weight, revived, ~revived) == 2


def test_zeroing_both_moments_overshoots_three_times():
    assert first_update(both_zero) == pytest.approx(3.16, abs=0.03)


def test_the_reset_starts_with_a_tenth_of_the_usual_step():
    assert first_update(ours) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize(
    "make, count",
    [
        (partial(torch.optim.SGD, lr=0.1), 0),
        (partial(torch.optim.SGD, lr=0.1, momentum=0.9), 1),
        (partial(torch.optim.AdamW, lr=0.1), 2),
        (partial(torch.optim.AdamW, lr=0.1, amsgrad=True), 3),
        (partial(torch.optim.RMSprop, lr=0.1), 1),
    ],
)
def test_every_optimizer_state_of_the_weights_shape(make, count):
    weight = torch.nn.Parameter(torch.randn(3, 4))
    optimizer = make([weight])
    for sign in (1.0, -1.0):
        weight.grad = sign * torch.rand(3, 4)
        optimizer.step()
    revived = torch.zeros(3, 4, dtype=torch.bool)
    revived[0] = True
    values = dict(optimizer.state[weight])
    old = {
        k: v.clone() for k, v in values.items() if torch.is_tensor(v) and v.ndim
    }
    assert reset_moments(optimizer, weight, revived, ~revived) == count
    for key, before in old.items():
        after = optimizer.state[weight][key]
        assert torch.equal(after[1:], before[1:])
        wanted = before[1:].mean() if "sq" in key else 0.0
        torch.testing.assert_close(after[0], torch.full((4,), float(wanted)))


def test_no_active_weights_mean_no_statistics():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.ones(2)
    optimizer.step()
    everything = torch.ones(2, dtype=torch.bool)
    reset_moments(optimizer, weight, everything, ~everything)
    assert (optimizer.state[weight]["exp_avg_sq"] == 0).all()
