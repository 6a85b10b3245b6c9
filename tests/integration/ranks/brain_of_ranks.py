"""Trains the toy Brain with a pruner on a rank of two, and recovers it.

    brain_of_ranks.py <folder>

What a rank found goes to <folder>/found.<its number>.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

import speechbrain as sb
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

STEPS = 24
MICRO_BATCHES = 2


def toy_module():
    """The file of the toy Brain, here without pytest's fixtures."""
    file = Path(__file__).resolve().parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("toy_of_ranks", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digest_of(tensors):
    """A hash of all values, to the last bit."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def state_of(brain, pruner):
    """Hashes of the masks, of what parameters show, of what they hide."""
    hidden = (pruner.switch.dense(t.name) for t in pruner.targets)
    return (
        pruner.masks.digest(),
        digest_of(brain.modules.parameters()),
        digest_of(hidden),
    )


def batches(toy, rank):
    """Other sentences on every rank, and languages in another order."""
    order = torch.Generator().manual_seed(rank)
    every = toy.Batches(2 * STEPS * MICRO_BATCHES, seed=rank).items
    count = STEPS * MICRO_BATCHES // 2
    chosen = torch.randperm(len(every), generator=order)[:count].tolist()
    return [every[i] for i in chosen]


def train(rank, folder):
    """Two epochs with micro-batches, checkpoints and a validation."""
    toy = toy_module()
    pruner = toy.make_pruner(total_steps=STEPS)
    options = {
        "distributed_backend": "gloo",
        "device": "cpu",
        "grad_accumulation_factor": MICRO_BATCHES,
        "ckpt_interval_steps": 10,
    }
    brain = toy.make_brain(folder / "save", pruner, **options)
    states, finish = [], pruner.finish_step

    def spy():
        before = pruner.step
        finish()
        if pruner.step > before:
            states.append(state_of(brain, pruner))

    pruner.finish_step = spy
    data = batches(toy, rank)
    loader = DataLoader(data, batch_size=None, collate_fn=toy.identity)
    brain.fit(brain.counter, loader, toy.loader(2))
    again = toy.make_pruner(total_steps=STEPS)
    other = toy.make_brain(folder / "save", again, seed=5, **options)
    other.checkpointer.recover_if_possible()
    return {
        "states": states,
        "wrapped": type(brain.modules["model"]).__name__,
        "languages": [batch.lang[0] for batch in data],
        "recovered": state_of(other, again),
        "density": {p: pruner.masks.density(p) for p in pruner.pathways},
    }


def main(folder):
    """What a rank does."""
    sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})
    rank = dist.get_rank()
    torch.save(train(rank, folder), folder / f"found.{rank}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
