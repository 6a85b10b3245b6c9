"""Keep-counts: exact totals, bounds, and slow oracles of the shares."""

import math
from fractions import Fraction
from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.allocation.shares import (
    apportion,
    erk,
    global_,
    keep_total,
    per_layer,
)

LEAST = 0.9  # of `global_`: a bound that is often at work
ALL = [per_layer, erk, global_, partial(global_, least_share=LEAST)]
shapes = st.lists(
    st.lists(st.integers(1, 7), min_size=1, max_size=3), min_size=1, max_size=6
)
sparsities = st.floats(0.0, 0.999) | st.sampled_from([0.0, 0.5, 0.7, 0.9])


def make(shapes, seed=0):
    """Scores with many ties, one tensor per shape."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"w{i}": torch.randint(0, 9, shape, generator=generator).float()
        for i, shape in enumerate(shapes)
    }


def clipped_share(total, shares, low, high):
    """Real-valued solution: the scale c with sum(clip(c * share)) = total."""

    def clip(scale):
        parts = zip(shares, low, high, strict=True)
        return [min(max(scale * s, lo), hi) for s, lo, hi in parts]

    bottom, top = 0.0, float(max(high) + 1)
    for _ in range(200):
        middle = (bottom + top) / 2
        if sum(clip(middle)) < total:
            bottom = middle
        else:
            top = middle
    return clip(top)


@pytest.mark.parametrize("allocation", ALL)
@given(shapes=shapes, sparsity=sparsities, min_keep=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_total_is_exact_and_bounds_hold(allocation, shapes, sparsity, min_keep):
    saliency = make(shapes)
    sizes = {name: tensor.numel() for name, tensor in saliency.items()}
    total = round((1.0 - sparsity) * sum(sizes.values()))
    least = {name: min(min_keep, size) for name, size in sizes.items()}
    if sum(least.values()) > total:
        with pytest.raises(UserError, match=f"`min_keep` .* got {min_keep}"):
            allocation(saliency, sparsity, min_keep=min_keep)
        return
    counts = allocation(saliency, sparsity, min_keep=min_keep)
    assert list(counts) == list(saliency)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        assert type(count) is int
        assert least[name] <= count <= sizes[name]


@given(shapes=shapes, sparsity=sparsities)
@settings(max_examples=100, deadline=None)
def test_per_layer_is_largest_remainder(shapes, sparsity):
    saliency = make(shapes)
    sizes = [tensor.numel() for tensor in saliency.values()]
    total = keep_total(sum(sizes), sparsity)
    quotas = [Fraction(total * size, sum(sizes)) for size in sizes]
    expected = [math.floor(quota) for quota in quotas]
    order = sorted(
        range(len(sizes)), key=lambda i: (expected[i] - quotas[i], i)
    )
    for i in order[: total - sum(expected)]:
        expected[i] += 1
    counts = per_layer(saliency, sparsity, min_keep=0)
    assert list(counts.values()) == expected


@given(shapes=shapes, sparsity=sparsities, min_keep=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_erk_is_the_clipped_share_up_to_rounding(shapes, sparsity, min_keep):
    saliency = make(shapes)
    sizes = [tensor.numel() for tensor in saliency.values()]
    low = [min(min_keep, size) for size in sizes]
    total = keep_total(sum(sizes), sparsity)
    assume(sum(low) <= total)
    counts = erk(saliency, sparsity, min_keep=min_keep)
    exact = clipped_share(total, [sum(s) for s in shapes], low, sizes)
    for count, real in zip(counts.values(), exact, strict=True):
        assert abs(count - real) < 1 + 1e-9


@given(shapes=shapes, sparsity=sparsities)
@settings(max_examples=100, deadline=None)
def test_least_share_is_a_density(shapes, sparsity):
    saliency = make(shapes)
    size = sum(tensor.numel() for tensor in saliency.values())
    density = LEAST * keep_total(size, sparsity) / size
    counts = global_(saliency, sparsity, min_keep=0, least_share=LEAST)
    for name, count in counts.items():
        assert count >= int(density * saliency[name].numel())


def test_least_share_leaves_small_tensors_what_they_keep_at_least():
    """30 tensors keep one weight each: 2 of 32 are left for the large one."""
    saliency = {f"w{i}": torch.ones(1) for i in range(30)}
    saliency["large"] = torch.ones(31_970)
    counts = global_(saliency, 0.999, least_share=0.2)
    assert set(counts.values()) == {1, 2} and counts["large"] == 2


@given(
    parts=st.lists(
        st.tuples(st.integers(1, 50), st.integers(0, 9), st.integers(0, 40)),
        min_size=1,
        max_size=8,
    ),
    where=st.floats(0, 1),
)
@settings(max_examples=120, deadline=None)
def test_apportion_with_bounds_on_both_sides(parts, where):
    shares = [share for share, _, _ in parts]
    low = [least for _, least, _ in parts]
    high = [least + more for _, least, more in parts]
    total = sum(low) + round(where * (sum(high) - sum(low)))
    result = apportion(total, shares, low, high)
    assert sum(result) == total
    exact = clipped_share(total, shares, low, high)
    for got, real, least, most in zip(result, exact, low, high, strict=True):
        assert least <= got <= most
        assert abs(got - real) < 1 + 1e-9


@given(shapes=shapes, sparsity=sparsities, min_keep=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_global_is_a_sort_of_everything(shapes, sparsity, min_keep):
    saliency = make(shapes)
    total = keep_total(sum(t.numel() for t in saliency.values()), sparsity)
    ranked = sorted(
        (-value, order, index, name)
        for order, (name, tensor) in enumerate(saliency.items())
        for index, value in enumerate(tensor.view(-1).tolist())
    )
    # First everybody's own best, then the best of what is left.
    expected = {n: min(min_keep, t.numel()) for n, t in saliency.items()}
    assume(sum(expected.values()) <= total)
    own = dict.fromkeys(saliency, 0)
    rest = []
    for _, _, _, name in ranked:
        own[name] += 1
        if own[name] > expected[name]:
            rest.append(name)
    for name in rest[: total - sum(expected.values())]:
        expected[name] += 1
    assert global_(saliency, sparsity, min_keep=min_keep) == expected


def test_global_prefers_the_layer_with_large_scores():
    saliency = {"small": torch.full((10, 10), 0.1), "large": torch.ones(10, 10)}
    assert global_(saliency, 0.5) == {"small": 1, "large": 99}
    assert global_(saliency, 0.5, min_keep=0) == {"small": 0, "large": 100}


def test_global_on_long_tensors_is_exact():
    generator = torch.Generator().manual_seed(3)
    saliency = {
        name: torch.randn(300, 100, generator=generator).mul(scale).abs()
        for name, scale in (("a", 1.0), ("b", 3.0))
    }
    values = torch.cat([tensor.view(-1) for tensor in saliency.values()])
    bar = values.sort(descending=True).values[keep_total(60_000, 0.7) - 1]
    expected = {n: int((t >= bar).sum()) for n, t in saliency.items()}
    assert global_(saliency, 0.7) == expected


def test_global_refuses_nan():
    with pytest.raises(UserError, match="must be free of NaN, got 1"):
        global_({"a": torch.tensor([1.0, math.nan])}, 0.5)


@pytest.mark.parametrize("allocation", [per_layer, erk])
def test_scores_do_not_matter_where_shapes_decide(allocation):
    shaped = {"a": torch.ones(4, 6), "b": torch.ones(8, 2)}
    scored = {"a": torch.full((4, 6), math.nan), "b": torch.zeros(8, 2)}
    assert allocation(shaped, 0.6) == allocation(scored, 0.6)


def test_erk_by_hand():
    # Shares are 8, 20, 40. "thin" cannot keep 8 / 68 of 256, it stays dense;
    # the other 240 are split 20 : 40.
    saliency = {
        "thin": torch.ones(2, 2, 2, 2),
        "square": torch.ones(10, 10),
        "wide": torch.ones(20, 20),
    }
    total = keep_total(516, 1 - 256 / 516)
    assert total == 256
    counts = erk(saliency, 1 - 256 / 516)
    assert counts == {"thin": 16, "square": 80, "wide": 160}


@pytest.mark.parametrize("allocation", ALL)
def test_nothing_is_removed_at_zero(allocation):
    saliency = make([(3, 4), (1,), (2, 2, 2)])
    assert list(allocation(saliency, 0.0).values()) == [12, 1, 8]


@pytest.mark.parametrize("allocation", ALL)
def test_near_one_a_layer_is_never_empty_unless_asked(allocation):
    saliency = make([(100, 10), (1,), (1, 1)])
    assert sorted(allocation(saliency, 0.997).values()) == [1, 1, 1]
    with pytest.raises(UserError, match="3 tensors may keep 1 weights in all"):
        allocation(saliency, 0.999)
    assert sum(allocation(saliency, 0.999, min_keep=0).values()) == 1


@pytest.mark.parametrize("allocation", ALL)
@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.2, math.nan, "0.5"])
def test_sparsity_outside_the_range_is_refused(allocation, sparsity):
    with pytest.raises(UserError, match=r"`sparsity` must be in \[0, 1\), got"):
        allocation(make([(2, 2)]), sparsity)


@pytest.mark.parametrize("allocation", ALL)
def test_min_keep_is_checked(allocation):
    with pytest.raises(UserError, match="`min_keep` must be an integer >= 0"):
        allocation(make([(2, 2)]), 0.5, min_keep=-1)


def test_a_half_goes_to_the_even_neighbour():
    assert keep_total(5, 0.5) == 2
    assert keep_total(7, 0.5) == 4
