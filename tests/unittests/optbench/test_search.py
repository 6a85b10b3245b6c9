"""Points: AlgoPerf's own, split over studies; search spaces that are wrong."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.optbench.protocol.halton import halton
from leanbrain.optbench.protocol.search import SearchSpace

# What algoperf/halton.py of mlcommons/algorithmic-efficiency v0.6.0 returned,
# before it shuffles the order: (n, d) -> points.
GOLDEN = {
    (4, 1): [[0.2861242773], [0.8300193328], [0.3607963257], [0.4748225618]],
    (5, 2): [
        [0.2739744373, 0.2861242773],
        [0.9911667058, 0.8300193328],
        [0.2302307954, 0.3607963257],
        [0.3757038371, 0.4748225618],
        [0.4753986489, 0.8744189292],
    ],
    (3, 5): [
        [0.3641415259, 0.6914475934, 0.1371460696, 0.2739744373, 0.2861242773],
        [0.4427351143, 0.9221376037, 0.8065421802, 0.9911667058, 0.8300193328],
        [0.5058168103, 0.3505619085, 0.2569004197, 0.2302307954, 0.3607963257],
    ],
}

# From number 991 on points have two digits or more in every base.
GOLDEN_LATE = {
    890: [0.4996630806522072, 0.049656453722110694, 0.6869527221880578],
    895: [0.907032579116895, 0.14324750153492838, 0.7162160925210548],
    899: [0.18543585444954602, 0.7536239003141756, 0.2369022681012769],
}

# As golden as the above: the search of four points in this space.
SPACE = {
    "lr": {"min": 1e-4, "max": 1e-2, "scaling": "log"},
    "momentum": {"min": 0.5, "max": 0.9, "scaling": "linear"},
    "smoothing": {"feasible_points": [0.0, 0.1, 0.2]},
}
GOLDEN_SPACE = [
    (0.00018805814126031094, 0.6095897749061345, 0.0),
    (0.004102837916179185, 0.8964666823323807, 0.2),
    (0.0003264380984723828, 0.5920923181411294, 0.1),
    (0.00022388974765184526, 0.650281534824751, 0.1),
]


@pytest.mark.parametrize("shape", GOLDEN)
def test_halton_has_the_values_of_algoperf(shape):
    np.testing.assert_allclose(halton(*shape), GOLDEN[shape], atol=1e-10)


def test_halton_has_the_values_of_algoperf_far_out():
    points = halton(900, 3)
    for number, values in GOLDEN_LATE.items():
        np.testing.assert_allclose(points[number], values, atol=1e-15)


def test_search_space_has_the_values_of_algoperf():
    points = SearchSpace.from_mapping(SPACE).draw(1, 4)[0]
    assert [list(x) for x in points] == [list(SPACE)] * 4
    values = [list(x.values()) for x in points]
    np.testing.assert_allclose(values, GOLDEN_SPACE, rtol=1e-14)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8))
def test_halton_of_more_points_begins_with_those_of_fewer(n, more, d):
    np.testing.assert_array_equal(halton(n + more, d)[:n], halton(n, d))


@pytest.mark.parametrize("d", [1, 4, 12])
def test_halton_fills_the_cube_evenly(d):
    # Not as a grid of its own number would, but better than by chance: the
    # discrepancy of 1,000 random points is about 1.36/sqrt(1000) = 0.043.
    points = np.sort(halton(1000, d), axis=0)
    steps = np.arange(1, 1001)[:, None] / 1000
    assert np.all((0 <= points) & (points < 1))
    assert np.abs(points - steps).max() < 0.02


def test_as_many_dimensions_as_one_likes():
    points = halton(3, 200)
    assert points.shape == (3, 200)
    assert len({tuple(x) for x in points.T.round(9).tolist()}) == 200


def test_studies_split_one_sequence():
    space = SearchSpace.from_mapping(SPACE)
    studies = space.draw(studies=3, trials=5)
    assert [len(x) for x in studies] == [5, 5, 5]
    flat = [point for study in studies for point in study]
    assert flat == space.draw(1, 15)[0]
    # Drawn study by study all would be the same.
    assert len({point["lr"] for point in flat}) == 15


@given(
    st.floats(1e-6, 1e3),
    st.floats(1.0, 1e4),
    st.sampled_from(["linear", "log"]),
)
def test_points_lie_within_their_range(low, factor, scaling):
    high = low * factor
    space = {"x": {"min": low, "max": high, "scaling": scaling}}
    points = SearchSpace.from_mapping(space).draw(2, 20)
    values = [p["x"] for study in points for p in study]
    assert low * (1 - 1e-9) <= min(values) <= max(values) <= high * (1 + 1e-9)
    if factor > 2:
        middle = (low * high) ** 0.5 if scaling == "log" else (low + high) / 2
        share = sum(x < middle for x in values) / len(values)
        assert 0.35 <= share <= 0.65


def test_feasible_points_are_all_used():
    space = {"x": {"feasible_points": ["a", "b", None]}}
    points = SearchSpace.from_mapping(space).draw(1, 60)[0]
    counts = [sum(p["x"] == v for p in points) for v in ("a", "b", None)]
    assert sum(counts) == 60 and min(counts) >= 15


def test_full_points_are_handed_out_in_turn():
    listed = [{"lr": float(i)} for i in range(4)]
    studies = SearchSpace.from_mapping(listed).draw(2, 3)
    assert [[p["lr"] for p in x] for x in studies] == [[0, 1, 2], [3, 0, 1]]
    studies[0][0]["lr"] = 9.0
    assert listed[0] == {"lr": 0.0}
    space = SearchSpace.from_mapping(listed)
    with pytest.raises(UserError, match=r"trials \(5\), got 4\."):
        space.draw(2, 5)


@pytest.mark.parametrize("space", [None, {}])
def test_nothing_to_tune(space):
    assert SearchSpace.from_mapping(space).draw(2, 1) == [[{}], [{}]]


def entry(**keys):
    """A search space of one range, some of its keys in another way."""
    return {"lr": {"min": 0.1, "max": 1.0, "scaling": "log", **keys}}


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (
            entry(min=2.0),
            "`search_space.lr` must have min <= max, got min 2 and max 1.",
        ),
        (
            entry(min=0.0),
            "`search_space.lr` must have min > 0 for log scaling, got min 0.",
        ),
        (
            entry(min=-1),
            "`search_space.lr` must have min > 0 for log scaling, got min -1.",
        ),
        (
            entry(scaling="lgo"),
            "`search_space.lr.scaling` must be one of linear, log; got 'lgo'",
        ),
        (
            entry(maximum=3),
            "`key of search_space.lr` must be one of min, max, scaling; got "
            "'maximum' (nearest: max",
        ),
        (
            entry(feasible_points=[1]),
            "`key of search_space.lr` must be one of feasible_points; got "
            "'min'",
        ),
        (
            entry(max="1e-2"),
            "`search_space.lr.max` must be a finite number, got '1e-2'.",
        ),
        (
            entry(max=float("inf")),
            "`search_space.lr.max` must be a finite number, got inf.",
        ),
        (
            {"lr": {"min": 1, "max": 2}},
            "`search_space.lr` must have the key `scaling`.",
        ),
        (
            {"lr": {"feasible_points": []}},
            "`search_space.lr.feasible_points` must be a list of at least one "
            "value, got [].",
        ),
        ({"lr": 3}, "or with feasible_points, got 3."),
        ([], "`search_space` must list at least one point, got []."),
        ([{"lr": 1}, {"x": 1}], "got {'lr': 1} and {'x': 1}."),
        ("lr", "a list of points, got 'lr'."),
    ],
)
def test_wrong_spaces(space, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        SearchSpace.from_mapping(space)
