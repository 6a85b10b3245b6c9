"""Losses by definition; gradients and curvatures by autograd."""

import numpy as np
import pytest
import torch

from leanbrain.nmf.half import Columns, Rows, Scratch
from leanbrain.nmf.losses import LOSSES
from leanbrain.nmf.losses.base import row_losses

DTYPES = [torch.float32, torch.float64]


def by_definition(name, V, P):
    """The sum of a loss that autograd follows."""
    if name == "kl":
        return (torch.xlogy(V, V / P) - V + P).sum()
    if name == "frobenius":
        return (V - P).square().sum() / 2
    return (V / P - (V / P).log() - 1).sum()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_rows_equal_the_definition(draw, oracle, name, dtype):
    V, H = draw(9, 7, dtype=dtype), draw(9, 3, seed=1, dtype=dtype)
    W = draw(7, 3, seed=2, dtype=dtype)
    kept = V.clone(), H.clone(), W.clone()
    if name != "is":
        V[2], V[:, 4] = 0, 0  # log 0 must not be looked at
        kept = V.clone(), *kept[1:]
    got = row_losses(LOSSES[name], V, H, W, Scratch(V))
    assert got.dtype == torch.float64 and got.shape == (9,)
    wanted = oracle.loss(
        name, V.double().T.numpy(), (H.double() @ W.double().T).T.numpy()
    )
    rtol = 1e-5 if dtype is torch.float32 else 1e-12
    np.testing.assert_allclose(got, wanted, rtol=rtol)
    for x, y in zip((V, H, W), kept, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_zero_at_a_fit_and_positive_elsewhere(draw, name):
    W, H = draw(7, 3), draw(9, 3, seed=1)
    V = H @ W.T
    fit = row_losses(LOSSES[name], V, H, W, Scratch(V))
    assert float(fit.abs().max()) < 1e-12
    off = row_losses(LOSSES[name], V, H * 1.01, W, Scratch(V))
    assert float(off.min()) > 1e-6


@pytest.mark.parametrize("scale", [0.25, 8.0])
@pytest.mark.parametrize("name", LOSSES)
def test_degree_is_how_a_loss_scales(draw, name, scale):
    loss = LOSSES[name]
    V, H, W = draw(9, 7), draw(9, 3, seed=1), draw(7, 3, seed=2)
    base = row_losses(loss, V, H, W, Scratch(V))
    got = row_losses(loss, V * scale, H * scale, W, Scratch(V))
    torch.testing.assert_close(got, base * scale**loss.degree)


@pytest.mark.parametrize(("l1", "l2"), [(None, None), (0.3, None), (0.3, 0.7)])
@pytest.mark.parametrize("side", [Rows, Columns])
@pytest.mark.parametrize("name", LOSSES)
def test_terms_are_gradient_and_curvature(draw, name, side, l1, l2):
    """neg and pos split the gradient; own is Hessian X, ones Hessian 1."""
    if name == "is":
        l2 = None
    V, H, W = draw(9, 7), draw(9, 3, seed=1), draw(7, 3, seed=2)
    X, Y = (H, W) if side is Rows else (W, H)
    weights = (None if w is None else w + 0 * X for w in (l1, l2))
    half = LOSSES[name].half(side(V, Y, Scratch(V)), *weights)
    terms = half.terms(X, ones=name != "is")

    def objective(X):
        P = X @ Y.T if side is Rows else Y @ X.T
        penalty = (l1 or 0) * X.sum() + (l2 or 0) * X.square().sum() / 2
        return by_definition(name, V, P) + penalty

    slope = torch.autograd.functional.jacobian(objective, X)
    quad = 0.0 if terms.quad is None else terms.quad
    assert bool((terms.neg >= 0).all()) and bool((terms.pos > 0).all())
    torch.testing.assert_close(terms.pos + quad * X - terms.neg, slope)
    if name == "is":
        assert terms.power == 0.5
        return
    for got, along in ((terms.own, X), (terms.ones, torch.ones_like(X))):
        wanted = torch.autograd.functional.hvp(objective, X, along)[1]
        # MUSOM's bound counts an l1 penalty of least squares as curvature.
        slack = l1 if name == "frobenius" and along is X and l1 else 0.0
        torch.testing.assert_close(got + quad * along, wanted + slack)


@pytest.mark.parametrize("name", LOSSES)
def test_split_is_the_gradient(draw, name):
    V, H, W = draw(9, 7), draw(9, 3, seed=1), draw(7, 3, seed=2)
    neg, pos = LOSSES[name].split(V, H, W)
    slope = torch.autograd.functional.jacobian(
        lambda H: by_definition(name, V, H @ W.T), H
    )
    torch.testing.assert_close(pos - neg, slope)
    assert bool((neg >= 0).all()) and bool((pos >= 0).all())


def test_names_are_those_of_the_table():
    assert {name: loss.name for name, loss in LOSSES.items()} == {
        name: name for name in ("kl", "frobenius", "is")
    }
