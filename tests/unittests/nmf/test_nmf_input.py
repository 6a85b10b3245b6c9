"""Learning both factors from degenerate input, of any level and type."""

import pytest
import torch

from leanbrain.nmf import nmf
from leanbrain.nmf.solvers import AUTO_LEARN, SOLVERS

DTYPES = [torch.float32, torch.float64]
LOSSES = list(AUTO_LEARN)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_silence_and_zeros_are_finite(toy, solver, loss, dtype):
    """V / (W H) ** 2 would overflow float32 with such zeros."""
    V, *_ = toy(dtype=dtype)
    V[2] = 0
    V[:, 4:7] = 0
    V[:, 9] *= 1e-6
    W, H, info = nmf(V, 5, loss=loss, solver=solver, max_iter=60, tol=0)
    for x in (W, H, torch.tensor(info.losses)):
        assert bool(torch.isfinite(x).all())
    W, H, _ = nmf(V * 0, 5, loss=loss, solver=solver, max_iter=15, tol=0)
    assert bool(torch.isfinite(W).all() & torch.isfinite(H).all())
    if loss != "is":
        assert float((W @ H).max()) < 1e-6


@pytest.mark.parametrize(("solver", "loss"), TABLE)
@pytest.mark.parametrize(
    ("bins", "frames", "rank"), [(1, 1, 1), (4, 1, 7), (3, 8, 5), (1, 6, 2)]
)
def test_small_shapes(draw, solver, loss, bins, frames, rank):
    V = draw(bins, frames, seed=5, dtype=torch.float32)
    W, H, _ = nmf(V, rank, loss=loss, solver=solver, max_iter=60, tol=0)
    assert W.shape == (bins, rank) and H.shape == (rank, frames)
    assert bool(torch.isfinite(W).all() & torch.isfinite(H).all())
    torch.testing.assert_close(W @ H, V, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 7.0, 1e20])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_louder_input_gives_louder_activations(toy, solver, loss, dtype, scale):
    V, *_ = toy(dtype=dtype)
    options = {"loss": loss, "solver": solver, "max_iter": 20, "tol": 0}
    W, H, info = nmf(V, 3, **options)
    got = nmf(V * scale, 3, **options)
    rtol = 1e-3 if dtype is torch.float32 else 1e-5
    torch.testing.assert_close(got[0], W, rtol=0, atol=rtol)
    atol = rtol * float(H.max())
    torch.testing.assert_close(got[1] / scale, H, rtol=0, atol=atol)
    degree = {"kl": 1, "frobenius": 2, "is": 0}[loss]
    level = info.losses[-1] * float(scale) ** degree
    assert got[2].losses[-1] == pytest.approx(level, rel=1e-3)


# Repeatability and precision


def test_own_generator_repeats_and_the_global_one_is_left_alone(toy):
    V, *_ = toy()
    state = torch.random.get_rng_state()
    runs = [
        nmf(
            V,
            3,
            max_iter=15,
            generator=None if s is None else torch.Generator().manual_seed(s),
        )
        for s in (3, 3, 4, None, None)
    ]
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][0], runs[2][0])
    assert torch.equal(runs[3][0], runs[4][0])
    generator = torch.Generator().manual_seed(3)
    first, second = (nmf(V, 3, generator=generator)[0] for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_float32_follows_float64(speech, solver, loss):
    V = speech[:2].clamp_min(1e-4 if loss == "is" else 0.0)
    options = {"loss": loss, "solver": solver, "max_iter": 60, "tol": 0}
    single, double = (
        nmf(V.to(dtype), 6, **options)[2].losses for dtype in DTYPES
    )
    assert single == pytest.approx(double, rel=1e-5)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_autocast_changes_nothing(toy, solver, loss):
    V, *_ = toy(dtype=torch.float32)
    options = {"loss": loss, "solver": solver, "max_iter": 12}
    wanted = nmf(V, 3, **options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = nmf(V, 3, **options)
    assert got[0].dtype == got[1].dtype == torch.float32
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_on_in_float32(toy, dtype):
    V, *_ = toy(dtype=dtype)
    got, wanted = nmf(V, 3, max_iter=12), nmf(V.float(), 3, max_iter=12)
    assert got[0].dtype == got[1].dtype == torch.float32
    assert torch.equal(got[0], wanted[0]) and torch.equal(got[1], wanted[1])


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_no_denormals(toy, solver, loss):
    V, *_ = toy(bins=16, frames=12, rank=3, dtype=torch.float32)
    V[:5, :6] = 0
    V[:, 0] = 0
    n = 1000 if solver == "mu" else 100
    W, H, _ = nmf(V, 8, loss=loss, solver=solver, max_iter=n, tol=0)
    tiny = torch.finfo(V.dtype).tiny
    for x in (W, H):
        assert int(((x > 0) & (x < tiny)).sum()) == 0
    assert float(torch.cat([W.flatten(), H.flatten()]).min()) < 1e-5


def test_input_is_not_written_to(toy):
    V, W, H = toy()
    kept = [x.clone() for x in (V, W, H)]
    for x in (V, W, H):
        x.requires_grad_()
    for solver in SOLVERS:
        got = nmf(V, 4, loss="frobenius", solver=solver, init=(W, H))
        assert not got[0].requires_grad and not got[1].requires_grad
    batch = V.detach().T[None].contiguous()
    nmf(batch, 4, init=(W, H.T[None]), loss="is", max_iter=3)
    for x, y in zip((V, W, H, batch[0].T), (*kept, kept[0]), strict=True):
        assert torch.equal(x, y)
