"""Two gloo ranks with different languages stay identical."""

import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from leanbrain.pruning.methods import load_method
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.ranks import agree_on_digest, sum_over_ranks, union_names
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.scores.basic import gradient
from leanbrain.pruning.scores.lookahead import LookAhead
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.updates.rules import drop_and_grow

pytestmark = pytest.mark.ddp

LANGUAGES = ("en", "fr", "de")


FOLDER = Path(__file__).resolve().parents[2] / "hparams" / "pruning"
STEPS = 24


def growing_by(growth):
    """Drop and grow in turns: a rank may see no batch of the pathway."""
    return AdaptivePruner(
        partial(cubic, initial=0.3, final=0.7),
        total_steps=STEPS,
        interval=2,
        pathways=LANGUAGES,
        update=partial(drop_and_grow, drop_fraction=0.4),
        growth=growth(),
    )


def of_file(name, **settings):
    """A method of hparams/pruning."""
    own = {"total_steps": STEPS, "pathways": LANGUAGES, "interval": 2}
    file = FOLDER / f"{name}.yaml"
    return load_method(file, **own, **settings)["pruner"]


METHODS = {
    "by gradient": partial(growing_by, partial(TrackedScore, gradient)),
    "looking ahead": partial(growing_by, LookAhead),
    "adaptive": partial(of_file, "adaptive"),
    "learned": partial(of_file, "learned", relative_density={"*": 1.0}),
}


def train_all(rank, file, out):
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{file}", rank=rank, world_size=2
    )
    found = {name: train(rank, make()) for name, make in METHODS.items()}
    torch.save(found, f"{out}.{rank}")
    dist.destroy_process_group()


def train(rank, pruner):
    """Trains on batches whose languages differ between the ranks."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 8)
    )
    pruner.manage(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pruner.watch(optimizer)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    pruner.start()
    digests = []
    generator = torch.Generator().manual_seed(rank)
    for step in range(STEPS):
        language = LANGUAGES[(step + rank * (1 + step % 2)) % 3]
        pathway = pruner.enter(SimpleNamespace(lang=[language]))
        x = torch.randn(4, 8, generator=generator)
        loss = (wrapped(x) - x.roll(1, -1)).pow(2).mean()
        if pruner.loss_weights is not None:
            loss = pruner.loss_weights.weigh(pathway, loss)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        pruner.finish_step()
        pruner.leave()
        digests.append(pruner.masks.digest())
    names = [target.name for target in pruner.targets]
    return {
        "digests": digests,
        "dense": {name: pruner.switch.dense(name).clone() for name in names},
        "density": {p: pruner.masks.density(p) for p in pruner.pathways},
    }


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both ranks have found by every method."""
    folder = tmp_path_factory.mktemp("ranks")
    mp.spawn(train_all, (str(folder / "rendezvous"), str(folder / "out")), 2)
    return [torch.load(folder / f"out.{rank}") for rank in (0, 1)]


@pytest.mark.parametrize("name", METHODS)
def test_masks_and_weights_are_identical_on_both_ranks(ranks, name):
    one, two = (found[name] for found in ranks)
    assert one["digests"] == two["digests"] and len(set(one["digests"])) > 5
    assert one["density"] == two["density"]
    assert all(abs(d - 0.3) < 0.01 for d in one["density"].values())
    for weight, dense in one["dense"].items():
        assert torch.equal(dense, two["dense"][weight])


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
    saved = [sorted(names), total, message, *look_ahead_on(rank)]
    torch.save(saved, f"{out}.{rank}")
    dist.destroy_process_group()


def look_ahead_on(rank):
    """Means of g, and batches: one rank saw three, then the other one."""
    weight, score, found = torch.ones(2), LookAhead(), []
    for batches in [(3, 1), (0, 2)]:
        for _ in range(batches[rank]):
            slope = torch.tensor([1.0, 0.0] if rank == 0 else [0.0, 1.0])
            score.observe("en", "w", weight, slope)
        score.reduce("en")
        means = score.state_dict()["means"]["en"]["w"]["values"]
        found.append((means.clone(), score.seen("en")))
        score.reset("en")
    return found


@pytest.fixture(scope="module")
def disagreed(tmp_path_factory):
    """What both ranks say after they disagreed."""
    folder = tmp_path_factory.mktemp("disagreed")
    mp.spawn(disagree, (str(folder / "rendezvous"), str(folder / "out")), 2)
    return [torch.load(folder / f"out.{rank}") for rank in (0, 1)]


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
    assert union_names(["fr"], LANGUAGES, torch.device("cpu")) == {"fr"}
    assert sum_over_ranks(5, torch.device("cpu")) == 5
    agree_on_digest("anything")
