"""A Brain on two gloo ranks: the same masks and weights after every update."""

from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.ddp

PROGRAM = Path(__file__).with_name("brain_of_ranks.py")
STEPS = 24


@pytest.fixture(scope="module")
def ranks(on_two_ranks, tmp_path_factory):
    """What both ranks saw."""
    folder = tmp_path_factory.mktemp("ranks")
    on_two_ranks("late_writes", PROGRAM, folder)
    return [torch.load(folder / f"found.{rank}") for rank in (0, 1)]


def test_ranks_are_identical_after_every_update(ranks):
    one, two = ranks
    assert one["wrapped"] == "DistributedDataParallel"
    assert one["languages"] != two["languages"]
    assert one["states"] == two["states"] and len(one["states"]) == STEPS
    masks, shown, hidden = map(set, zip(*one["states"], strict=True))
    assert len(shown) == len(hidden) == STEPS and len(masks) > 5
    assert one["density"] == two["density"]
    assert all(abs(d - 0.3) < 0.01 for d in one["density"].values())


def test_the_checkpoint_of_one_rank_serves_both(ranks):
    """Only the first writes it; nothing of the other is missing."""
    one, two = ranks
    assert one["recovered"] == two["recovered"] == one["states"][-1]
