"""Every solver equals its slow reference, iterate for iterate."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.nmf import encode, half, nmf
from leanbrain.nmf.solvers import (
    AUTO_ENCODE,
    AUTO_LEARN,
    MUSOM,
    SOLVERS,
    Accelerated,
    FastMU,
    Solver,
)

# Of every solver of which there is a paper; a new one adds its name in
# SOLVERS and its rule in the oracle.
PUBLISHED = [(s, loss) for s in SOLVERS for loss in SOLVERS[s].losses]
TABLE = [*PUBLISHED, *(("auto", loss) for loss in AUTO_ENCODE)]


def close(got, wanted, rtol=1e-10):
    """Equal to `rtol` of the largest element."""
    wanted = torch.as_tensor(wanted)
    atol = rtol * float(wanted.abs().max())
    torch.testing.assert_close(got, wanted, rtol=0, atol=atol)


def numpy(*tensors):
    return [x.numpy() for x in tensors]


def problem(request, kind, toy):
    """V, W, H of a kind: synthetic, or spectra of real speech."""
    if kind == "synthetic":
        return toy()
    V = request.getfixturevalue("speech")[2].T
    V = (V / V.max()).contiguous()
    draw = request.getfixturevalue("draw")
    return V, draw(V.shape[0], 6), draw(6, V.shape[1], seed=1)


@pytest.mark.parametrize("kind", ["synthetic", "speech"])
@pytest.mark.parametrize("inner", [1, 3, 10])
@pytest.mark.parametrize("loss", ["kl", "frobenius"])
def test_fastmu_equals_the_published_algorithm(
    request, toy, oracle, loss, inner, kind
):
    V, W, H = problem(request, kind, toy)
    for n in (1, 2, 3, 6):
        wanted = oracle.learn(
            "fastmu", loss, *numpy(V, W, H), n, inner=inner, warmup=1
        )
        got = nmf(
            V,
            W.shape[1],
            loss=loss,
            solver=FastMU(inner=inner),
            init=(W, H),
            max_iter=n,
            tol=0,
        )
        close(got[0], wanted[0])
        close(got[1], wanted[1])


@pytest.mark.parametrize("delta", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("loss", ["kl", "frobenius"])
def test_fastmu_ends_its_inner_steps_as_published(toy, oracle, loss, delta):
    V, W, H = toy()
    for n in (2, 3, 5):
        wanted, full = (
            oracle.learn(
                "fastmu", loss, *numpy(V, W, H), n, 10, delta=d, warmup=1
            )
            for d in (delta, 0.0)
        )
        if n == 5:
            assert abs(wanted[0] - full[0]).max() > 1e-6  # it ended early
        solver = FastMU(delta=delta)
        got = nmf(
            V, 4, loss=loss, solver=solver, init=(W, H), max_iter=n, tol=0
        )
        close(got[0], wanted[0])
        close(got[1], wanted[1])


@pytest.mark.parametrize(("solver", "loss"), PUBLISHED)
def test_learning_equals_the_oracle(toy, oracle, solver, loss):
    V, W, H = toy(seed=10)
    options = {
        "inner": SOLVERS[solver].inner,
        "warmup": SOLVERS[solver].warmup,
    }
    for n in (1, 2, 12):
        wanted = oracle.learn(solver, loss, *numpy(V, W, H), n, **options)
        got = nmf(
            V, 4, loss=loss, solver=solver, init=(W, H), max_iter=n, tol=0
        )
        close(got[0], wanted[0], 1e-9)
        close(got[1], wanted[1], 1e-9)


@pytest.mark.parametrize(("solver", "loss"), PUBLISHED)
@pytest.mark.parametrize("start", ["flat", "given"])
def test_encoding_equals_the_oracle(toy, oracle, solver, loss, start):
    V, W, H = toy(seed=20)
    # A frame is scaled to below 2 by a power of two: 1 stays.
    V = V / V.amax(0)
    init = None if start == "flat" else H
    first = None if start == "flat" else H.numpy()
    for n in (1, 2, 25):
        wanted = oracle.encode(solver, loss, *numpy(V, W), n, first)
        got, _ = encode(
            V, W, loss=loss, solver=solver, init=init, max_iter=n, tol=0
        )
        close(got, wanted)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_blocks_of_frames_change_nothing(monkeypatch, toy, solver, loss):
    V, W, H = toy(bins=6, frames=200, rank=3)
    wanted = (
        encode(V, W, loss=loss, solver=solver, max_iter=20, tol=0)[0],
        *nmf(V, 3, loss=loss, solver=solver, init=(W, H), max_iter=12, tol=0),
    )
    monkeypatch.setitem(half.BLOCK_ELEMENTS, "cpu", 1)
    got = (
        encode(V, W, loss=loss, solver=solver, max_iter=20, tol=0)[0],
        *nmf(V, 3, loss=loss, solver=solver, init=(W, H), max_iter=12, tol=0),
    )
    for x, y in zip(got[:3], wanted[:3], strict=True):
        close(x, y)
    assert got[3].losses == pytest.approx(wanted[3].losses, rel=1e-12)


@pytest.mark.parametrize("steps", [2, 5])
def test_kl_steps_use_a_fresh_denominator(toy, steps):
    """With a frozen one the loss explodes in the third iteration."""
    V, W, H = toy()
    solver = FastMU(inner=steps)
    losses = [
        nmf(V, 4, solver=solver, init=(W, H), max_iter=n, tol=0)[2].losses[-1]
        for n in range(1, 7)
    ]
    assert losses == sorted(losses, reverse=True)


def test_fastmu_warms_itself_up(toy):
    """From a raw start it rises in its first iterations, with KL."""
    V, W, H = toy()
    W[:, 0] *= 1e-4
    losses = [
        nmf(V, 4, solver="fastmu", init=(W, H), max_iter=n, tol=0)[2].losses[-1]
        for n in range(1, 15)
    ]
    assert losses == sorted(losses, reverse=True)


def test_the_tables_are_complete():
    for auto in (AUTO_ENCODE, AUTO_LEARN):
        assert set(auto) == {"kl", "frobenius", "is"}
        for loss, solver in auto.items():
            assert isinstance(solver, Solver) and loss in solver.losses
    for name, solver in SOLVERS.items():
        assert isinstance(solver, Solver), name
    assert all(loss in SOLVERS["mu"].losses for loss in AUTO_ENCODE)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: FastMU(gamma=2.0), r"`gamma` must be in \(0, 2\), got 2.0"),
        (lambda: MUSOM(gamma=0.0), r"`gamma` must be in \(0, 2\), got 0.0"),
        (lambda: FastMU(inner=0), "`inner` must be an integer >= 1, got 0"),
        (
            lambda: FastMU(delta=float("inf")),
            "`delta` must be a finite number >= 0, got inf",
        ),
        (
            lambda: FastMU(delta=-0.1),
            "`delta` must be a finite number >= 0, got -0.1",
        ),
        (
            lambda: Accelerated(relaxation=2.0),
            r"`relaxation` must be in \[1, 2\), got 2.0",
        ),
    ],
)
def test_settings_out_of_range_are_refused(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
