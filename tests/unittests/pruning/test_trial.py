"""The first steps show what to leave dense, whichever way one prunes."""

from functools import partial

import pytest
import torch
from torch import nn

from leanbrain.checks import UserError
from leanbrain.masking.usage import LAST_LAYER, NO_PRODUCT
from leanbrain.pruning.choice import NO_GRADIENT
from leanbrain.pruning.host.opt_class import PrunedOptimizer
from leanbrain.pruning.pruner import AdaptivePruner
from leanbrain.pruning.schedules import constant

SGD = partial(torch.optim.SGD, lr=0.1)


class Net(nn.Module):
    """Layers of every kind, some of them reached by no gradient."""

    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(6, 6)
        self.sometimes = nn.Linear(6, 6)
        self.table = nn.Parameter(torch.randn(4, 6))
        self.head = nn.Linear(6, 4)
        self.unused = nn.Linear(6, 6)
        self.skips = False

    def forward(self, x):
        x = self.enc(x) + self.table
        if not self.skips:
            x = x + self.sometimes(x)
        with torch.no_grad():
            more = self.unused(x)
        return self.head(x + more)


def make(net, total_steps=40, **settings):
    """A pruner that rides on an optimizer, as YAML alone builds them."""
    settings = {"update": None, **settings}
    pruner = AdaptivePruner(
        partial(constant, sparsity=0.5), total_steps, 1, **settings
    )
    optimizer = PrunedOptimizer(SGD, pruner, {"net": net})(net.parameters())
    return pruner, optimizer


def step(net, optimizer):
    net(torch.randn(3, 4, 6)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def names(pruner):
    return [target.name for target in pruner.targets]


def test_what_no_gradient_reaches_or_is_no_weight_stays_dense(caplog):
    torch.manual_seed(0)
    net = Net()
    before = net.unused.weight.detach().clone()
    pruner, optimizer = make(net)
    with caplog.at_level("INFO"):
        for _ in range(20):
            assert not pruner.started
            step(net, optimizer)
    assert names(pruner) == ["net.enc.weight", "net.sometimes.weight"]
    assert pruner.left_out == {
        "net.table": NO_PRODUCT,
        "net.head.weight": LAST_LAYER,
        "net.unused.weight": NO_GRADIENT,
    }
    assert pruner.frozen and torch.equal(net.unused.weight, before)
    assert int((net.enc.weight == 0).sum()) == 18
    assert f"Left dense, {NO_GRADIENT}: net.unused.weight." in caplog.text
    assert "Prunes 2 of 9 parameters with 72 of 178 weights" in caplog.text


def test_the_first_step_is_enough_where_all_is_reached():
    net = Net()
    pruner, optimizer = make(net, exclude=["*unused*"])
    step(net, optimizer)
    assert pruner.trial is None and pruner.started
    # Patterns of one's own stand for the judgement of uses.
    assert "net.head.weight" in names(pruner)


def test_a_layer_that_is_skipped_at_random_is_waited_for():
    net = Net()
    pruner, optimizer = make(net, exclude=["*unused*"])
    net.skips = True
    step(net, optimizer)
    assert not pruner.started
    net.skips = False
    step(net, optimizer)
    assert pruner.started and "net.sometimes.weight" in names(pruner)


def test_a_model_of_one_layer_is_pruned():
    net = nn.Linear(6, 6)
    pruner, optimizer = make(net)
    step(net, optimizer)
    assert pruner.left_out == {} and int((net.weight == 0).sum()) == 18


def test_a_model_that_nothing_trains_is_refused():
    net = nn.ModuleDict({"a": nn.Linear(6, 6), "b": nn.Linear(1, 1)})
    pruner, optimizer = make(net)
    with pytest.raises(UserError, match="got none of 1 .without a gradient"):
        for _ in range(40):
            net["b"](torch.ones(1, 1)).sum().backward()
            optimizer.step()


def test_the_other_side_of_a_game_may_begin():
    layers = [nn.Linear(6, 6) for _ in range(3)]
    net = nn.ModuleDict({"g": nn.Sequential(*layers), "d": nn.Linear(1, 1)})
    pruner, optimizer = make(net, total_steps=100)
    for _ in range(30):
        net["d"](torch.ones(1, 1)).sum().backward()
        optimizer.step()
    assert not pruner.started
    net["g"](torch.ones(1, 6)).sum().backward()
    optimizer.step()
    assert pruner.started and names(pruner) == [
        "net.g.0.weight",
        "net.g.1.weight",
    ]


@pytest.mark.parametrize("after", [1, 25])
def test_a_resumed_run_knows_what_was_left_out(after):
    torch.manual_seed(0)
    net = Net()
    pruner, optimizer = make(net)
    for _ in range(after):
        step(net, optimizer)
    again = Net()
    again.load_state_dict(net.state_dict())
    twin, other = make(again)
    twin.load_state_dict(pruner.state_dict())
    for _ in range(25 - after):
        step(net, optimizer)
        step(again, other)
    assert (
        names(twin)
        == names(pruner)
        == [
            "net.enc.weight",
            "net.sometimes.weight",
        ]
    )
    assert twin.left_out == pruner.left_out and twin.frozen


def test_weights_that_do_not_learn_stay_through_the_trial():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    before = net[0].weight.detach().clone()
    pruner = AdaptivePruner(
        partial(constant, sparsity=0.5), 40, 1, update=None, train_weights=False
    )
    pruner.manage(net)
    pruner.try_first()
    optimizer = torch.optim.AdamW(net.parameters(), 0.1)
    pruner.watch(optimizer)
    pruner.trial.listen(net)
    step(net, optimizer)
    pruner.finish_step()
    assert pruner.frozen and names(pruner) == ["0.weight"]
    assert torch.equal(pruner.switch.dense("0.weight"), before)
