"""per_group: proportions, exact totals, and patterns that are of no use."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.allocation.grouping import per_group
from leanbrain.pruning.allocation.shares import per_layer


def make(**sizes):
    """Tensors of these sizes."""
    return {name: torch.ones(size) for name, size in sizes.items()}


LAYERS = make(enc_a=100, enc_b=50, dec_a=200, dec_b=10)


@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    ratio=st.floats(0.05, 20),
    sparsity=st.floats(0.0, 0.95),
    min_keep=st.integers(0, 2),
)
@settings(max_examples=80, deadline=None)
def test_total_is_exact_and_densities_are_as_asked_for(
    sizes, ratio, sparsity, min_keep
):
    saliency = {f"{'ab'[i % 2]}{i}": torch.ones(s) for i, s in enumerate(sizes)}
    total = round((1.0 - sparsity) * sum(sizes))
    least = [min(min_keep, s) for s in sizes]
    relative = {"a*": ratio, "*": 1}
    if sum(least) > total:
        with pytest.raises(UserError, match="`min_keep` must let"):
            per_group(
                saliency, sparsity, relative_density=relative, min_keep=min_keep
            )
        return
    counts = per_group(
        saliency, sparsity, relative_density=relative, min_keep=min_keep
    )
    assert list(counts) == list(saliency)
    assert sum(counts.values()) == total
    density = {"a": set(), "b": set()}
    for (name, count), low in zip(counts.items(), least, strict=True):
        size = saliency[name].numel()
        assert low <= count <= size
        if low < count < size:  # no bound in the way: one rounding off
            density[name[0]].add((count, size))
    for (one, size_a), (two, size_b) in (
        (x, y) for x in density["a"] for y in density["b"]
    ):
        # |count - exact| < 1 for both of them.
        assert (one - 1) / size_a < ratio * (two + 1) / size_b + 1e-9
        assert (one + 1) / size_a > ratio * (two - 1) / size_b - 1e-9


def test_by_hand():
    counts = per_group(
        LAYERS, 0.5, relative_density={"enc_*": 1, "dec_*": 0.5}, min_keep=0
    )
    # 180 = c * (150 + 105): c = 0.70588
    assert counts == {"enc_a": 71, "enc_b": 35, "dec_a": 71, "dec_b": 3}


def test_a_group_never_exceeds_its_size():
    counts = per_group(LAYERS, 0.5, relative_density={"enc_*": 9, "*": 1})
    assert counts == {"enc_a": 100, "enc_b": 50, "dec_a": 29, "dec_b": 1}


def test_one_group_is_per_layer():
    for sparsity in (0.0, 0.3, 0.77, 0.9):
        counts = per_group(LAYERS, sparsity, relative_density={"*": 0.3})
        assert counts == per_layer(LAYERS, sparsity)


def test_the_first_pattern_that_matches_is_taken():
    relative = {"dec_b": 3, "dec_*": 2, "*": 1}
    counts = per_group(LAYERS, 0.9, relative_density=relative, min_keep=0)
    # 36 = c * (150 + 400 + 30)
    scale = 36 / 580
    for name, weight in (("enc_a", 1), ("dec_a", 2), ("dec_b", 3)):
        exact = scale * weight * LAYERS[name].numel()
        assert abs(counts[name] - exact) < 1


@pytest.mark.parametrize(
    "relative, message",
    [
        ({"enc_*": 1}, "must have a pattern for 'dec_a', got enc_"),
        ({}, "must have a pattern for 'enc_a', got none"),
        ({"*": 1, "dec_*": 2}, r"pattern 'dec_\*' must be the first"),
        ({"*": 0}, r"`relative_density.\*` must be a finite number > 0, got 0"),
        ({"*": math.nan}, r"`relative_density.\*` must be a finite"),
    ],
)
def test_patterns_are_checked(relative, message):
    with pytest.raises(UserError, match=message):
        per_group(LAYERS, 0.5, relative_density=relative)


def test_a_pattern_of_another_model_is_told_once_and_has_no_effect(caplog):
    relative = {"frontend_c*": 2, "*": 1}
    for _ in range(2):
        counts = per_group(LAYERS, 0.5, relative_density=relative)
        assert counts == per_layer(LAYERS, 0.5)
    assert caplog.text.count("pattern 'frontend_c*' matches no par") == 1
