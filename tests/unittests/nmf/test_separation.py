"""Laws of semi-supervised factorisation, and a slow oracle of it."""

import numpy as np
import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.nmf.problem import Problem
from leanbrain.nmf.semi_supervised import semi_supervised
from leanbrain.nmf.separation import wiener_masks
from leanbrain.nmf.solvers.base import EPS

LOSSES = {"kl": 1, "frobenius": 2, "is": 0}
COUNTS = torch.tensor([12, 7, 20, 0, 1])


def problem(loss="kl", max_iter=30, tol=0.0):
    return Problem.checked(loss, "mu", max_iter, tol, 0.0, 0.0)


def data(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    V = torch.rand(5, 20, 9, generator=generator, dtype=dtype)
    W = torch.rand(9, 4, generator=generator, dtype=dtype) + 0.01
    return V, W / W.sum(0)


def divergence(V, P, degree):
    if degree == 2:
        return (V - P) ** 2 / 2
    if degree == 1:
        return V * np.log(V / P) - V + P
    return V / P - np.log(V / P) - 1


def oracle(V, W, draw, degree, steps, quiet, fixed_cost=0.0):
    """The updates for one item, in loops; losses of the weighted frames."""
    V, W, draw = (x.numpy() for x in (V, W, draw))
    frames, bins = V.shape
    K, n = W.shape[1], draw.shape[1]
    scale = 2.0 ** (np.frexp(V.max())[1] - 1)
    V = V / scale
    fixed_cost = fixed_cost * scale ** (1 - degree)
    quietest = np.argsort(V.sum(1), kind="stable")
    quietest = quietest[: max(1, int(np.ceil(quiet * frames)))]
    mean = V[quietest].mean(0)
    N = (mean[:, None] + EPS) * (0.5 + draw)
    N = np.maximum(N / N.sum(0), EPS)
    V = np.maximum(V, EPS) if degree == 0 else V
    H = np.repeat(V.sum(1, keepdims=True) / (K + n), K + n, 1)
    power = 0.5 if degree == 0 else 1.0
    losses = []

    def gradient(f, t, A):
        P = sum(A[f, k] * H[t, k] for k in range(K + n))
        return V[t, f] * P ** (degree - 2), P ** (degree - 1)

    for _ in range(steps):
        new, A = N.copy(), np.concatenate([W, N], 1)
        for f in range(bins):
            pull = [gradient(f, t, A) for t in quietest]
            for j in range(n):
                h = [H[t, K + j] for t in quietest]
                neg = sum(p[0] * x for p, x in zip(pull, h, strict=True))
                pos = sum(p[1] * x for p, x in zip(pull, h, strict=True))
                new[f, j] = max(N[f, j] * (neg / pos) ** power, EPS)
        N, old = new, H.copy()
        A = np.concatenate([W, N], 1)
        for t in range(frames):
            pull = [gradient(f, t, A) for f in range(bins)]
            for k in range(K + n):
                neg = sum(pull[f][0] * A[f, k] for f in range(bins))
                pos = sum(pull[f][1] * A[f, k] for f in range(bins))
                pos += fixed_cost if k < K else 0.0
                old[t, k] = max(H[t, k] * (neg / pos) ** power, EPS)
        H = old
        cost = divergence(V, H @ A.T, degree).sum(1)
        cost += fixed_cost * H[:, :K].sum(1)
        losses.append(cost[quietest].sum() * scale**degree)
    sums = np.concatenate([np.ones(K), N.sum(0)])
    return H * scale * sums, N / N.sum(0), losses


@pytest.mark.parametrize("cost", [0.0, 0.3])
@pytest.mark.parametrize("loss", LOSSES)
def test_equals_the_loops_and_the_loss_falls(loss, cost):
    V, W = data()
    V = V[:1, :10]
    draw = torch.rand(
        9, 2, generator=torch.Generator().manual_seed(3), dtype=V.dtype
    )
    got = semi_supervised(
        V,
        W,
        2,
        problem(loss, 10),
        generator=torch.Generator().manual_seed(3),
        quiet=0.5,
        fixed_cost=cost,
    )
    H, learnt, losses = oracle(V[0], W, draw, LOSSES[loss], 10, 0.5, cost)
    np.testing.assert_allclose(got[0][0].numpy(), H, rtol=1e-9)
    np.testing.assert_allclose(got[1][0].numpy(), learnt, rtol=1e-9)
    np.testing.assert_allclose(got[2].losses[-1], losses[-1], rtol=1e-9)
    assert (np.diff(losses) <= 1e-12 * losses[0]).all()


@pytest.mark.parametrize("quiet", [0.3, 1.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_never_rises(loss, quiet):
    V, W = data(seed=4)
    V = V**4  # some near zero
    V[0, 3] = 0.0
    V[1, :, 2] = 0.0
    _, _, info = semi_supervised(
        V,
        W,
        3,
        problem(loss, 400),
        counts=COUNTS,
        quiet=quiet,
        fixed_cost=0.1,
    )
    assert len(info.losses) == 40
    steps = np.diff(info.losses)
    assert (steps <= 1e-10 * abs(info.losses[0])).all()
    assert info.losses[-1] < info.losses[0]


@pytest.mark.parametrize("tol", [0.0, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_items_do_not_depend_on_their_batch(dtype, tol):
    V, W = data(dtype)
    settings = {"problem": problem(max_iter=60, tol=tol), "fixed_cost": 0.1}
    padding = torch.arange(20) >= COUNTS[:, None]
    V[padding] = torch.nan
    H, learnt, _ = semi_supervised(V, W, 2, counts=COUNTS, **settings)
    assert bool((H[padding] == 0).all())
    for i, count in enumerate(COUNTS.tolist()):
        alone = V[i : i + 1, :count]
        if not count:
            assert bool((H[i] == 0).all())
            continue
        own, atoms, _ = semi_supervised(alone, W, 2, **settings)
        torch.testing.assert_close(own[0], H[i, :count], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(atoms[0], learnt[i], rtol=1e-5, atol=1e-6)


def test_the_cost_of_fixed_atoms_divides_mixtures():
    """No mere scale: speech gives way to noise, which is what it is for."""
    V, W = data(seed=2)
    parts = []
    for cost in (0.0, 0.5):
        H, learnt, _ = semi_supervised(
            V, W, 2, problem(max_iter=300), fixed_cost=cost
        )
        speech, noise = H[..., :4] @ W.T, H[..., 4:] @ learnt.mT
        parts.append(float((speech / (speech + noise)).mean()))
    assert parts[1] < 0.9 * parts[0]


def test_finds_the_atom_that_the_dictionary_lacks():
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(9, 3, generator=generator, dtype=torch.float64)
    true[:3, 0], true[3:, 1:] = 0.0, 0.0
    true = true / true.sum(0)
    H = torch.rand(1, 40, 3, generator=generator, dtype=torch.float64)
    # Frames of it alone: otherwise it could hold some of the others as well.
    H[:, :10, 1:] = 0.0
    settings = problem(max_iter=1000)
    _, learnt, _ = semi_supervised(
        H @ true.T, true[:, 1:], 1, settings, quiet=1.0
    )
    torch.testing.assert_close(learnt[0], true[:, :1], atol=1e-2, rtol=0)


def test_repeats_and_leaves_the_global_generator_alone():
    V, W = data()
    before = torch.get_rng_state()
    first, second, other = (
        semi_supervised(
            V, W, 2, problem(), generator=torch.Generator().manual_seed(s)
        )[1]
        for s in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, second)
    assert not torch.allclose(first, other, atol=1e-4)


def test_silence_and_nothing_are_finite():
    some, W = data(torch.float32)
    for V in (some * 0, some[:, :0], some[:0], some * 1e-30, some * 1e30):
        H, learnt, _ = semi_supervised(V, W, 2, problem())
        assert bool(torch.isfinite(H).all() and torch.isfinite(learnt).all())


def test_masks_sum_to_one_and_are_ratios():
    parts = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    parts[:, 0, 0] = 0.0
    parts[:, 1] *= 1e-30
    parts[:, 2] *= 1e30
    for exponent in (0.5, 1.0, 2.0, 8.0):
        masks = wiener_masks(parts, exponent)
        torch.testing.assert_close(masks.sum(0), torch.ones(4, 5))
        wanted = parts.double() ** exponent
        wanted = (wanted / wanted.sum(0))[:, 1:].float()
        torch.testing.assert_close(masks[:, 1:], wanted)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"V": torch.rand(3, 9)}, "`V` must be a batch"),
        ({"W": torch.rand(8, 2)}, r"`W` must be a tensor of shape \[9, K\]"),
        ({"W": -torch.ones(9, 2)}, "`W` must be finite and >= 0"),
        ({"W": torch.zeros(9, 2)}, "`W` must have no column of zeros"),
        ({"n_atoms": 0}, "`n_atoms` must be an integer >= 1, got 0"),
        ({"quiet": 0.0}, r"`quiet` must be in \(0, 1\], got 0"),
        ({"fixed_cost": -1.0}, "`fixed_cost` must be a finite number >= 0"),
        (
            {"problem": Problem.checked("is", "mu", 9, 0.0, 0.1, 0.0)},
            "`l1` must be 0 where atoms are learnt on a mixture, got 0.1",
        ),
    ],
)
def test_wrong_arguments_are_said(change, match):
    V, W = data()
    arguments = {"V": V, "W": W, "n_atoms": 2, "problem": problem(), **change}
    with pytest.raises(UserError, match=match):
        semi_supervised(**arguments)


def test_a_wrong_exponent_is_said():
    with pytest.raises(UserError, match="`exponent` must be a finite"):
        wiener_masks(torch.ones(2, 3), 0.0)
