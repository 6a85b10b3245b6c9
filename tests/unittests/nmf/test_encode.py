"""Laws of encoding with a fixed dictionary, for every solver and loss."""

import numpy as np
import pytest
import torch

from leanbrain.nmf import encode
from leanbrain.nmf.solvers import AUTO_ENCODE, SOLVERS

DTYPES = [torch.float32, torch.float64]
LOSSES = list(AUTO_ENCODE)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]
# Solvers that no loss may rise with, at any iteration.
MONOTONE = [(s, loss) for s, loss in TABLE if s in ("mu", "hals")]


def per_frame(oracle, loss, V, W, H):
    """The loss of every frame by definition: V [N, F], H [N, K]."""
    V, W, H = (x.double().numpy() for x in (V, W, H))
    return oracle.loss(loss, V.T, W @ H.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_shape_type_and_sign(toy, solver, loss, dtype):
    V, W, _ = toy(dtype=dtype)
    kept = V.clone(), W.clone()
    H, info = encode(V, W, loss=loss, solver=solver)
    assert H.shape == (4, 20) and H.dtype == dtype
    assert bool(((H >= 0) & torch.isfinite(H)).all())
    assert not H.requires_grad and info.reason in ("tol", "max_iter")
    batch, _ = encode(V.T[None], W, loss=loss, solver=solver)
    assert batch.shape == (1, 20, 4)
    torch.testing.assert_close(batch[0].T, H, rtol=0, atol=0)
    assert torch.equal(V, kept[0]) and torch.equal(W, kept[1])


@pytest.mark.parametrize(("solver", "loss"), MONOTONE)
def test_no_frame_rises_at_any_iteration(
    speech, rows, speech_atoms, oracle, solver, loss
):
    V, W = rows(loss, speech[:2]), speech_atoms
    H, before = None, np.inf
    for _ in range(40):
        H, _ = encode(
            V.T, W, loss=loss, solver=solver, init=H, max_iter=1, tol=0
        )
        now = per_frame(oracle, loss, V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        before = now


def test_fastmu_does_not_rise_from_a_flat_start(
    speech, rows, speech_atoms, oracle
):
    V, W = rows("kl", speech[:2]), speech_atoms
    before = np.inf
    for n in range(1, 25):
        H, _ = encode(V.T, W, solver="fastmu", max_iter=n, tol=0)
        now = per_frame(oracle, "kl", V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        before = now


@pytest.mark.parametrize("loss", LOSSES)
def test_no_frame_of_the_guarded_solver_rises(
    speech, rows, speech_atoms, oracle, loss
):
    V, W = rows(loss, speech), speech_atoms
    before = np.inf
    for n in range(10, 130, 10):
        H, info = encode(V.T, W, loss=loss, max_iter=n, tol=0)
        now = per_frame(oracle, loss, V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        losses = np.array(info.losses)
        assert (losses[1:] <= losses[:-1] * (1 + 1e-12)).all()
        before = now


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("iterations", [10, 20, 50, 120])
def test_auto_is_no_worse_than_multiplicative_updates(
    speech, rows, speech_atoms, oracle, iterations, loss
):
    V, W = rows(loss, speech), speech_atoms
    auto, mu = (
        per_frame(
            oracle,
            loss,
            V,
            W,
            encode(V.T, W, loss=loss, solver=s, max_iter=iterations, tol=0)[
                0
            ].T,
        )
        for s in ("auto", "mu")
    )
    assert (auto <= mu * (1 + 1e-7) + 1e-12).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_reported_losses_are_those_by_definition(
    toy, oracle, solver, loss, dtype
):
    V, W, _ = toy(dtype=dtype)
    H, info = encode(V, W, loss=loss, solver=solver, max_iter=25, tol=0)
    assert info.iterations == 25 and info.reason == "max_iter"
    assert len(info.losses) == 3
    wanted = per_frame(oracle, loss, V.T, W, H.T).sum()
    rel = 1e-4 if dtype is torch.float32 else 1e-9
    assert info.losses[-1] == pytest.approx(wanted, rel=rel)
    assert all(type(x) is float for x in info.losses)


def test_no_gradient_and_no_random_numbers(toy):
    V, W, _ = toy()
    state = torch.random.get_rng_state()
    H, _ = encode(V.requires_grad_(), W.requires_grad_())
    assert not H.requires_grad
    assert torch.equal(state, torch.random.get_rng_state())


# Padding and batches


@pytest.mark.parametrize("tol", [0.0, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_padded_batch_equals_each_utterance_alone(
    speech, rows, speech_atoms, solver, loss, dtype, tol
):
    options = {"loss": loss, "solver": solver, "tol": tol, "max_iter": 50}
    W = speech_atoms.to(dtype)
    V = rows(loss, speech).view_as(speech)[:6].to(dtype)
    frames = [30, 0, 1, 17, 29, 2]
    lengths = torch.tensor(frames) / 30
    for b, n in enumerate(frames):
        V[b, n:] = (torch.nan, torch.inf, -1.0)[b % 3]
    H, _ = encode(V, W, lengths=lengths, **options)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled, _ = encode(V[order], W, lengths=lengths[order], **options)
    atol = (1e-6 if dtype is torch.float32 else 1e-12) * float(H.max())
    same = {"rtol": 0, "atol": atol}
    torch.testing.assert_close(shuffled, H[order], **same)
    for b, n in enumerate(frames):
        alone, _ = encode(V[b, :n].T, W, **options)
        torch.testing.assert_close(H[b, :n], alone.T, **same)
        assert bool((H[b, n:] == 0).all())


def test_frames_that_are_done_early_stop_for_good(draw):
    """A frame ends where it would alone, not with the slowest of all."""
    V, W = draw(12, 20, seed=1), draw(12, 4)
    V[:, 1:4] = 0
    options = {"tol": 1e-5, "max_iter": 400}
    together, info = encode(V, W, **options)
    counts = []
    for t in range(20):
        alone, own = encode(V[:, t : t + 1], W, **options)
        same = {"rtol": 1e-9, "atol": 0}
        torch.testing.assert_close(together[:, t], alone[:, 0], **same)
        counts.append(own.iterations)
    assert min(counts) < max(counts) == info.iterations
    assert info.reason == "tol"
