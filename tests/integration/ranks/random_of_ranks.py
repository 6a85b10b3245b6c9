"""Saves and resumes random generators on a rank of two.

    random_of_ranks.py <folder>

<folder>/one.ckpt is of a run with a single rank. What a rank drew goes to
<folder>/drawn.<its number>.
"""

import random
import sys
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
import torch.distributed as dist
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.checkpointing import SafeCheckpointer
from leanbrain.randomness import RandomState


def draw():
    """The next number of each generator."""
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def resumed(kind, folder, rank):
    """What is drawn after a checkpoint, and after resuming from it."""
    checkpointer = kind(folder, {"random_state": RandomState()})
    for step in range(2):  # the ranks have drawn unlike numbers by then
        for _ in range(step + 3 * rank):
            draw()
        checkpointer.save_checkpoint()
    straight = draw()
    state = RandomState()
    checkpointer = kind(folder, {"random_state": state})
    dist.barrier()
    checkpointer.recover_if_possible()
    assert state.resume()
    return straight, draw()


def main(folder):
    """What a rank does."""
    sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})
    rank = dist.get_rank()
    sb.utils.seed.seed_everything(1)  # as a YAML does, alike on all ranks
    drawn = {
        kind.__name__: resumed(kind, folder / kind.__name__, rank)
        for kind in (Checkpointer, SafeCheckpointer)
    }
    state = RandomState()
    state._load(folder / "one.ckpt", False)
    state.resume()
    drawn["of one"] = draw()
    torch.save(drawn, folder / f"drawn.{rank}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
