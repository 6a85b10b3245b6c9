"""Laws of learning both factors, for every solver and loss."""

import numpy as np
import pytest
import torch

from leanbrain.nmf import encode, nmf
from leanbrain.nmf.solvers import AUTO_LEARN, SOLVERS

DTYPES = [torch.float32, torch.float64]
LOSSES = list(AUTO_LEARN)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]
GUARDED = [(s, loss) for s, loss in TABLE if s == "auto"]


def numpy(*tensors):
    return [x.numpy() for x in tensors]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_shape_type_sign_and_norm(toy, oracle, solver, loss, dtype):
    V, *_ = toy(dtype=dtype)
    W, H, info = nmf(V, 3, loss=loss, solver=solver, max_iter=25, tol=0)
    assert W.shape == (12, 3) and H.shape == (3, 20)
    assert W.dtype == H.dtype == dtype
    assert bool((W >= 0).all()) and bool((H >= 0).all())
    torch.testing.assert_close(W.sum(0), torch.ones(3, dtype=dtype))
    assert info.iterations == 25 and info.reason == "max_iter"
    assert len(info.losses) == 3
    wanted = oracle.loss(loss, *numpy(V.double(), W.double() @ H.double()))
    assert info.losses[-1] == pytest.approx(wanted.sum(), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_multiplicative_updates_never_rise(speech, oracle, loss):
    V = speech[:2].flatten(0, 1).T.clamp_min(1e-4 if loss == "is" else 0.0)
    losses, before = [], np.inf
    for n in range(1, 31):
        W, H, _ = nmf(V, 8, loss=loss, solver="mu", max_iter=n, tol=0)
        losses.append(oracle.loss(loss, *numpy(V, W @ H)).sum())
        assert losses[-1] <= before * (1 + 1e-12)
        before = losses[-1]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("l1", "l2"), [(0.2, 0.0), (0.0, 0.5), (0.1, 0.3)])
@pytest.mark.parametrize("loss", LOSSES)
def test_penalised_loss_never_rises(toy, oracle, loss, l1, l2):
    """Of columns of W that sum to one: no escape to small H, large W."""
    l1, l2 = (0.0 if loss == "kl" else l1), (0.0 if loss == "is" else l2)
    V, W0, H0 = toy()
    options = {"loss": loss, "init": (W0, H0), "tol": 0, "l1": l1, "l2": l2}
    before = np.inf
    for n in range(1, 21):
        W, H, info = nmf(V, 4, solver="mu", max_iter=n, **options)
        now = oracle.loss(loss, *numpy(V, W @ H)).sum()
        now += l1 * float(H.sum()) + l2 / 2 * float(H.square().sum())
        assert info.losses[-1] == pytest.approx(now, rel=1e-6)
        assert now <= before * (1 + 1e-10)
        before = now


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_penalties_make_activations_small(toy, solver, loss):
    V, *_ = toy()
    options = {"loss": loss, "solver": solver, "max_iter": 60, "tol": 0}
    penalty = "l2" if loss == "kl" else "l1"
    free, sparse = (
        nmf(V, 4, **{penalty: weight}, **options)[1].sum()
        for weight in (0.0, 2.0)
    )
    assert float(sparse) < 0.98 * float(free)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), GUARDED)
def test_losses_of_auto_never_rise(speech, solver, loss, dtype):
    V = speech.to(dtype).clamp_min(1e-4 if loss == "is" else 0.0)
    _, _, info = nmf(V, 8, loss=loss, solver=solver, max_iter=150, tol=0)
    for a, b in zip(info.losses, info.losses[1:], strict=False):
        assert b <= a * (1 + 1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_auto_ends_no_worse_than_multiplicative_updates(speech, loss):
    """At equal iterations, over three starts; basins are 3 % apart."""
    V = speech.clamp_min(1e-4 if loss == "is" else 0.0)
    ends = {"auto": 0.0, "mu": 0.0}
    for solver in ends:
        for seed in range(3):
            generator = torch.Generator().manual_seed(seed)
            ends[solver] += nmf(
                V,
                8,
                loss=loss,
                solver=solver,
                max_iter=60,
                tol=0,
                generator=generator,
            )[2].losses[-1]
    assert ends["auto"] <= ends["mu"] * (1 + 1e-7)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_factors_that_fit_are_kept(draw, solver, loss):
    W, H = draw(12, 3), draw(3, 15, seed=1)
    start = W.clone(), H.clone()
    got = nmf(
        W @ H, 3, loss=loss, solver=solver, init=(W, H), max_iter=20, tol=0
    )
    torch.testing.assert_close(got[0], W / W.sum(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(got[1], H * W.sum(0)[:, None], rtol=1e-9, atol=0)
    assert torch.equal(W, start[0]) and torch.equal(H, start[1])


@pytest.mark.parametrize("loss", LOSSES)
def test_constructed_product_is_recovered(draw, loss):
    W, H = draw(10, 2), draw(2, 30, seed=1)
    W[:5, 0] *= 0.01
    W[5:, 1] *= 0.01
    V = W @ H
    got = nmf(V, 2, loss=loss, max_iter=500, tol=0)
    torch.testing.assert_close(got[0] @ got[1], V, rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_encoding_from_the_fit_is_a_fixed_point(toy, loss):
    """Nothing but H is found by `encode`, and it means the same H."""
    V, *_ = toy()
    W, H, info = nmf(V, 3, loss=loss, solver="mu", max_iter=1500, tol=0)
    again, own = encode(
        V, W, loss=loss, solver="mu", init=H, max_iter=10, tol=0
    )
    torch.testing.assert_close(again, H, rtol=0, atol=1e-4 * float(H.max()))
    assert own.losses[-1] == pytest.approx(info.losses[-1], rel=1e-5)
    assert own.losses[-1] <= info.losses[-1] * (1 + 1e-12)
    if loss != "is":  # convex: any start ends there
        fresh, _ = encode(V, W, loss=loss, max_iter=500, tol=0)
        torch.testing.assert_close(fresh, H, rtol=0, atol=2e-2 * float(H.max()))


def test_it_stops_when_it_stands_still(toy):
    V, *_ = toy()
    *_, info = nmf(V, 3, tol=1e-3, max_iter=2000)
    assert info.reason == "tol" and info.iterations < 2000
    assert info.iterations % 10 == 0
    gain = info.losses[-2] - info.losses[-1]
    assert gain <= 1e-3 * info.losses[-1]
    assert info.losses[-3] - info.losses[-2] > 1e-3 * info.losses[-2]


@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_with_scikit_learn(toy, loss):
    """Which updates its W first: that is our H, but for KL."""
    decomposition = pytest.importorskip("sklearn.decomposition")
    V, W, H = toy()
    name = {
        "kl": "kullback-leibler",
        "frobenius": "frobenius",
        "is": "itakura-saito",
    }[loss]
    X, A, B = (V, W, H) if loss == "kl" else (V.T, H.T, W.T)
    A, B, _ = decomposition.non_negative_factorization(
        *(x.contiguous().numpy().copy() for x in (X, A, B)),
        n_components=4,
        init="custom",
        solver="mu",
        beta_loss=name,
        tol=0,
        max_iter=15,
    )
    got = nmf(V, 4, loss=loss, solver="mu", init=(W, H), max_iter=15, tol=0)
    wanted = (A, B) if loss == "kl" else (B.T, A.T)
    scale = wanted[0].sum(0)
    np.testing.assert_allclose(got[0], wanted[0] / scale, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        got[1], wanted[1] * scale[:, None], rtol=1e-6, atol=1e-7
    )


# Batches


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_padding_is_not_learnt_from(speech, draw, solver, loss, dtype):
    V = speech[:4].clamp_min(1e-4 if loss == "is" else 0.0).to(dtype)
    frames = [30, 12, 0, 5]
    real = torch.cat([v[:n] for v, n in zip(V, frames, strict=True)])
    W0, H0 = draw(201, 4, dtype=dtype), draw(4, 30, 4, seed=1, dtype=dtype)
    start = [h[:n] for h, n in zip(H0, frames, strict=True)]
    for b, n in enumerate(frames):
        V[b, n:] = (torch.nan, torch.inf, -1.0)[b % 3]
    options = {"loss": loss, "solver": solver, "max_iter": 20, "tol": 0}
    lengths = torch.tensor(frames) / 30
    W, H, info = nmf(V, 4, init=(W0, H0), lengths=lengths, **options)
    flat = nmf(real.T, 4, init=(W0, torch.cat(start).T), **options)
    atol = 1e-6 if dtype is torch.float32 else 1e-12
    torch.testing.assert_close(W, flat[0], rtol=0, atol=atol)
    kept = torch.cat([h[:n] for h, n in zip(H, frames, strict=True)])
    atol *= float(kept.max())
    torch.testing.assert_close(kept.T, flat[1], rtol=0, atol=atol)
    assert all(bool((h[n:] == 0).all()) for h, n in zip(H, frames, strict=True))
    assert info.losses == pytest.approx(flat[2].losses, rel=1e-6)
