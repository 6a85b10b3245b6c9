"""Packed masks against NumPy's packbits and Python's integers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.masking.packing import count_bits, pack, packed_size, unpack

SHAPES = [(1,), (7,), (8,), (9,), (3, 5), (2, 3, 4), (1, 1), (), (40, 1001)]


def draw_mask(shape, seed=0, density=0.4):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator) < density


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("density", [0.0, 0.4, 1.1])
def test_pack_equals_numpy(shape, density):
    mask = draw_mask(shape, density=density)
    packed = pack(mask)
    wanted = np.packbits(mask.numpy().reshape(-1), bitorder="little")
    assert packed.dtype == torch.uint8
    assert packed.tolist() == wanted.tolist()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_round_trip_and_count(values):
    mask = torch.tensor(values)
    packed = pack(mask)
    assert packed.numel() == packed_size(len(values)) == -(-len(values) // 8)
    assert unpack(packed, mask.shape).tolist() == values
    assert count_bits(packed) == sum(values)
    # Behind the last weight there are zeros only.
    number = int.from_bytes(bytes(packed.tolist()), "little")
    assert number >> len(values) == 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(0, 2**31),
)
def test_shapes_come_back(shape, seed):
    mask = draw_mask(shape, seed)
    again = unpack(pack(mask), shape)
    assert again.shape == mask.shape and torch.equal(again, mask)


def test_round_trip_beyond_one_step():
    mask = draw_mask((700_003,))
    assert torch.equal(unpack(pack(mask), mask.shape), mask)


def test_every_byte_counts_its_bits():
    for byte in range(256):
        packed = torch.tensor([byte], dtype=torch.uint8)
        assert count_bits(packed) == byte.bit_count()
    everything = torch.arange(256, dtype=torch.uint8).repeat(1000)
    assert count_bits(everything) == 1000 * 8 * 128


def test_mask_of_any_layout_is_read_in_logical_order():
    mask = draw_mask((6, 9)).t()
    wanted = np.packbits(mask.numpy().reshape(-1), bitorder="little")
    assert pack(mask).tolist() == wanted.tolist()


def test_out_is_filled_and_returned():
    mask = draw_mask((3, 11))
    out = torch.zeros(3, 11, dtype=torch.bool)
    assert unpack(pack(mask), (3, 11), out=out) is out
    assert torch.equal(out, mask)


@pytest.mark.parametrize("start", [0, 1, 8])
def test_out_may_be_part_of_a_larger_buffer(start):
    buffer = torch.zeros(60, dtype=torch.bool)
    mask = draw_mask((33,))
    unpack(pack(mask), (33,), out=buffer[start : start + 33])
    assert torch.equal(buffer[start : start + 33], mask)
    assert int(buffer.sum()) == int(mask.sum())


def test_out_may_be_transposed():
    mask = draw_mask((4, 6))
    out = torch.zeros(6, 4, dtype=torch.bool).t()
    unpack(pack(mask), (4, 6), out=out)
    assert torch.equal(out, mask)


def test_packing_leaves_the_mask_as_it_is():
    mask = draw_mask((64,))
    before = mask.clone()
    pack(mask)
    assert torch.equal(mask, before)


def test_refuses_other_types_and_sizes():
    with pytest.raises(UserError, match="`mask` must be of type bool"):
        pack(torch.ones(8))
    packed = pack(draw_mask((16,)))
    with pytest.raises(UserError, match=r"uint8 \[3\] for 17 weights"):
        unpack(packed, (17,))
    with pytest.raises(UserError, match=r"uint8 \[1\] for 8 weights"):
        unpack(packed, (8,))
    with pytest.raises(UserError, match="got torch.int32"):
        unpack(packed.int(), (16,))
    with pytest.raises(UserError, match=r"`out` must be of type bool"):
        unpack(packed, (16,), out=torch.zeros(16))
    with pytest.raises(UserError, match=r"shape \[16\]"):
        unpack(packed, (16,), out=torch.zeros(4, 4, dtype=torch.bool))
