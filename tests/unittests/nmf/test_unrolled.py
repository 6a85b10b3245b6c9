"""Laws of the unrolled encoder."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.nmf import encode
from leanbrain.nmf.unrolled import encode_unrolled

LOSSES = ["kl", "frobenius", "is"]


def problem(seed=0, frames=4, bins=7, atoms=3):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    V = torch.rand(frames, bins, **draw) + 0.1
    W = torch.rand(bins, atoms, **draw) + 0.1
    return V, W / W.sum(0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("start", [False, True])
def test_gradients_equal_finite_differences(loss, start):
    V, W = problem()
    # Away from powers of two, at which the scale of a frame jumps.
    V = V.clamp_max(0.9)
    V[:, 0] = 0.95
    H = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator())
    inputs = (V.requires_grad_(), W.requires_grad_())

    def run(V, W):
        return encode_unrolled(
            V, W, 5, loss=loss, start=H + 0.1 if start else None
        )

    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("loss", LOSSES)
def test_equals_the_encoder_with_multiplicative_updates(loss):
    V, W = problem(1)
    H, _ = encode(V.T, W, loss=loss, solver="mu", max_iter=7, tol=0)
    got = encode_unrolled(V, W, 7, loss=loss)
    torch.testing.assert_close(got, H.T, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", ["kl", "frobenius"])
def test_a_converged_start_stays(loss):
    V, W = problem(2)
    H, _ = encode(V.T, W, loss=loss, max_iter=2000, tol=0)
    got = encode_unrolled(V, W, 3, loss=loss, start=H.T)
    torch.testing.assert_close(got, H.T, rtol=1e-6, atol=1e-7)


def test_gradient_at_the_optimum_is_that_of_the_minimiser():
    V, W = problem(3)
    # Frames made of all atoms: an optimum inside, where it is smooth.
    V = torch.rand(4, 3, dtype=V.dtype, generator=torch.Generator()) @ W.T
    V = V + 0.01

    def minimiser(W):
        return encode(V.T, W, max_iter=2000, tol=0)[0].T

    direction = torch.rand(W.shape, generator=torch.Generator()).to(W)
    step = 1e-5
    H = minimiser(W)
    assert bool((H > 1e-4).all())
    by_difference = (
        minimiser(W + step * direction) - minimiser(W - step * direction)
    ) / (2 * step)
    W = W.requires_grad_()
    weights = torch.rand(H.shape, generator=torch.Generator()).to(H)
    unrolled = encode_unrolled(V, W, 1000, start=H)
    (unrolled * weights).sum().backward()
    torch.testing.assert_close(
        (W.grad * direction).sum(),
        (by_difference * weights).sum(),
        rtol=1e-4,
        atol=1e-8,
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_silence_has_finite_gradients(loss):
    V, W = problem(4)
    V = V.float()
    V[1] = 0
    W = W.float().requires_grad_()
    V.requires_grad_()
    encode_unrolled(V, W, 10, loss=loss).sum().backward()
    assert bool(W.grad.isfinite().all()) and bool(V.grad.isfinite().all())


def test_steps_below_one_are_refused():
    V, W = problem()
    with pytest.raises(UserError, match="`steps` must be an integer >= 1"):
        encode_unrolled(V, W, 0)


def test_unknown_losses_are_refused():
    V, W = problem()
    with pytest.raises(UserError, match="`loss` must be one of kl, frob"):
        encode_unrolled(V, W, loss="l2")
