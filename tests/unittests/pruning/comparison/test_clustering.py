"""Trees of languages: by hand, and laws that hold for any overlaps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.clustering import (
    closest_in,
    differs,
    grow_tree,
    mean_overlap,
    pair_overlaps,
)

NAMES = ["en", "ru", "de", "uk"]
# ru and uk at 0.9, en and de at 0.7, the rest 0.4, 0.5, 0.2, 0.3.
MATRIX = np.array(
    [
        [1.0, 0.4, 0.7, 0.5],
        [0.4, 1.0, 0.2, 0.9],
        [0.7, 0.2, 1.0, 0.3],
        [0.5, 0.9, 0.3, 1.0],
    ]
)


def overlap(names, matrix):
    return {"pathways": list(names), "matrix": np.asarray(matrix).tolist()}


@st.composite
def overlaps(draw):
    count = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    matrix = rng.random((count, count))
    # Few digits: ties, in which a tree is one of several.
    matrix = np.round(matrix, 1) if draw(st.booleans()) else matrix
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return [f"l{i}" for i in range(count)], matrix


def test_tree_by_hand():
    tree = grow_tree(NAMES, MATRIX)
    tops = sorted(max(distances) for _, distances in tree.branches)
    # The last one: the mean over the four pairs of the two groups.
    assert tops == pytest.approx([0.1, 0.3, 1 - (0.4 + 0.5 + 0.2 + 0.3) / 4])
    places = {name: i for i, name in enumerate(tree.leaves)}
    assert abs(places["ru"] - places["uk"]) == 1
    assert abs(places["en"] - places["de"]) == 1
    first = min(tree.branches, key=lambda x: max(x[1]))
    assert {first[0][0], first[0][3]} == {places["ru"], places["uk"]}
    assert (first[1][0], first[1][3]) == (0.0, 0.0)


@settings(max_examples=25, deadline=None)
@given(overlaps())
def test_trees_obey_their_laws(case):
    names, matrix = case
    tree = grow_tree(names, matrix)
    assert sorted(tree.leaves) == sorted(names)
    assert len(tree.branches) == len(names) - 1
    tops = [max(distances) for _, distances in tree.branches]
    pairs = pair_overlaps(names, matrix)
    assert min(tops) == pytest.approx(1 - max(pairs.values()))
    for _, (left, top, other, right) in tree.branches:
        # No branch is higher than what it is joined to.
        assert top == other >= max(left, right) - 1e-12


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6))
def test_the_order_of_languages_changes_no_height(count, seed):
    # Without rounding: where mergers tie, it may change them.
    matrix = np.random.default_rng(seed).random((count, count))
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    names = [f"l{i}" for i in range(count)]
    tops = [max(y) for _, y in grow_tree(names, matrix).branches]
    order = np.random.default_rng(0).permutation(len(names))
    mixed = matrix[np.ix_(order, order)]
    again = grow_tree([names[i] for i in order], mixed)
    heights = [max(y) for _, y in again.branches]
    assert sorted(tops) == pytest.approx(sorted(heights))


def test_equal_masks_are_joined_at_once():
    tree = grow_tree(["a", "b"], np.full((2, 2), 1.0 + 1e-12))
    assert max(tree.branches[0][1]) == 0.0


def test_a_tree_needs_two_leaves():
    with pytest.raises(UserError, match=r"at least two pathways, got \['a'\]"):
        grow_tree(["a"], np.ones((1, 1)))


def test_mean_overlap_puts_the_seeds_in_one_order():
    turned = [3, 1, 0, 2]
    other = overlap(
        [NAMES[i] for i in turned], 0.5 * MATRIX[np.ix_(turned, turned)]
    )
    names, mean = mean_overlap([overlap(NAMES, MATRIX), other])
    assert names == NAMES
    np.testing.assert_allclose(mean, 0.75 * MATRIX)


def test_mean_overlap_refuses_other_pathways():
    seeds = [overlap(NAMES, MATRIX), overlap(NAMES[:3], MATRIX[:3, :3])]
    with pytest.raises(UserError, match="same pathways in every seed"):
        mean_overlap(seeds)
    with pytest.raises(UserError, match="at least one matrix, got none"):
        mean_overlap([])


def test_no_pathways_at_all_are_no_difference():
    names, mean = mean_overlap([{"pathways": [], "matrix": []}])
    assert names == [] and not differs(mean)


@pytest.mark.parametrize(
    ("matrix", "wanted"),
    [
        ([[1.0]], False),
        ([[1.0, 1.0], [1.0, 1.0]], False),
        ([[1.0, 0.99], [0.99, 1.0]], True),
    ],
)
def test_differs_only_where_masks_differ(matrix, wanted):
    assert differs(np.asarray(matrix)) is wanted


def test_pairs_come_closest_first():
    pairs = pair_overlaps(NAMES, MATRIX)
    assert list(pairs)[0] == ("ru", "uk") and list(pairs)[-1] == ("ru", "de")
    assert len(pairs) == 6
    assert list(pairs.values()) == sorted(pairs.values(), reverse=True)


def test_a_tie_is_not_the_closest():
    tied = [[1.0, 0.5, 0.5], [0.5, 1.0, 0.2], [0.5, 0.2, 1.0]]
    seeds = [overlap(NAMES, MATRIX), overlap(["ru", "uk", "en"], tied)]
    assert closest_in(seeds, ("uk", "ru")) == 1
    assert closest_in(seeds, ("ru", "en")) == 0
