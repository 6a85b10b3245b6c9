"""Random generators on two ranks: each goes on with its own."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from leanbrain.randomness import RandomState

pytestmark = pytest.mark.ddp

PROGRAM = Path(__file__).with_name("random_of_ranks.py")


def test_each_rank_goes_on_with_its_own_numbers(on_two_ranks, tmp_path):
    RandomState()._save(tmp_path / "one.ckpt")
    straight = random.random(), float(np.random.rand()), float(torch.rand(()))
    done = on_two_ranks("late_writes", PROGRAM, tmp_path)
    one, two = (torch.load(tmp_path / f"drawn.{rank}") for rank in (0, 1))
    for kind in ("Checkpointer", "SafeCheckpointer"):
        for drawn in (one, two):
            assert drawn[kind][0] == drawn[kind][1], kind
        assert not set(one[kind][1]) & set(two[kind][1]), kind
    # A run of one rank goes on with two.
    assert one["of one"] == straight
    assert not set(one["of one"]) & set(two["of one"])
    assert done.stderr.count("generators of 1 ranks, and there are 2") == 1
