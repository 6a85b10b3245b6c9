"""Brains that write weights in place, by `.data` or as autograd sees it."""

from functools import partial

import pytest
import torch

from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.rewinding import Rewind
from leanbrain.pruning.schedules import linear
from leanbrain.pruning.updates.rules import prune_only


def halve(weight, through):
    through(weight).mul_(0.7)


def clip(weight, through):
    """Few weights exceed the bound, the same ones again and again."""
    through(weight).clamp_(-0.3, 0.3)


def average(weight, through):
    """As `copy_to` of an average that was never pruned."""
    generator = torch.Generator().manual_seed(weight.numel())
    mean = torch.randn(weight.shape, generator=generator) * 0.1
    through(weight).copy_(0.5 * weight.detach() + 0.5 * mean)


WRITES = [halve, clip, average]
BY = {"data": lambda w: w.data, "seen": lambda w: w.detach()}


def writing(toy, write, through, when):
    """A Brain that writes all its weights at every batch."""

    class Brain(toy.Brain):
        def write(self):
            for parameter in self.modules.parameters():
                write(parameter, through)

        def on_fit_batch_start(self, batch, should_step):
            super().on_fit_batch_start(batch, should_step)
            if when == "start":
                self.write()

        def on_fit_batch_end(self, batch, outputs, loss, should_step):
            if when == "end":
                self.write()

        def on_stage_end(self, stage, stage_loss, epoch=None):
            if when == "stage":
                self.write()

    return Brain


def weights_of(brain):
    return [p.detach().clone() for p in brain.modules.parameters()]


@pytest.mark.parametrize("when", ["start", "end", "stage"])
@pytest.mark.parametrize("write", WRITES)
def test_attached(toy, brain_of, write, when):
    """What is written stays, dormant values too, as if a counter moved."""
    runs = []
    for through in BY.values():
        pruner = toy.make_pruner()
        brain = brain_of(writing(toy, write, through, when), pruner)
        brain.fit(brain.counter, toy.loader(), toy.loader(2))
        dense = [pruner.switch.dense(t.name).clone() for t in pruner.targets]
        runs.append([*weights_of(brain), *dense])
        assert pruner.frozen
    for data, seen in zip(*runs, strict=True):
        assert torch.equal(data, seen)


@pytest.mark.parametrize("write", WRITES)
def test_with_rewinding(toy, brain_of, write):
    """The copy to rewind to holds what was written before it was taken."""
    runs = []
    for through in BY.values():
        pruner = toy.make_pruner(
            schedule=partial(linear, initial=0.0, final=0.6),
            pathways=["all"],
            interval=5,
            update=prune_only,
            growth=None,
            rounds=2,
            heal=0.5,
            rewind=Rewind(0.4),
        )
        brain = brain_of(writing(toy, write, through, "end"), pruner)
        brain.fit(brain.counter, toy.loader(), None)
        copy = pruner.rewind.state_dict()["copy"].values()
        runs.append([*weights_of(brain), *copy])
    for data, seen in zip(*runs, strict=True):
        assert torch.equal(data, seen)


@pytest.mark.parametrize("write", WRITES)
def test_by_yaml_alone(toy, write):
    runs = []
    for through in BY.values():
        torch.manual_seed(0)
        model = toy.Model()
        pruner = toy.make_pruner(pathways=["all"])
        opt_class = PrunedOptimizer(
            partial(torch.optim.SGD, lr=0.1), pruner, {"model": model}
        )
        optimizer = opt_class(model.parameters())
        for batch in toy.loader(20).dataset.items:
            (model(batch.x) - batch.y).pow(2).mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            for parameter in model.parameters():
                write(parameter, through)
        assert pruner.frozen
        runs.append([p.detach().clone() for p in model.parameters()])
    for data, seen in zip(*runs, strict=True):
        assert torch.equal(data, seen)
