"""Powers of two, and penalties that mean the same at every level."""

import pytest
import torch

from leanbrain.nmf.half import Scratch
from leanbrain.nmf.losses import LOSSES
from leanbrain.nmf.losses.base import row_losses
from leanbrain.nmf.scaling import penalty_weights, power_of_two


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_next_power_of_two_below(dtype):
    level = torch.logspace(-30, 30, 301, dtype=dtype)
    level = torch.cat([level, torch.tensor([1.0, 2.0, 0.5], dtype=dtype)])
    power = power_of_two(level)
    assert power.dtype == dtype
    mantissa, _ = torch.frexp(power)
    assert bool((mantissa == 0.5).all())
    assert bool(((power <= level) & (level < 2 * power)).all())
    assert torch.equal(power[-3:], level[-3:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extremes_can_be_divided_by(dtype):
    info = torch.finfo(dtype)
    level = torch.tensor([0.0, info.tiny / 8, info.tiny, info.max], dtype=dtype)
    power = power_of_two(level)
    assert float(power[0]) == 1.0
    assert bool(torch.isfinite(level / power).all())
    assert bool((power >= torch.finfo(torch.float32).tiny).all())


@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.4, 0.0), (0.4, 1.5)])
@pytest.mark.parametrize("name", LOSSES)
def test_the_scaled_problem_is_the_given_one(draw, name, l1, l2):
    """Value for value, divided by scale ** degree."""
    loss = LOSSES[name]
    V, H, W = draw(6, 5), draw(6, 3, seed=1), draw(5, 3, seed=2) * 4
    atoms = W.sum(0, keepdim=True)
    scale = torch.tensor([[0.25], [1], [2], [4], [8], [64]], dtype=V.dtype)
    first, second = penalty_weights(loss, l1, l2, scale, atoms)
    assert (first is None) == (l1 == 0) and (second is None) == (l2 == 0)
    there = row_losses(
        loss, V / scale, H / scale * atoms, W / atoms, Scratch(V)
    )
    small = H * atoms / scale
    if first is not None:
        there = there + (first * small).sum(1)
    if second is not None:
        there = there + (second * small.square()).sum(1) / 2
    here = row_losses(loss, V, H, W, Scratch(V))
    here = here + l1 * H.sum(1) + l2 * H.square().sum(1) / 2
    torch.testing.assert_close(there * scale[:, 0] ** loss.degree, here)
