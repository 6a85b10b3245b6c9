"""Two gloo ranks with different languages stay identical."""

import os
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.ranks import agree_on_digest, sum_over_ranks, union_names
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.scores import gradient
from leanbrain.pruning.tracking import TrackedScore
from leanbrain.pruning.updates import drop_and_grow

pytestmark = pytest.mark.ddp

LANGUAGES = ("en", "fr", "de")


def train(rank, file, out):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
    )
    pruner = AdaptivePruner(
        partial(cubic, initial=0.3, final=0.7),
        total_steps=24,
        interval=2,
        pathways=LANGUAGES,
        pathway_of=lambda batch: batch,
        update=partial(drop_and_grow, drop_fraction=0.4),
        growth=TrackedScore(gradient),
    )
    pruner.manage(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pruner.watch(optimizer)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    pruner.start()
    digests = []
    generator = torch.Generator().manual_seed(rank)
    for step in range(24):
        pruner.enter(LANGUAGES[(step + rank * (1 + step % 2)) % 3])
        x = torch.randn(4, 8, generator=generator)
        (wrapped(x) - x.roll(1, -1)).pow(2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        pruner.finish_step()
        pruner.leave()
        digests.append(pruner.masks.digest())
    torch.save(
        {
            "digests": digests,
            "dense": {
                t.name: pruner.switch.dense(t.name) for t in pruner.targets
            },
            "density": {p: pruner.masks.density(p) for p in LANGUAGES},
        },
        f"{out}.{rank}",
    )
    dist.destroy_process_group()


def test_masks_and_weights_are_identical_on_both_ranks(tmp_path):
    mp.spawn(train, (str(tmp_path / "rendezvous"), str(tmp_path / "out")), 2)
    one, two = (torch.load(tmp_path / f"out.{r}") for r in (0, 1))
    assert one["digests"] == two["digests"] and len(set(one["digests"])) > 5
    assert one["density"] == two["density"]
    assert all(abs(d - 0.3) < 0.01 for d in one["density"].values())
    for name, weight in one["dense"].items():
        assert torch.equal(weight, two["dense"][name])


def disagree(rank, file, out):
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    names = union_names([LANGUAGES[rank]], LANGUAGES, torch.device("cpu"))
    total = sum_over_ranks(rank + 3, torch.device("cpu"))
    try:
        agree_on_digest(f"digest of {rank}")
        message = "no error"
    except RuntimeError as error:
        message = str(error)
    torch.save([sorted(names), total, message], f"{out}.{rank}")
    dist.destroy_process_group()


def test_different_masks_are_noticed_on_every_rank(tmp_path):
    mp.spawn(disagree, (str(tmp_path / "rendezvous"), str(tmp_path / "out")), 2)
    for rank in (0, 1):
        names, total, message = torch.load(tmp_path / f"out.{rank}")
        assert names == ["en", "fr"] and total == 7
        assert "must be the same on all ranks" in message


def test_a_single_process_agrees_with_itself():
    assert "RANK" not in os.environ or not dist.is_initialized()
    assert union_names(["fr"], LANGUAGES, torch.device("cpu")) == {"fr"}
    assert sum_over_ranks(5, torch.device("cpu")) == 5
    agree_on_digest("anything")
