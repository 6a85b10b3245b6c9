"""Where encoding ends: optima, with penalties, and other implementations."""

import numpy as np
import pytest
import torch

from leanbrain.nmf import encode
from leanbrain.nmf.solvers import AUTO_ENCODE, SOLVERS

LOSSES = list(AUTO_ENCODE)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]


def numpy(*tensors):
    return [x.numpy() for x in tensors]


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_constructed_activations_are_found(draw, solver, loss):
    W, H = draw(12, 4), draw(4, 9, seed=1) + 0.1
    W[:4] += 5 * torch.eye(4, dtype=W.dtype)  # well-conditioned
    options = {"loss": loss, "solver": solver, "tol": 0}
    found, _ = encode(W @ H, W, max_iter=500, **options)
    torch.testing.assert_close(found, H, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_an_exact_start_stays(draw, solver, loss):
    W, H = draw(12, 4), draw(4, 9, seed=1)
    start, V = H.clone(), W @ H
    H, _ = encode(
        V, W, loss=loss, solver=solver, init=start, max_iter=30, tol=0
    )
    torch.testing.assert_close(H, start, rtol=1e-9, atol=0)
    torch.testing.assert_close(start, draw(4, 9, seed=1), rtol=0, atol=0)


@pytest.mark.parametrize("solver", [s for s, loss in TABLE if loss == "kl"])
def test_kl_optimum_is_certified_by_its_dual(
    speech, rows, speech_atoms, solver
):
    """A bound of the distance to the optimum, whatever way H was found.

    With columns of W that sum to one, the log-likelihood on the simplex is
    concave, and sum(v) * log max_k (W' (v / W h))_k bounds its gap.
    """
    V, W = rows("kl", speech[:3]), speech_atoms
    W = W / W.sum(0)
    H, info = encode(V.T, W, solver=solver, max_iter=600, tol=0)
    H = H * (V.sum(1) / H.sum(0))
    gap = V.sum(1) * (W.T @ (V.T / (W @ H))).amax(0).log()
    assert float(gap.min()) >= -1e-9
    assert float(gap.sum()) < 1e-3 * info.losses[-1]


PENALTIES = [(0.0, 0.0), (0.3, 0.0), (0.0, 2.0), (0.2, 1.0)]


@pytest.mark.parametrize(("l1", "l2"), PENALTIES)
@pytest.mark.parametrize("loss", ["kl", "frobenius"])
def test_optimality_conditions_with_penalties(toy, oracle, loss, l1, l2):
    """Of the documented problem: loss + l1 sum(H) + l2 / 2 sum(H ** 2)."""
    V, W, _ = toy()
    l1 = 0.0 if loss == "kl" else l1
    options = {"loss": loss, "max_iter": 300, "tol": 0, "l1": l1, "l2": l2}
    H, info = encode(V, W, **options)
    slope = oracle.gradient(loss, *numpy(V, W, H)) + l1 + l2 * H.numpy()
    inside = H.numpy() > 1e-6
    assert inside.sum() > 20
    assert abs(slope[inside]).max() < 1e-6
    assert slope.min() > -1e-6
    best = oracle.loss(loss, *numpy(V, W @ H)).sum()
    best += l1 * float(H.sum()) + l2 / 2 * float(H.square().sum())
    assert info.losses[-1] == pytest.approx(best, rel=1e-9)
    # All solvers mean the same problem; the slow ones come near.
    for solver in [s for s, name in TABLE if name == loss]:
        other = encode(V, W, solver=solver, **options)[1].losses[-1]
        assert best * (1 - 1e-9) <= other <= best * (1 + 5e-3), solver


@pytest.mark.parametrize("l1", [0.1, 3.0])
def test_itakura_saito_with_l1_descends_to_a_stationary_point(toy, oracle, l1):
    V, W, _ = toy()
    H, info = encode(V, W, loss="is", max_iter=1000, tol=0, l1=l1)
    assert info.losses == sorted(info.losses, reverse=True)
    slope = oracle.gradient("is", *numpy(V, W, H)) + l1
    assert abs(slope * H.numpy()).max() < 1e-3
    wanted = oracle.loss("is", V.numpy(), (W @ H).numpy()).sum()
    wanted += l1 * float(H.sum())
    assert info.losses[-1] == pytest.approx(wanted)


@pytest.mark.parametrize("scale", [0.01, 50.0])
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_penalties_scale_with_the_loss(toy, solver, loss, scale):
    V, W, _ = toy()
    degree = {"kl": 1, "frobenius": 2, "is": 0}[loss]
    l1 = 0.0 if loss == "kl" else 0.3
    l2 = 0.0 if loss == "is" else 0.5
    options = {"loss": loss, "solver": solver, "max_iter": 50, "tol": 0}
    wanted, _ = encode(V, W, l1=l1, l2=l2, **options)
    got, _ = encode(
        V * scale,
        W,
        l1=l1 * scale ** (degree - 1),
        l2=l2 * scale ** (degree - 2),
        **options,
    )
    torch.testing.assert_close(got / scale, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.filterwarnings("ignore:When update_H=False:RuntimeWarning")
@pytest.mark.parametrize("loss", LOSSES)
def test_agrees_with_scikit_learn(toy, loss):
    decomposition = pytest.importorskip("sklearn.decomposition")
    V, W, H = toy()
    name = {
        "kl": "kullback-leibler",
        "frobenius": "frobenius",
        "is": "itakura-saito",
    }[loss]
    wanted, _, _ = decomposition.non_negative_factorization(
        V.T.numpy().copy(),
        W=H.T.numpy().copy(),
        H=W.T.numpy().copy(),
        n_components=4,
        init="custom",
        update_H=False,
        solver="mu",
        beta_loss=name,
        tol=0,
        max_iter=20,
    )
    # It starts from a constant, whatever H is given.
    start = torch.full_like(H, float((V.mean() / 4).sqrt()))
    got, _ = encode(
        V, W, loss=loss, solver="mu", init=start, max_iter=20, tol=0
    )
    np.testing.assert_allclose(got.T, wanted, rtol=1e-5, atol=1e-7)
