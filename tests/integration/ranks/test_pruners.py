"""Two gloo ranks with different languages stay identical."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from leanbrain.pruning.ranks import agree_on_digest, sum_over_ranks, union_names

pytestmark = pytest.mark.ddp

PROGRAM = Path(__file__).with_name("pruners_of_ranks.py")
METHODS = (
    "by gradient",
    "looking ahead",
    "adaptive",
    "learned",
    "held",
    "adaptive held",
)


@pytest.fixture(scope="module")
def both(on_two_ranks, tmp_path_factory):
    """What the ranks found, and what they said when they disagreed."""
    folder = tmp_path_factory.mktemp("ranks")
    on_two_ranks("late_writes", PROGRAM, folder)
    return [torch.load(folder / str(rank)) for rank in (0, 1)]


@pytest.fixture
def ranks(both):
    """What each rank found, by method."""
    return [found for found, _ in both]


@pytest.fixture
def disagreed(both):
    """What each rank says after they disagreed."""
    return [said for _, said in both]


def test_every_method_was_tried(ranks):
    assert [tuple(found) for found in ranks] == [METHODS] * 2


@pytest.mark.parametrize("name", METHODS)
def test_masks_and_weights_are_identical_on_both_ranks(ranks, name):
    one, two = (found[name] for found in ranks)
    assert one["digests"] == two["digests"] and len(set(one["digests"])) > 5
    assert one["density"] == two["density"]
    if "held" not in name:
        assert all(abs(d - 0.3) < 0.01 for d in one["density"].values())
    for weight, dense in one["dense"].items():
        assert torch.equal(dense, two["dense"][weight])


def test_ranks_hold_the_same_masks_by_the_losses_of_all(ranks):
    """Only one rank has losses that are too high."""
    for name in METHODS:
        one, two = (found[name] for found in ranks)
        assert one["guard"] == two["guard"]
    held, free = ranks[0]["held"], ranks[0]["by gradient"]
    assert held["guard"]["worst"] and not free["guard"]["worst"]
    assert sum(held["density"].values()) > sum(free["density"].values())


def test_different_masks_are_noticed_on_every_rank(disagreed):
    for names, total, message, *_ in disagreed:
        assert names == ["en", "fr"] and total == 7
        assert "must be the same on all ranks" in message


def test_ranks_look_ahead_by_the_batches_that_each_saw(disagreed):
    """Ranks without new batches neither halve the news nor seem blind."""
    (first, seen), (second, later) = disagreed[0][3:]
    assert first.tolist() == [0.75, 0.25] and (seen, later) == (3, 2)
    # Two more of the other rank alone: what went before fades a little.
    assert second[0] < 0.75 and second[1] > 0.25
    step = [0.03 / (1 - 0.97**n) for n in (4, 5)]
    kept = (1 - step[0]) * (1 - step[1])
    assert second.tolist() == pytest.approx([0.75 * kept, 1 - 0.75 * kept])
    (same, _), (again, _) = disagreed[1][3:]
    assert torch.equal(first, same) and torch.equal(second, again)
    assert disagreed[1][3][1] == 3 and disagreed[1][4][1] == 2


def test_a_single_process_agrees_with_itself():
    assert "RANK" not in os.environ or not dist.is_initialized()
    assert union_names(["fr"], ("en", "fr"), torch.device("cpu")) == {"fr"}
    assert sum_over_ranks(5, torch.device("cpu")) == 5
    agree_on_digest("anything")
