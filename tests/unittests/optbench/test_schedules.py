"""Laws of the schedules: exact ends, clamped progress, AlgoPerf's curve."""

import math
from functools import partial

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.schedules import (
    constant,
    warmup_constant,
    warmup_cosine,
)

WARMUPS = [0.0, 0.05, 0.1, 1 / 3, 1.0]
GRID = [i / 1000 for i in range(-100, 1101)]


@pytest.mark.parametrize("warmup", WARMUPS)
@pytest.mark.parametrize("shape", [warmup_constant, warmup_cosine])
def test_rises_to_one_and_stays_within_bounds(shape, warmup):
    values = [shape(p, warmup=warmup) for p in GRID]
    assert all(0.0 <= v <= 1.0 for v in values)
    rise = [v for p, v in zip(GRID, values, strict=True) if p <= warmup]
    assert rise == sorted(rise)
    assert shape(warmup, warmup=warmup) == 1.0
    assert shape(0.0, warmup=warmup) == (0.0 if warmup else 1.0)


@pytest.mark.parametrize("warmup", WARMUPS[:-1])
def test_cosine_falls_to_exactly_zero_and_constant_stays(warmup):
    after = [p for p in GRID if p >= warmup]
    cosine = [warmup_cosine(p, warmup=warmup) for p in after]
    assert cosine == sorted(cosine, reverse=True)
    assert warmup_cosine(1.0, warmup=warmup) == 0.0
    assert {warmup_constant(p, warmup=warmup) for p in after} == {1.0}


@pytest.mark.parametrize(
    "shape", [constant, warmup_constant, warmup_cosine, partial(constant)]
)
def test_progress_is_clamped(shape):
    assert shape(-3.0) == shape(0.0)
    assert shape(1.0 + 1e-9) == shape(7.0) == shape(1.0)


def test_is_torchs_warmup_and_cosine_of_the_same_steps():
    steps, rise = 40, 4
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1e-10, 1.0, rise),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps - rise),
        ],
        [rise],
    )
    for k in range(steps):
        ours = warmup_cosine(k / steps, warmup=rise / steps)
        assert math.isclose(ours, optimizer.param_groups[0]["lr"], abs_tol=1e-9)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("shape", [warmup_constant, warmup_cosine])
def test_bad_settings_are_refused(shape):
    with pytest.raises(UserError, match=r"`warmup` must be in \[0, 1\]"):
        shape(0.5, warmup=1.5)
    with pytest.raises(UserError, match="`progress`"):
        shape(math.nan)
