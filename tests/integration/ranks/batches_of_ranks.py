"""Trains on two ranks from a sampler that SpeechBrain shares out, or refuses.

batches_of_ranks.py <folder>
"""

import sys
from functools import partial
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from leanbrain.checks import UserError
from leanbrain.dataio.sampler import LanguageBatchSampler

COUNT = 80
OPTIONS = {
    "device": "cpu",
    "noprogressbar": True,
    "distributed_launch": True,
    "distributed_backend": "gloo",
}


class Recorder(sb.Brain):
    """Notes which utterances it is given in each epoch."""

    def compute_forward(self, batch, stage):
        return self.modules.m(torch.ones(1, 1))

    def compute_objectives(self, out, batch, stage):
        self.seen[-1] += batch.id
        return out.square().mean()

    def on_stage_start(self, stage, epoch=None):
        self.seen.append([])


def fit(**ranks):
    """What this rank has seen in four epochs, the first of which is 0."""
    data = DynamicItemDataset({str(i): {"lang": "en"} for i in range(COUNT)})
    data.set_output_keys(["id", "lang"])
    sampler = LanguageBatchSampler(
        [1.0] * COUNT, ["en"] * COUNT, 4.0, batches_per_epoch=10, **ranks
    )
    brain = Recorder(
        {"m": torch.nn.Linear(1, 1)},
        partial(torch.optim.SGD, lr=0.1),
        {},
        OPTIONS,
    )
    brain.seen = []
    options = {"batch_sampler": sampler}
    brain.fit(range(4), data, train_loader_kwargs=options)
    return brain.seen


def main(folder):
    """Writes what this rank has seen, and why it was refused."""
    sb.utils.distributed.ddp_init_group(OPTIONS)
    rank = torch.distributed.get_rank()
    found = {"seen": fit()}
    try:
        fit(rank=rank, world_size=2)
    except UserError as error:
        found["refused"] = str(error)
    torch.save(found, Path(folder) / f"found.{rank}")


if __name__ == "__main__":
    main(sys.argv[1])
