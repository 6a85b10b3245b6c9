"""NAdamW against its formula in NumPy, and laws of its state."""

import numpy as np
import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.nadamw import NAdamW

SETTINGS = {
    "lr": 0.03,
    "betas": (0.9, 0.99),
    "eps": 1e-8,
    "weight_decay": 0.2,
}
SHAPES = [(), (4,), (3, 4), (2, 3, 2)]


def oracle(weight, grads, lr, betas, eps, weight_decay):
    """The update in float64, one gradient after the other, as written down."""
    beta1, beta2 = betas
    m = v = np.zeros_like(weight)
    for t, g in enumerate(grads, start=1):
        weight = weight - lr * weight_decay * weight
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        ahead = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
        weight = weight - lr * ahead / (np.sqrt(v / (1 - beta2**t)) + eps)
    return weight


def run(weights, gradients, **settings):
    """Steps on given gradients; None skips a parameter in that step."""
    params = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = NAdamW(params, **settings)
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = None if g is None else torch.tensor(g)
        optimizer.step()
    return [p.detach().numpy() for p in params]


def test_matches_the_formula_in_float64():
    rng = np.random.default_rng(0)
    weights = [np.asarray(rng.normal(size=shape)) for shape in SHAPES]
    steps = [[np.asarray(rng.normal(size=s)) for s in SHAPES] for _ in range(9)]
    found = run(weights, steps, **SETTINGS)
    for i, weight in enumerate(weights):
        wanted = oracle(weight, [step[i] for step in steps], **SETTINGS)
        np.testing.assert_allclose(found[i], wanted, rtol=1e-12, atol=1e-14)


def test_parameters_without_gradient_wait_with_their_own_count():
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=3), rng.normal(size=3)]
    steps = [[rng.normal(size=3), rng.normal(size=3)] for _ in range(6)]
    for step in steps[::2]:
        step[1] = None
    found = run(weights, steps, **SETTINGS)
    late = [step[1] for step in steps if step[1] is not None]
    wanted = oracle(weights[1], late, **SETTINGS)
    np.testing.assert_allclose(found[1], wanted, rtol=1e-12)


def test_without_momentum_it_is_adamw():
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=5)]
    steps = [[rng.normal(size=5)] for _ in range(5)]
    settings = {**SETTINGS, "betas": (0.0, 0.99)}
    param = torch.nn.Parameter(torch.tensor(weights[0]))
    adamw = torch.optim.AdamW([param], **settings)
    found = run(weights, steps, **settings)
    for (grad,) in steps:
        param.grad = torch.tensor(grad)
        adamw.step()
    np.testing.assert_allclose(found[0], param.detach().numpy(), rtol=1e-12)


def test_groups_keep_their_own_settings():
    fast, slow = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    groups = [{"params": [fast], "lr": 0.2}, {"params": [slow]}]
    optimizer = NAdamW(groups, lr=0.1, weight_decay=0.0)
    for p in (fast, slow):
        p.grad = torch.ones(1)
    optimizer.step()
    assert 1 - fast.item() == pytest.approx(2 * (1 - slow.item()), rel=1e-5)


@pytest.mark.parametrize(
    "settings, name",
    [
        ({"lr": -1.0}, "lr"),
        ({"betas": (1.0, 0.9)}, r"betas\[0\]"),
        ({"betas": (0.9, -0.1)}, r"betas\[1\]"),
        ({"eps": float("nan")}, "eps"),
        ({"weight_decay": float("inf")}, "weight_decay"),
    ],
)
def test_settings_out_of_range_are_refused(settings, name):
    with pytest.raises(UserError, match=f"`{name}` must be in"):
        NAdamW([torch.nn.Parameter(torch.ones(1))], **settings)


def test_sparse_gradients_are_refused():
    table = torch.nn.Embedding(3, 2, sparse=True)
    optimizer = NAdamW(table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(UserError, match="dense, real parameters"):
        optimizer.step()
