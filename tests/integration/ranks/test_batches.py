"""A batch sampler in ``train_loader_kwargs`` on two gloo ranks."""

from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.ddp

PROGRAM = Path(__file__).with_name("batches_of_ranks.py")


def test_ranks_share_each_epoch_and_no_epoch_is_like_another(
    on_two_ranks, tmp_path
):
    on_two_ranks("late_writes", PROGRAM, tmp_path)
    one, two = (torch.load(tmp_path / f"found.{rank}") for rank in (0, 1))
    epochs = list(zip(one["seen"], two["seen"], strict=True))
    assert [(len(a), len(b)) for a, b in epochs] == [(20, 20)] * 4
    assert not any(set(a) & set(b) for a, b in epochs)
    assert all(x != y for x in epochs for y in epochs if x is not y)
    # Epochs 1 and 2 are the first pass; 0 is before it.
    assert len({i for a, b in epochs[1:3] for i in (*a, *b)}) == 80
    # With ranks of its own it would lose half of each rank's batches.
    assert "world_size=1, as SpeechBrain shares" in one["refused"]
