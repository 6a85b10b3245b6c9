"""A language model that decodes, and nothing trains, is never pruned."""

from functools import partial

import pytest
import speechbrain as sb
import torch
from speechbrain.utils.checkpoints import Checkpointer

from leanbrain.pruning.choice import NO_GRADIENT
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.stock import StockPruning
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.schedules import constant

SGD = partial(torch.optim.SGD, lr=0.01)
METHOD = """
total_steps: !PLACEHOLDER
pathways: !PLACEHOLDER
pruner: !new:leanbrain.pruning.AdaptivePruner
    total_steps: !ref <total_steps>
    pathways: [all]
    interval: 1
    update: null
    schedule: !name:leanbrain.pruning.schedules.constant
        sparsity: 0.5
"""


class Recogniser(sb.Brain):
    """Scores with a language model, outside of training."""

    def compute_forward(self, batch, stage):
        out = self.modules.model(batch[0])
        if stage != sb.Stage.TRAIN:
            self.seen = self.modules.lm.weight.detach().clone()
            out = out + self.modules.lm(out)
        return out

    def compute_objectives(self, predictions, batch, stage):
        return predictions.square().mean()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == sb.Stage.VALID:
            self.checkpointer.save_and_keep_only(meta={"loss": stage_loss})


def build(folder, opt_class, held):
    """A Brain of a recogniser and a language model that is saved or not."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(3)))
    modules = torch.nn.ModuleDict({"model": model, "lm": torch.nn.Linear(6, 6)})
    recoverables = {"model": modules if held else model}
    checkpointer = Checkpointer(folder, recoverables)
    options = {"noprogressbar": True}
    return Recogniser(
        modules, opt_class(modules, checkpointer), {}, options, checkpointer
    )


def pruner():
    return AdaptivePruner(partial(constant, sparsity=0.5), 25, 1, update=None)


def by_attach(folder, held, train):
    brain = build(folder, lambda *_: SGD, held)
    made = pruner().attach(brain)
    train(brain)
    return brain, made


def by_run(folder, held, train):
    folder.mkdir()
    method = folder / "method.yaml"
    method.write_text(METHOD)
    brain = build(folder / "save", lambda *_: SGD, held)
    stock = StockPruning(PruningRequest(method))
    with stock.patching():
        train(brain)
    return brain, stock.pruner


def by_yaml(folder, held, train):
    made = pruner()

    def pruned(modules, checkpointer):
        return PrunedOptimizer(SGD, made, modules, checkpointer)

    brain = build(folder, pruned, held)
    train(brain)
    return brain, made


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("way", [by_attach, by_run, by_yaml])
def test_what_nothing_trains_is_tested_as_it_was(way, held, tmp_path, caplog):
    data = torch.utils.data.TensorDataset(torch.randn(25, 6))

    def train(brain):
        lm = brain.modules.lm.weight.detach().clone()
        brain.fit(range(1), data, data)
        brain.evaluate(data)
        assert torch.equal(brain.seen, lm)

    brain, made = way(tmp_path / "run", held, train)
    names = [t.name for t in made.targets]
    assert names == ["model.0.weight", "model.1.weight"] and made.frozen
    assert int((brain.modules["model"][0].weight == 0).sum()) == 18
    why = NO_GRADIENT if held else "in no recoverable of the checkpointer"
    assert f"Left dense, {why}: lm.weight." in caplog.text
