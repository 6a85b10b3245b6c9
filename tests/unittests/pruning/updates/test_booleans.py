"""Counts and places of True entries against PyTorch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from leanbrain.pruning.updates.booleans import count_true, true_places


@given(bits=st.lists(st.booleans(), max_size=70))
def test_places_are_those_of_nonzero(bits):
    mask = torch.tensor(bits, dtype=torch.bool)
    places = true_places(mask)
    assert places.dtype == torch.int64
    assert torch.equal(places, mask.nonzero().view(-1))


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("size", [4096, 4101])
def test_places_in_long_masks(size, share):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(size, generator=generator) < share
    assert torch.equal(true_places(mask), mask.nonzero().view(-1))


def test_count_true():
    assert count_true(torch.tensor([[True, False], [True, True]])) == 3
