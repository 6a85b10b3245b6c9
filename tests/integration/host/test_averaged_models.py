"""An average that began too early is told, however the pruner got in."""

from contextlib import nullcontext

import pytest
from torch.optim.swa_utils import AveragedModel

from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.host.request import PruningRequest
from leanbrain.pruning.host.stock import StockPruning


def by_attach(toy, model):
    pruner = toy.make_pruner(pathways=["all"])
    return toy.ADAMW, pruner.attach, nullcontext()


def by_yaml(toy, model):
    pruner = toy.make_pruner(pathways=["all"])
    opt_class = PrunedOptimizer(toy.ADAMW, pruner, {"model": model})
    return opt_class, id, nullcontext()


def by_run(toy, model):
    return toy.ADAMW, id, StockPruning(PruningRequest("lap")).patching()


@pytest.mark.parametrize("way", [by_attach, by_yaml, by_run])
@pytest.mark.parametrize("early", [True, False])
def test_an_average_over_changing_masks_is_told(toy, way, early, caplog):
    """The script alone knows of it: it is no part of the Brain."""
    model = toy.Model()
    opt_class, connect, at_work = way(toy, model)
    hparams = {"random_state": toy.RandomState()}
    options = {"noprogressbar": True}
    brain = toy.Brain({"model": model}, opt_class, hparams, options)
    connect(brain)
    average, steps = AveragedModel(model), []

    def update(*_):
        steps.append(1)
        if early or len(steps) > 18:
            average.update_parameters(model)

    brain.on_fit_batch_end = update
    with at_work:
        brain.fit(range(2), toy.loader(), None)
    pairs = zip(average.module.parameters(), model.parameters(), strict=True)
    dense = any(((a != 0) & (p == 0)).any() for a, p in pairs)
    assert len(steps) == 20 and dense == early
    told = caplog.text.count("An AveragedModel of ToyModel holds")
    # At the end, and once before, when an epoch is over or the model is saved.
    assert told in ((1, 2) if early else (0,))
