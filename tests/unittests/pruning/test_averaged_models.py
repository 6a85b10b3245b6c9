"""Averages of pruned weights: told when masks change, and masked."""

from functools import partial

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from leanbrain.checks import UserError
from leanbrain.pruning import AdaptivePruner, mask_average
from leanbrain.pruning.averaged_models import say_averages
from leanbrain.pruning.schedules import constant
from leanbrain.pruning.updates.rules import reselect

HALF = partial(constant, sparsity=0.5)


def net(width=16, layers=2):
    return torch.nn.Sequential(
        *(torch.nn.Linear(width, width, bias=False) for _ in range(layers))
    )


def training(model, averages, begin=0, steps=8, **settings):
    """Prunes a model by masks that change, and averages from a step on."""
    settings = {"update": reselect, "train_dormant": True, **settings}
    pruner = AdaptivePruner(HALF, steps, 1, exclude=[], **settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    pruner.manage({"enc": model})
    pruner.watch(optimizer)
    pruner.start()
    for step in range(steps):
        optimizer.zero_grad()
        pruner.enter(None)
        model(torch.randn(8, model[0].in_features)).square().sum().backward()
        optimizer.step()
        pruner.leave()
        pruner.finish_step()
        if step >= begin:
            for average, part in averages:
                average.update_parameters(part)
    return pruner


def stray(average, model):
    pairs = zip(average.parameters(), model.parameters(), strict=True)
    return sum(int(((a != 0) & (p == 0)).sum()) for a, p in pairs)


@pytest.mark.parametrize(
    ("ema", "seed"), [(None, 1), (get_ema_multi_avg_fn(0.9), 2)]
)
def test_an_average_over_changing_masks_is_told_and_masked(ema, seed, caplog):
    torch.manual_seed(seed)
    model = net()
    average = AveragedModel(model, multi_avg_fn=ema)
    pruner = training(model, [(average, model)])
    count = stray(average, model)
    assert pruner.frozen and count > 0
    told = say_averages(pruner)
    assert told == [average] and caplog.text.count("An AveragedModel of") == 1
    assert f"of Sequential holds {count} weights that are zero" in caplog.text
    assert f"from step {pruner.plan.end_step} on" in caplog.text
    assert say_averages(pruner, {average}) == []
    kept = [p.detach().clone() for p in average.parameters()]
    assert mask_average(average, model) == count
    for before, after, own in zip(
        kept, average.parameters(), model.parameters(), strict=True
    ):
        assert torch.equal(after, torch.where(own != 0, before, 0.0))
    assert say_averages(pruner) == []


def test_an_average_of_final_masks_is_not_told(caplog):
    model = net()
    late, idle = AveragedModel(model), AveragedModel(model)
    pruner = training(model, [(late, model)], begin=6)
    assert late.n_averaged > 1 and not idle.n_averaged
    assert not say_averages(pruner) and "AveragedModel" not in caplog.text
    assert not stray(late, model) and mask_average(late, model) == 0


def test_an_average_of_a_part_is_told_from_its_likes(caplog):
    """All layers are called alike, in this model and in another one."""
    torch.manual_seed(3)
    other, model = net(), net(layers=6)
    part = AveragedModel(model[3])
    foreign = AveragedModel(other)
    pruner = training(model, [(part, model[3]), (foreign, other)])
    assert say_averages(pruner) == [part]
    count = stray(part, model[3])
    assert f"of Linear holds {count} weights" in caplog.text
    assert mask_average(part, model[3]) == count
    assert foreign.module[0].weight.count_nonzero() == 16 * 16


def test_wrapped_models_are_told_and_masked():
    torch.manual_seed(4)
    model = net()
    compiled = torch.compile(model)  # compiles nothing unless it is called
    shared = torch.nn.DataParallel(model)
    averages = [AveragedModel(compiled), AveragedModel(shared)]
    pruner = training(model, [*zip(averages, [compiled, shared], strict=True)])
    told = say_averages(pruner)
    assert len(told) == 2 and all(any(x is y for y in told) for x in averages)
    for average in averages:
        assert mask_average(average, compiled) > 0 == stray(average, model)


def test_what_cannot_be_masked_is_one_sentence():
    model = net()
    average = AveragedModel(model)
    with pytest.raises(UserError, match="`model` must have a pruner, got a Se"):
        mask_average(average, model)
    training(model, [])
    short = AveragedModel(net(layers=1))
    dense = short.module[0].weight.detach().clone()
    with pytest.raises(UserError, match="without '1.weight' of its shape"):
        mask_average(short, model)
    assert torch.equal(short.module[0].weight, dense)
    young = net()
    pruner = AdaptivePruner(HALF, 8, 1)
    pruner.manage({"enc": young})
    with pytest.raises(UserError, match="must be final .* from step 6 on"):
        mask_average(AveragedModel(young), young)
