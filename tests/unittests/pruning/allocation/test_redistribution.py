"""by_gradient: exact totals, an oracle in plain Python, and its bounds."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.allocation.redistribution import by_gradient, first_then
from leanbrain.pruning.allocation.shares import erk, global_, per_layer
from leanbrain.pruning.updates.rules import replace_dropped


@st.composite
def models(draw):
    """Growth scores of a few tensors, active weights at -1."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    seed = draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    growth, active = {}, {}
    for i, size in enumerate(sizes):
        count = draw(st.integers(0, size))
        score = torch.randint(0, 9, (size,), generator=generator).float()
        score[torch.randperm(size, generator=generator)[:count]] = -1.0
        growth[f"w{i}"], active[f"w{i}"] = score, count
    return growth, active


def oracle(growth, active, total, drop):
    """Counts where nothing but the inactive weights is in the way."""
    counts = {name: n - round(drop * n) for name, n in active.items()}
    ranked = sorted(
        (
            (-value, tensor, place, name)
            for tensor, (name, scores) in enumerate(growth.items())
            for place, value in enumerate(scores.tolist())
            if value >= 0
        ),
    )
    for *_, name in ranked[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


@given(
    model=models(),
    sparsity=st.floats(0.0, 0.98),
    progress=st.floats(-0.2, 1.2),
    drop=st.floats(0, 1),
    min_keep=st.integers(0, 3),
    blind=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_total_is_exact_whatever_happens(
    model, sparsity, progress, drop, min_keep, blind
):
    growth, active = model
    sizes = {name: scores.numel() for name, scores in growth.items()}
    total = round((1.0 - sparsity) * sum(sizes.values()))
    least = {name: min(min_keep, size) for name, size in sizes.items()}
    settings = {
        "growth": None if blind else growth,
        "active": active,
        "progress": progress,
        "drop_fraction": drop,
        "min_keep": min_keep,
    }
    if sum(least.values()) > total:
        with pytest.raises(UserError, match="`min_keep` must let"):
            by_gradient(growth, sparsity, **settings)
        return
    counts = by_gradient(growth, sparsity, **settings)
    assert list(counts) == list(growth)
    assert sum(counts.values()) == total
    for name, count in counts.items():
        assert type(count) is int
        assert least[name] <= count <= sizes[name]
    raised = {name: max(active[name], least[name]) for name in sizes}
    if blind and sum(raised.values()) >= total:
        # Final masks can only shrink, but for the least that is kept.
        assert all(counts[name] <= raised[name] for name in sizes)


@given(model=models(), drop=st.floats(0, 1), more=st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_growth_against_the_oracle(model, drop, more):
    growth, active = model
    size = sum(scores.numel() for scores in growth.values())
    stay = sum(n - round(drop * n) for n in active.values())
    inactive = size - sum(active.values())
    total = stay + round(more * inactive)
    assume(total > stay)
    counts = by_gradient(
        growth,
        1.0 - total / size,
        growth=growth,
        active=active,
        drop_fraction=drop,
        min_keep=0,
    )
    assert counts == oracle(growth, active, total, drop)


@given(model=models(), sparsity=st.floats(0.0, 0.9), drop=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_its_update_grows_what_was_counted(model, sparsity, drop):
    growth, active = model
    counts = by_gradient(
        growth,
        sparsity,
        growth=growth,
        active=active,
        drop_fraction=drop,
        min_keep=0,
    )
    for name, scores in growth.items():
        mask = scores < 0
        new = replace_dropped(
            mask, scores + 9, scores, counts[name], 0.0, drop_fraction=drop
        )
        grown = int((new & ~mask).sum())
        stay = active[name] - round(drop * active[name])
        assert grown == min(max(counts[name] - stay, 0), int((~mask).sum()))
        assert int(new.sum()) == counts[name]


def test_density_goes_where_gradients_are_large():
    growth = {"a": torch.rand(1000), "b": 1.0 + torch.rand(1000)}
    for scores in growth.values():
        scores[:200] = -1.0
    active = {"a": 200, "b": 200}
    options = {"growth": growth, "active": active}
    assert by_gradient(growth, 0.8, **options) == {"a": 140, "b": 260}
    assert by_gradient(growth, 0.8, progress=1.0, **options) == active
    # Three times as sparse: half a cosine through, 0.15 are dropped.
    assert by_gradient(growth, 0.75, progress=0.5, **options) == {
        "a": 170,
        "b": 330,
    }


def test_a_tensor_without_gradients_keeps_its_share():
    growth = {"a": torch.rand(1000), "b": 1.0 + torch.rand(1000)}
    for scores in growth.values():
        scores[:200] = -1.0
    shapes = {**growth, "c": torch.ones(1000)}
    active = {"a": 200, "b": 200, "c": 200}
    options = {"growth": growth, "active": active}
    assert by_gradient(shapes, 0.8, **options) == {"a": 140, "b": 260, "c": 200}
    # As the total falls, so does its count; with it alone nothing moves.
    fewer = by_gradient(shapes, 0.9, **options)
    assert sum(fewer.values()) == 300 and fewer["c"] == 100
    alone = by_gradient(shapes, 0.8, growth={}, active=active)
    assert alone == active


def test_a_steep_schedule_prunes_in_proportion():
    growth = {"a": torch.rand(100), "b": torch.rand(100)}
    active = {"a": 80, "b": 40}
    counts = by_gradient(growth, 0.8, growth=growth, active=active)
    # 56 and 28 would stay; 40 may.
    assert counts == {"a": 27, "b": 13}


def test_without_growth_counts_are_scaled():
    shapes = {"a": torch.ones(100), "b": torch.ones(100)}
    counts = by_gradient(shapes, 0.85, active={"a": 40, "b": 20})
    assert counts == {"a": 20, "b": 10}
    counts = by_gradient(shapes, 0.5, active={"a": 90, "b": 0}, min_keep=0)
    assert counts == {"a": 99, "b": 1}


def test_an_empty_tensor_stays_empty_while_others_shrink():
    shapes = {"a": torch.ones(10), "b": torch.ones(10)}
    counts = by_gradient(shapes, 0.6, active={"a": 9, "b": 0}, min_keep=0)
    assert counts == {"a": 8, "b": 0}


def test_the_least_that_is_kept_is_not_grown_twice():
    growth = {"a": torch.tensor([9.0, 9.0]), "b": torch.ones(10)}
    counts = by_gradient(growth, 7 / 12, growth=growth, active={"a": 0, "b": 0})
    assert counts == {"a": 2, "b": 3}


def test_first_masks_are_those_of_another_allocation():
    scores = {"a": torch.ones(10, 10), "b": torch.ones(50, 50)}
    assert by_gradient(scores, 0.9) == erk(scores, 0.9)
    assert by_gradient(scores, 0.9, first=per_layer) == per_layer(scores, 0.9)
    empty = by_gradient(scores, 0.999, first=global_, min_keep=0)
    assert empty == {"a": 3, "b": 0}


def test_first_then():
    scores = {"a": torch.ones(10), "b": torch.zeros(10)}
    options = {"first": per_layer, "then": global_}
    first = first_then(scores, 0.5, **options)
    then = first_then(scores, 0.5, active={"a": 1, "b": 1}, **options)
    assert first == {"a": 5, "b": 5}
    assert then == {"a": 9, "b": 1}
    ignored = first_then(scores, 0.5, growth=scores, progress=1.0, **options)
    assert ignored == first


@pytest.mark.parametrize(
    "change, message",
    [
        ({"drop_fraction": 1.5}, r"`drop_fraction` must be in \[0, 1\]"),
        ({"active": {"a": 2}}, "`active` must .* got None for 'b'"),
        ({"active": {"a": 9, "b": 1}}, "`active` must .* got 9 for 'a'"),
        ({"min_keep": -1}, "`min_keep` must be an integer >= 0"),
        (
            {"growth": {"a": torch.tensor([math.nan] * 2), "b": torch.ones(2)}},
            "score of a` must be free of NaN",
        ),
    ],
)
def test_settings_are_checked(change, message):
    scores = {"a": torch.ones(2), "b": torch.ones(2)}
    options = {"growth": scores, "active": {"a": 0, "b": 1}, **change}
    with pytest.raises(UserError, match=message):
        by_gradient(scores, 0.25, **options)
