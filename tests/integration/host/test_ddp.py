"""A Brain on two gloo ranks: the same masks and weights after every update."""

import hashlib
import importlib.util
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.data import DataLoader

pytestmark = pytest.mark.ddp

STEPS = 24
MICRO_BATCHES = 2


def toy_module():
    """The file of the toy Brain, for processes without pytest's fixtures."""
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


def work(rank, folder):
    """What each process does."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    where = f"file://{folder / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    torch.save(train(rank, folder), folder / f"found.{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both ranks saw."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(work, (folder,), nprocs=2)
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
