"""Trains with several pruners on a rank of two, and lets the ranks disagree.

    pruners_of_ranks.py <folder>

What a rank found goes to <folder>/<its number>.
"""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import speechbrain as sb
import torch
import torch.distributed as dist

from leanbrain.pruning.methods import load_method
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.ranks import agree_on_digest, sum_over_ranks, union_names
from leanbrain.pruning.schedules import cubic
from leanbrain.pruning.scores.basic import gradient
from leanbrain.pruning.scores.lookahead import LookAhead
from leanbrain.pruning.scores.tracking import TrackedScore
from leanbrain.pruning.updates.rules import drop_and_grow

LANGUAGES = ("en", "fr", "de")


FOLDER = Path(__file__).resolve().parents[3] / "hparams" / "pruning"
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
    "held": partial(growing_by, partial(TrackedScore, gradient)),
    "adaptive held": partial(of_file, "adaptive", heal=0.1),
}
HIGH = range(6, 20)  # steps in which one rank of those held has huge losses


def train(rank, pruner, held=""):
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
        high = held and step in HIGH and rank == 1
        # "en" of the adaptive one is never high: its masks go on.
        high = high and not (held == "adaptive held" and pathway == "en")
        pruner.guard_loss(pathway, loss * (1e3 if high else 1.0))
        optimizer.step()
        optimizer.zero_grad()
        pruner.finish_step()
        pruner.leave()
        digests.append(pruner.masks.digest())
    names = [target.name for target in pruner.targets]
    return {
        "digests": digests,
        "guard": pruner.guard.state_dict(),
        "dense": {name: pruner.switch.dense(name).clone() for name in names},
        "density": {p: pruner.masks.density(p) for p in pruner.pathways},
    }


def disagree(rank):
    """What the ranks agree on where each has something else."""
    cpu = torch.device("cpu")
    names = union_names([LANGUAGES[rank]], LANGUAGES, cpu)
    total = sum_over_ranks(rank + 3, cpu)
    try:
        agree_on_digest(f"digest of {rank}")
        message = "no error"
    except RuntimeError as error:
        message = str(error)
    return [sorted(names), total, message, *look_ahead_on(rank)]


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


def main(folder):
    """What a rank does."""
    sb.utils.distributed.ddp_init_group({"distributed_backend": "gloo"})
    rank = dist.get_rank()
    found = {
        name: train(rank, make(), name if "held" in name else "")
        for name, make in METHODS.items()
    }
    torch.save([found, disagree(rank)], Path(folder) / str(rank))


if __name__ == "__main__":
    main(sys.argv[1])
