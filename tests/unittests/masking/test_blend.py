"""Blender against torch.where, which it replaces."""

import pytest
import torch

from leanbrain.masking.blend import Blender, as_row
from leanbrain.masking.packing import pack

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.complex64,
    torch.complex128,
]
SHAPES = [(1,), (8,), (3, 5), (2, 3, 17), (5, 103)]


def draw(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(
        dtype
    )


def draw_mask(shape, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) < 0.5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [8, 64, 2**18])
def test_keep_and_merge_equal_where(dtype, shape, step):
    blender = Blender(torch.device("cpu"), step)
    old, new = draw(shape, dtype, 1), draw(shape, dtype, 2)
    mask = draw_mask(shape)
    kept, merged = old.clone(), old.clone()
    blender.keep(kept, new, pack(mask))
    blender.merge(merged, new, pack(mask))
    assert torch.equal(kept, torch.where(mask, new, torch.zeros_like(new)))
    assert torch.equal(merged, torch.where(mask, new, old))


def test_keep_in_place():
    values, mask = draw((3, 50)), draw_mask((3, 50))
    wanted = values.masked_fill(~mask, 0.0)
    Blender(torch.device("cpu")).keep(values, values, pack(mask))
    assert torch.equal(values, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_nothing_leaks_from_infinity_and_nan(dtype):
    values = torch.tensor([float("inf"), float("nan"), -0.0, 1.0]).to(dtype)
    mask = torch.tensor([False, False, False, True])
    Blender(torch.device("cpu")).keep(values, values, pack(mask))
    assert values.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert not values.real.signbit().any()
    target = torch.tensor([float("nan"), 2.0, float("inf"), 4.0]).to(dtype)
    Blender(torch.device("cpu")).merge(target, values, pack(mask))
    assert target[3] == 1.0 and target[0].isnan() and target[2].isinf()


@pytest.mark.parametrize("transposed", ["target", "source", "both"])
def test_other_layouts(transposed):
    old, new = draw((6, 4), seed=1), draw((6, 4), seed=2)
    if transposed != "source":
        old = old.t().contiguous().t()
    if transposed != "target":
        new = new.t().contiguous().t()
    mask = draw_mask((6, 4))
    kept, merged = old.clone(), old.clone()
    blender = Blender(torch.device("cpu"))
    blender.keep(kept, new, pack(mask))
    blender.merge(merged, new, pack(mask))
    assert torch.equal(kept, torch.where(mask, new, 0.0))
    assert torch.equal(merged, torch.where(mask, new, old))
    assert kept.stride() == old.stride()


def test_small_after_large_and_large_after_small():
    blender = Blender(torch.device("cpu"), 1024)
    for size in (10, 5000, 3, 900, 20_000):
        values, mask = draw((size,)), draw_mask((size,))
        target = torch.ones(size)
        blender.keep(target, values, pack(mask))
        assert torch.equal(target, torch.where(mask, values, 0.0))


def test_writes_are_seen_by_autograd():
    weight = torch.nn.Parameter(draw((4, 4)))
    loss = weight.square().sum()
    Blender(torch.device("cpu")).keep(weight, weight, pack(draw_mask((4, 4))))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_row_is_the_same_memory():
    values = draw((3, 4))
    row = as_row(values)
    row.zero_()
    assert row.dtype == torch.int32 and not values.any()
    assert as_row(row) is row
    assert as_row(draw((3, 4)).t()) is None


def test_scratch_stays_small():
    blender = Blender(torch.device("cpu"))
    values = torch.zeros(2**20)
    blender.keep(values, values, pack(torch.ones(2**20, dtype=torch.bool)))
    scratch = blender._scratch[torch.int32]
    held = scratch.index.nbytes + scratch.words.nbytes
    assert held == 5 * 2**18
