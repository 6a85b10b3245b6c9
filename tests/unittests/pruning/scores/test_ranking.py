"""rank_shares: the order and, nearly, the numbers of an exact ranking."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.pruning.scores.ranking import KeptRanks, rank_shares


def exact(values):
    """(n - 0.5) / N for the n-th smallest of N."""
    flat = values.view(-1)
    shares = torch.empty(flat.numel())
    levels = (torch.arange(flat.numel()) + 0.5) / flat.numel()
    shares[flat.argsort(stable=True)] = levels
    return shares.view(values.shape)


@given(
    st.lists(
        st.floats(0, 2.0**127, width=32),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=60, deadline=None)
def test_order_is_kept(numbers):
    values = torch.tensor(numbers)
    shares = rank_shares(values)
    assert 0.0 < float(shares.min()) and float(shares.max()) < 1.0
    for i in range(len(numbers)):
        smaller = values[i] < values
        assert (shares[i] <= shares[smaller] + 1e-7).all()
        assert (shares[i] == shares[values == values[i]]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_close_to_an_exact_ranking(dtype):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 150, generator=generator).abs().to(dtype)
    shares = rank_shares(values)
    assert shares.dtype == torch.float32 and shares.is_contiguous()
    torch.testing.assert_close(shares, exact(values), rtol=0, atol=2e-3)
    assert torch.equal(rank_shares(values.t()), shares.t())
    assert torch.equal(rank_shares(-values), shares)


def test_values_well_apart_are_ranked_exactly():
    values = 1.02 ** torch.randperm(500).float()
    places = rank_shares(values).mul(500).floor()
    assert torch.equal(places, values.argsort().argsort().float())


def test_equal_values_have_equal_shares_and_zeros_are_lowest():
    shares = rank_shares(torch.tensor([0.0, -0.0, 1.0, 1.0, float("inf")]))
    assert shares[0] == shares[1] < shares[2] == shares[3] < shares[4]
    assert rank_shares(torch.zeros(0, 2)).shape == (0, 2)


def test_values_are_untouched():
    values = torch.tensor([3.0, 0.5])
    rank_shares(values)
    assert values.tolist() == [3.0, 0.5]


def test_kept_ranks_are_those_of_the_weights_as_they_are():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(30, generator=generator)
    kept = KeptRanks()

    def right():
        return torch.equal(kept.of("w", weight), rank_shares(weight.abs()))

    first = kept.of("w", weight)
    assert kept.of("w", weight.view(30)) is first and right()
    weight[3] = 9.0
    assert right() and kept.of("w", weight) is not first
    with torch.inference_mode():
        frozen = weight.clone()
        assert torch.equal(kept.of("w", frozen), rank_shares(frozen.abs()))
    # Memory that is used again is not taken for what it was.
    other = kept.of("w", torch.randn(30, generator=generator))
    assert not torch.equal(other, first) and right()
    # Writes that do not count need a word.
    kept.of("w", weight)
    weight.data.mul_(-1).add_(1)
    kept.forget("w")
    assert right()
    kept.forget()
    assert right()
