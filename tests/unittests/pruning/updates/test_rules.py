"""Mask updates: exact counts, ties by index, and a slow oracle."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.updates import rules as updates
from leanbrain.pruning.updates.rules import (
    cos_decay,
    drop_and_grow,
    prune_only,
    replace_dropped,
    reselect,
)

UPDATES = [prune_only, reselect, drop_and_grow, replace_dropped]
GROWING = [drop_and_grow, replace_dropped]
scores = st.lists(st.integers(0, 5), min_size=24, max_size=24)
masks = st.lists(st.booleans(), min_size=24, max_size=24)


def best(score, candidates, count):
    """The `count` best candidates; of equals the lowest index."""
    return set(sorted(candidates, key=lambda i: (-score[i], i))[:count])


def tensors(mask, saliency, growth, size):
    """The three inputs of an update as [2, size / 2] tensors."""
    return (
        torch.tensor(mask[:size]).view(2, -1),
        torch.tensor(saliency[:size]).float().view(2, -1),
        torch.tensor(growth[:size]).float().view(2, -1),
    )


def chosen(mask):
    """The indices that a mask keeps."""
    return set(mask.view(-1).nonzero().view(-1).tolist())


@given(
    mask=masks,
    saliency=scores,
    growth=scores,
    size=st.sampled_from([2, 12, 24]),
    share=st.floats(0, 1),
    progress=st.floats(-0.2, 1.2),
    drop=st.floats(0, 1),
)
@settings(max_examples=150, deadline=None)
def test_against_the_oracle(
    mask, saliency, growth, size, share, progress, drop
):
    inputs = tensors(mask, saliency, growth, size)
    active = {i for i in range(size) if mask[i]}
    inactive = set(range(size)) - active
    keep = round(share * size)

    result = drop_and_grow(*inputs, keep, progress, drop_fraction=drop)
    decay = 0.5 * (1 + math.cos(math.pi * min(max(progress, 0), 1)))
    grown = min(round(drop * decay * keep), len(inactive), keep)
    survivors = best(saliency, active, keep - grown)
    new = best(growth, inactive, keep - len(survivors))
    assert chosen(result) == survivors | new
    assert int(result.sum()) == keep

    result = replace_dropped(*inputs, keep, progress, drop_fraction=drop)
    stay = len(active) - round(drop * decay * len(active))
    grown = min(max(keep - stay, 0), len(inactive))
    survivors = best(saliency, active, keep - grown)
    assert chosen(result) == survivors | best(growth, inactive, grown)
    assert int(result.sum()) == keep

    result = reselect(*inputs, keep, progress)
    assert chosen(result) == best(saliency, range(size), keep)

    keep = round(share * len(active))
    result = prune_only(*inputs, keep, progress)
    assert chosen(result) == best(saliency, active, keep)


@pytest.mark.parametrize("update", UPDATES)
def test_result_is_new_bool_and_inputs_are_untouched(update):
    mask = torch.tensor([[True, True], [False, True]])
    saliency, growth = torch.rand(2, 2), torch.rand(2, 2)
    before = mask.clone(), saliency.clone(), growth.clone()
    result = update(mask, saliency, growth, 3, 0.5)
    assert result.dtype == torch.bool and result.shape == mask.shape
    result.fill_(True)
    for tensor, copy in zip((mask, saliency, growth), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("update", [prune_only, reselect])
def test_ten_equal_weights_keep_the_first_five(update):
    mask = torch.ones(10, dtype=torch.bool)
    result = update(mask, torch.ones(10), None, 5, 0.0)
    assert result.tolist() == [True] * 5 + [False] * 5


def test_equal_scores_drop_the_last_and_grow_the_first():
    mask = torch.tensor([False, True, True, False, True, True, False, False])
    result = drop_and_grow(
        mask, torch.ones(8), torch.ones(8), 4, 0.0, drop_fraction=0.5
    )
    # Kept: 1 and 2; grown: 0 and 3.
    assert chosen(result) == {0, 1, 2, 3}


@pytest.mark.parametrize("update", GROWING)
def test_dropped_weights_do_not_return_at_once(update):
    mask = torch.tensor([True, True, False, False])
    growth = torch.tensor([0.0, 9.0, 1.0, 2.0])
    saliency = torch.tensor([3.0, 1.0, 5.0, 5.0])
    result = update(mask, saliency, growth, 2, 0.0, drop_fraction=0.5)
    assert chosen(result) == {0, 3}


def test_growth_is_limited_by_the_inactive_weights():
    mask = torch.tensor([True, True, True, False])
    saliency = torch.tensor([1.0, 2.0, 3.0, 0.0])
    result = drop_and_grow(
        mask, saliency, torch.zeros(4), 3, 0.0, drop_fraction=1.0
    )
    assert chosen(result) == {1, 2, 3}


@pytest.mark.parametrize("keep, stays", [(10, 5), (15, 5), (4, 4), (19, 9)])
def test_the_share_dropped_is_that_of_the_active_weights(keep, stays):
    mask = torch.arange(20) < 10
    result = replace_dropped(
        mask, torch.rand(20), torch.rand(20), keep, 0.0, drop_fraction=0.5
    )
    assert int((result & mask).sum()) == stays
    assert int(result.sum()) == keep


def test_all_active_weights_stay_where_more_are_wanted():
    mask = torch.tensor([True, False, False, False])
    growth = torch.tensor([0.0, 1.0, 3.0, 2.0])
    result = drop_and_grow(mask, torch.zeros(4), growth, 3, 1.0)
    assert chosen(result) == {0, 2, 3}


@pytest.mark.parametrize("update", GROWING)
def test_at_the_end_nothing_is_dropped(update):
    mask = torch.arange(20) % 2 == 0
    result = update(mask, torch.rand(20), torch.rand(20), 10, 1.0)
    assert torch.equal(result, mask)


@pytest.mark.parametrize("update", GROWING)
def test_default_drops_three_tenths_at_the_start(update):
    mask = torch.arange(40) < 20
    result = update(mask, torch.rand(40), torch.rand(40), 20, 0.0)
    assert int((result & ~mask).sum()) == 6


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("keep", [0, 1])
def test_one_entry(update, keep):
    one = torch.ones(1, 1)
    result = update(one.bool(), one, one, keep, 0.0)
    assert result.tolist() == [[keep == 1]]


@pytest.mark.parametrize("update", UPDATES)
def test_a_long_tensor_reaches_the_exact_count(update):
    generator = torch.Generator().manual_seed(0)
    saliency = torch.rand(200, 300, generator=generator)
    growth = torch.rand(200, 300, generator=generator)
    mask = torch.rand(200, 300, generator=generator) < 0.5
    result = update(mask, saliency, growth, 17_777, 0.3)
    assert int(result.sum()) == 17_777


def test_cos_decay():
    values = [cos_decay(p) for p in (-0.1, 0.0, 0.25, 0.5, 1.0, 1.1)]
    assert values == pytest.approx([1, 1, 0.5 + 0.5**1.5, 0.5, 0, 0])


def test_prune_only_can_only_shrink():
    mask = torch.tensor([True, False, False])
    with pytest.raises(UserError, match=r"`keep` .* \(1\), .* shrink .* got 2"):
        prune_only(mask, torch.ones(3), None, 2, 0.0)


@pytest.mark.parametrize("update", GROWING)
def test_growing_needs_growth(update):
    message = f"`growth` must be .* {update.__name__}, got None"
    with pytest.raises(UserError, match=message):
        update(torch.ones(2) > 0, torch.ones(2), None, 1, 0.0)


@pytest.mark.parametrize("update", GROWING)
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, None])
def test_drop_fraction_is_checked(update, value):
    update = partial(update, drop_fraction=value)
    with pytest.raises(UserError, match=r"`drop_fraction` must be in \[0, 1\]"):
        update(torch.ones(2) > 0, torch.ones(2), torch.ones(2), 1, 0.0)


@pytest.mark.parametrize("update", GROWING)
def test_nan_in_growth_is_refused(update):
    growth = torch.tensor([math.nan, 1.0])
    with pytest.raises(UserError, match="`growth` must be free of NaN, got 1"):
        update(torch.ones(2) > 0, torch.ones(2), growth, 1, 0.0)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"saliency": torch.tensor([1.0, math.nan])},
            "`saliency` .* NaN, got 1",
        ),
        ({"saliency": torch.ones(3)}, r"`saliency` .* \(2,\); got \(3,\)"),
        ({"saliency": torch.ones(2).int()}, "`saliency` .* floating-point"),
        ({"mask": torch.ones(2)}, "`mask` must be a bool tensor, got"),
        ({"keep": 3}, r"`keep` .* \(2\).* got 3"),
        ({"keep": 1.5}, "`keep` must be an integer >= 0, got 1.5"),
        ({"keep": -1}, "`keep` must be an integer >= 0, got -1"),
    ],
)
def test_every_update_refuses(update, change, message):
    inputs = {
        "mask": torch.ones(2) > 0,
        "saliency": torch.ones(2),
        "growth": torch.ones(2),
        "keep": 1,
        "progress": 0.0,
    }
    with pytest.raises(UserError, match=message):
        update(**{**inputs, **change})


def test_top_mask_is_offered_here_too():
    assert updates.top_mask(torch.tensor([1.0, 2.0]), 1).tolist() == [
        False,
        True,
    ]


def test_favour_keeps_active_weights_unless_others_are_worth_more():
    mask = torch.tensor([True, True, False, False])
    saliency = torch.tensor([2.0, 1.0, 2.5, 1.4])
    for favour, kept in ((1.0, [0, 2]), (1.2, [0, 2]), (3.0, [0, 1])):
        new = reselect(mask, saliency, None, 2, 0.0, favour=favour)
        assert new.nonzero().flatten().tolist() == kept
    assert reselect(mask, saliency, None, 3, 0.0, favour=3.0).sum() == 3
    with pytest.raises(UserError, match="`favour` must be .*, got 0.5"):
        reselect(mask, saliency, None, 2, 0.0, favour=0.5)
