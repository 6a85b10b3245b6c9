"""Encoding of degenerate input, of any level, of anything allowed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.nmf import encode
from leanbrain.nmf.solvers import AUTO_ENCODE, EPS, SOLVERS

DTYPES = [torch.float32, torch.float64]
LOSSES = list(AUTO_ENCODE)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_silence_and_zeros_are_finite(toy, solver, loss, dtype):
    V, W, _ = toy(dtype=dtype)
    V[3] = 0  # a bin without energy
    W[5] = 0  # a bin that no atom has
    V[:, 4:6] = 0  # silent frames
    V[1:, 7] = 0  # one bin only
    V[W.argmax(0)[0]] = 0
    W[6:, 1] = 0
    H, info = encode(V, W, loss=loss, solver=solver, max_iter=300, tol=0)
    assert bool(((H >= 0) & torch.isfinite(H)).all())
    assert np.isfinite(info.losses).all()
    if loss != "is":
        silent = (EPS / W.sum(0))[:, None].expand(-1, 2)
        torch.testing.assert_close(H[:, 4:6], silent, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
@pytest.mark.parametrize(
    ("bins", "frames", "atoms"), [(1, 1, 1), (3, 1, 9), (1, 5, 4), (6, 2, 6)]
)
def test_small_shapes(draw, solver, loss, bins, frames, atoms):
    V = draw(bins, frames, seed=2, dtype=torch.float32)
    W = draw(bins, atoms, seed=3, dtype=torch.float32)
    H, info = encode(V, W, loss=loss, solver=solver, max_iter=100, tol=0)
    assert H.shape == (atoms, frames)
    assert bool(((H >= 0) & torch.isfinite(H)).all())
    if bins == 1:  # can be explained exactly
        torch.testing.assert_close(W @ H, V, rtol=1e-2, atol=0)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_no_frames_give_no_activations(draw, solver, loss):
    W = draw(5, 3)
    H, info = encode(W[:, :0], W, loss=loss, solver=solver)
    assert H.shape == (3, 0) and info.losses == [] and info.iterations == 0
    V = torch.full((2, 4, 5), torch.nan, dtype=torch.float64)
    H, _ = encode(V, W, loss=loss, solver=solver, lengths=torch.zeros(2))
    assert torch.equal(H, H.new_zeros(2, 4, 3))
    H, _ = encode(V[:, :0], W, loss=loss, solver=solver)
    assert H.shape == (2, 0, 3)


# Scale


@pytest.mark.parametrize("scale", [1e-20, 1e-4, 3.0, 1e5, 1e20])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_louder_input_gives_louder_activations(toy, solver, loss, dtype, scale):
    V, W, _ = toy(dtype=dtype)
    options = {"loss": loss, "solver": solver, "max_iter": 30, "tol": 0}
    wanted, info = encode(V, W, **options)
    got, loud = encode(V * scale, W, **options)
    atol = (1e-4 if dtype is torch.float32 else 1e-6) * float(wanted.max())
    torch.testing.assert_close(got / scale, wanted, rtol=0, atol=atol)
    degree = {"kl": 1, "frobenius": 2, "is": 0}[loss]
    level = info.losses[-1] * float(scale) ** degree
    assert loud.losses[-1] == pytest.approx(level, rel=1e-3)
    thin, _ = encode(V, W * scale, **options)
    torch.testing.assert_close(thin * scale, wanted, rtol=0, atol=atol)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_a_power_of_two_changes_no_digit(toy, solver, loss):
    V, W, _ = toy(dtype=torch.float32)
    quiet = torch.logspace(-60, 60, V.shape[1], base=2).log2().round().exp2()
    options = {"loss": loss, "solver": solver, "max_iter": 30, "tol": 1e-4}
    wanted, _ = encode(V, W, **options)
    got, _ = encode(V * quiet, W, **options)
    assert torch.equal(got, wanted * quiet)


# Anything


@st.composite
def problems(draw):
    """V and W of any small shape, of zeros, ordinary and far numbers."""
    number = st.sampled_from([0.0, 0.0, 1.0, 0.3, 7.5, 1e-12, 1e9])
    bins, frames, atoms = (draw(st.integers(1, 5)) for _ in range(3))
    V = draw(st.lists(number, min_size=bins * frames, max_size=bins * frames))
    W = draw(st.lists(number, min_size=bins * atoms, max_size=bins * atoms))
    W = torch.tensor(W).view(bins, atoms)
    W[0, W.sum(0) == 0] = 1.0
    return torch.tensor(V).view(bins, frames), W


@settings(deadline=None, max_examples=40)
@given(problems(), st.sampled_from(TABLE), st.sampled_from(DTYPES))
def test_anything_allowed_gives_something_finite(problem, row, dtype):
    (V, W), (solver, loss) = problem, row
    V, W = V.to(dtype), W.to(dtype)
    H, info = encode(V, W, loss=loss, solver=solver, max_iter=25, tol=1e-6)
    assert H.shape == (W.shape[1], V.shape[1])
    assert bool(((H >= 0) & torch.isfinite(H)).all())
    assert np.isfinite(info.losses).all()
    if solver in ("auto", "mu", "hals"):
        noise = 1e-5 * max(1e-30, info.losses[0])
        pairs = zip(info.losses, info.losses[1:], strict=False)
        assert all(b <= a + noise for a, b in pairs)
