"""LazyScores: computed when asked for, once, and kept until they are taken."""

from types import SimpleNamespace

import pytest
import torch

from leanbrain.pruning.scores.lazy import LazyScores, shapes_of


@pytest.fixture
def lazy():
    targets = [
        SimpleNamespace(name=name, parameter=torch.zeros(size))
        for name, size in (("a", 2), ("b", 3))
    ]

    def compute(name):
        lazy.asked.append(name)
        return torch.ones(lazy.shapes[name])

    lazy = LazyScores(targets, compute)
    lazy.asked = []
    return lazy


def test_shapes_cost_nothing(lazy):
    assert {n: tuple(s) for n, s in shapes_of(lazy).items()} == {
        "a": (2,),
        "b": (3,),
    }
    assert list(lazy) == ["a", "b"] and len(lazy) == 2 and "c" not in lazy
    assert lazy.asked == []


def test_what_is_read_again_is_not_computed_again(lazy):
    assert lazy["a"] is lazy["a"]
    assert lazy.asked == ["a"]


def test_what_was_taken_is_forgotten(lazy):
    first = lazy["a"]
    assert lazy.take("a") is first
    assert lazy.take("b").numel() == 3
    assert not lazy._kept
    assert lazy.asked == ["a", "b"]


def test_an_unknown_name_is_refused(lazy):
    with pytest.raises(KeyError):
        lazy["c"]
