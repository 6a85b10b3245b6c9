"""Encoding in the types of numbers that there are."""

import pytest
import torch

from leanbrain.nmf import encode
from leanbrain.nmf.solvers import AUTO_ENCODE, SOLVERS

LOSSES = list(AUTO_ENCODE)
TABLE = [
    *((s, loss) for s in SOLVERS for loss in SOLVERS[s].losses),
    *(("auto", loss) for loss in LOSSES),
]


@pytest.mark.parametrize(("solver", "loss"), TABLE)
def test_float32_follows_float64(speech, rows, speech_atoms, solver, loss):
    V, W = rows(loss, speech[:2]).T, speech_atoms
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
