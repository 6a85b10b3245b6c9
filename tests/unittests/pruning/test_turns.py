"""Turns: who gathers and who is due, with rare pathways and resumes."""

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.turns import Turns


def play(turns, steps, seen=lambda pathway: 99):
    """Step -> pathways due, where there are any."""
    return {
        step: due
        for step in range(1, steps + 1)
        if (due := turns.due(step, seen))
    }


def test_pathways_take_turns_of_the_interval():
    turns = Turns(["a", "b", "c"], interval=5)
    assert play(turns, 20) == {5: ("a",), 10: ("b",), 15: ("c",), 20: ("a",)}


def test_together_all_are_due_at_once():
    turns = Turns(["a", "b"], interval=5, together=True)
    assert turns.gathering() == ("a", "b")
    assert play(turns, 10) == {5: ("a", "b"), 10: ("a", "b")}


def test_a_rare_pathway_gets_a_longer_turn():
    turns = Turns(["a", "b"], interval=2, min_batches=3)
    assert turns.due(2, lambda p: 2) == ()
    assert turns.gathering() == ("a",)
    assert turns.due(3, lambda p: 3) == ("a",)
    assert turns.due(4, lambda p: 9) == ()


def test_an_unseen_pathway_does_not_block_the_others():
    turns = Turns(["a", "b"], interval=2, min_batches=1, patience=3)
    assert play(turns, 7, seen=lambda p: 0) == {6: ("a",)}
    assert turns.gathering() == ("b",)


def test_seen_is_asked_only_when_the_interval_is_over():
    turns = Turns(["a"], interval=10, min_batches=1)
    asked = []
    turns.due(9, lambda p: asked.append(p) or 1)
    assert asked == []
    turns.due(10, lambda p: asked.append(p) or 1)
    assert asked == ["a"]


def test_state_continues_the_turn():
    one, other = Turns(["a", "b"], 4), Turns(["a", "b"], 4)
    play(one, 6)
    other.load_state_dict(one.state_dict())
    for step in range(7, 20):
        assert one.due(step, lambda p: 1) == other.due(step, lambda p: 1)


def test_begin_starts_the_first_turn():
    turns = Turns(["a", "b"], 4)
    play(turns, 4)
    turns.begin(100)
    assert turns.gathering() == ("a",) and turns.due(103, lambda p: 1) == ()
    assert turns.due(104, lambda p: 1) == ("a",)


@pytest.mark.parametrize("interval", [0, -1, 1.5, True])
def test_an_interval_below_one_step_is_refused(interval):
    with pytest.raises(UserError, match="`interval` must be an integer >= 1"):
        Turns(["a"], interval)
