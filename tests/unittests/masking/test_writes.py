"""Laws of the sums that tell whether weights were written to."""

import pytest
import torch

from leanbrain.masking._writes import bit_sums, same_sums, sample_of

TYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int8,
    torch.complex64,
]
SHAPES = [(), (1,), (3, 5), (8, 8), (7, 3, 5), (64, 130)]


def numbers(shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-90, 90, shape, generator=generator)
    return drawn.to(dtype)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_value_counts(dtype, shape):
    values = numbers(shape, dtype)
    sums = bit_sums(values)
    assert torch.equal(bit_sums(values.clone()), sums)
    flat = values.view(-1)
    for place in {0, flat.numel() // 2, flat.numel() - 1}:
        before = flat[place].clone()
        flat[place] = before + 1
        assert not torch.equal(bit_sums(values), sums), place
        flat[place] = before
    assert torch.equal(bit_sums(values), sums)


@pytest.mark.parametrize("offset", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_part_of_a_larger_memory(dtype, offset):
    """As recurrent layers keep their weights: in one piece, at any place."""
    memory = numbers((40,), dtype)
    part = memory[offset : offset + 21]
    sums = bit_sums(part)
    for place in range(40):
        memory[place] += 1
        inside = offset <= place < offset + 21
        assert torch.equal(bit_sums(part), sums) != inside
        memory[place] -= 1


def test_memory_in_another_order():
    values = numbers((4, 6, 3, 3), torch.float32)
    values = values.to(memory_format=torch.channels_last)
    sums = bit_sums(values)
    values.data[3, 5, 2, 1] += 1
    assert not torch.equal(bit_sums(values), sums)


def test_nan_and_the_sign_of_zero_are_bits():
    values = torch.tensor([float("nan"), 0.0, 1.0])
    sums = bit_sums(values)
    assert torch.equal(bit_sums(values), sums)
    assert not torch.equal(bit_sums(-values), sums)


def test_comparing_several():
    tensors = [numbers(s, torch.float32) for s in SHAPES]
    old = [bit_sums(t) for t in tensors]
    assert same_sums(old, [bit_sums(t) for t in tensors]) == [True] * 6
    tensors[2][0] += 1
    new = [bit_sums(t) for t in tensors]
    assert same_sums(old, new) == [True, True, False, True, True, True]


def test_a_sample_is_a_copy_of_some_values():
    values = numbers((100, 100), torch.float32)
    sample = sample_of(values)
    assert 100 <= sample.numel() <= 256
    values.zero_()
    assert sample.any()
