"""Laws of encoding with a fixed dictionary, for every solver and loss."""

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
# Solvers that no loss may rise with, at any iteration.
MONOTONE = [(s, loss) for s, loss in TABLE if s in ("mu", "hals")]


def dictionary(speech):
    """Eight frames of speech as atoms, float64 [201, 8]."""
    return (speech[:, 17] + 1e-3 * speech.mean((0, 1))).T.contiguous()


def numpy(*tensors):
    return [x.numpy() for x in tensors]


def per_frame(oracle, loss, V, W, H):
    """The loss of every frame by definition: V [N, F], H [N, K]."""
    V, W, H = (x.double().numpy() for x in (V, W, H))
    return oracle.loss(loss, V.T, W @ H.T)


def rows(loss, V):
    """Frames [N, F], a copy; Itakura-Saito has no zeros."""
    V = V.flatten(0, -2).clone()
    return V.clamp_min(1e-4 * float(V.max())) if loss == "is" else V


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
def test_no_frame_rises_at_any_iteration(speech, oracle, solver, loss):
    V, W = rows(loss, speech[:2]), dictionary(speech)
    H, before = None, np.inf
    for _ in range(40):
        H, _ = encode(
            V.T, W, loss=loss, solver=solver, init=H, max_iter=1, tol=0
        )
        now = per_frame(oracle, loss, V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        before = now


def test_fastmu_does_not_rise_from_a_flat_start(speech, oracle):
    V, W = rows("kl", speech[:2]), dictionary(speech)
    before = np.inf
    for n in range(1, 25):
        H, _ = encode(V.T, W, solver="fastmu", max_iter=n, tol=0)
        now = per_frame(oracle, "kl", V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        before = now


@pytest.mark.parametrize("loss", LOSSES)
def test_no_frame_of_the_guarded_solver_rises(speech, oracle, loss):
    V, W = rows(loss, speech), dictionary(speech)
    before = np.inf
    for n in range(10, 130, 10):
        H, info = encode(V.T, W, loss=loss, max_iter=n, tol=0)
        now = per_frame(oracle, loss, V, W, H.T)
        assert (now <= before * (1 + 1e-12)).all()
        assert info.losses == sorted(info.losses, reverse=True)
        before = now


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("iterations", [10, 20, 50, 120])
def test_auto_is_no_worse_than_multiplicative_updates(
    speech, oracle, iterations, loss
):
    V, W = rows(loss, speech), dictionary(speech)
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


# Padding and batches


@pytest.mark.parametrize("tol", [0.0, 1e-3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_padded_batch_equals_each_utterance_alone(
    speech, solver, loss, dtype, tol
):
    options = {"loss": loss, "solver": solver, "tol": tol, "max_iter": 50}
    W = dictionary(speech).to(dtype)
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


# Degenerate input


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


# Optima


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
def test_kl_optimum_is_certified_by_its_dual(speech, solver):
    """A bound of the distance to the optimum, whatever way H was found.

    With columns of W that sum to one, the log-likelihood on the simplex is
    concave, and sum(v) * log max_k (W' (v / W h))_k bounds its gap.
    """
    V, W = rows("kl", speech[:3]), dictionary(speech)
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
    l2 = 0.0 if loss == "is" else 0.5
    options = {"loss": loss, "solver": solver, "max_iter": 50, "tol": 0}
    wanted, _ = encode(V, W, l1=0.3, l2=l2, **options)
    got, _ = encode(
        V * scale,
        W,
        l1=0.3 * scale ** (degree - 1),
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


# Precision


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_float32_follows_float64(speech, solver, loss):
    V, W = rows(loss, speech[:2]).T, dictionary(speech)
    options = {"loss": loss, "solver": solver, "max_iter": 60, "tol": 0}
    _, single = encode(V.float(), W.float(), **options)
    _, double = encode(V, W, **options)
    assert single.losses == pytest.approx(double.losses, rel=1e-5)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_autocast_changes_nothing(toy, solver, loss):
    V, W, _ = toy(dtype=torch.float32)
    wanted, _ = encode(V, W, loss=loss, solver=solver)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, _ = encode(V, W, loss=loss, solver=solver)
    assert got.dtype == torch.float32 and torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_worked_on_in_float32(toy, loss, dtype):
    V, W, _ = toy(dtype=dtype)
    got, _ = encode(V, W, loss=loss)
    wanted, _ = encode(V.float(), W.float(), loss=loss)
    assert got.dtype == torch.float32 and torch.equal(got, wanted)


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_no_denormals(toy, solver, loss):
    V, W, _ = toy(bins=8, frames=6, rank=5, dtype=torch.float32)
    V[:5, :3] = 0
    n = 200 if loss == "frobenius" else 1000  # their inner loop is slow
    H, _ = encode(V, W, loss=loss, solver=solver, max_iter=n, tol=0)
    tiny = torch.finfo(H.dtype).tiny
    assert int(((H > 0) & (H < tiny)).sum()) == 0
    assert float(H.min()) < 1e-6  # some are at the floor


def test_no_gradient_and_no_random_numbers(toy):
    V, W, _ = toy()
    state = torch.random.get_rng_state()
    H, _ = encode(V.requires_grad_(), W.requires_grad_())
    assert not H.requires_grad
    assert torch.equal(state, torch.random.get_rng_state())


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
