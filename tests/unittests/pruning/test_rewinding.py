"""Rewind: every parameter and buffer back, bit for bit, also under masks."""

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.masking import MaskSet, PathwaySwitch, select_targets
from leanbrain.pruning.rewinding import Rewind, lost_weights


class Model(torch.nn.Module):
    """A tied weight, a batch norm with buffers, a raw parameter."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(3, 3)
        self.b = torch.nn.Linear(3, 3)
        self.b.weight = self.a.weight
        self.norm = torch.nn.BatchNorm1d(3)
        self.raw = torch.nn.Parameter(torch.randn(2, 2))


def contents(model):
    return {n: t.detach().clone() for n, t in model.state_dict().items()}


def disturb(model):
    """Changes everything, as training does."""
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.add_(1)


def connected(model, at=0.0):
    rewind = Rewind(at)
    rewind.connect({"model": model}, steps=10)
    return rewind


def test_all_tensors_come_back_and_optimizers_forget():
    model = Model()
    rewind, before = connected(model), contents(model)
    rewind.take(0)
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    disturb(model)
    assert optimizer.state
    rewind.restore(None, [optimizer])
    after = contents(model)
    assert all(torch.equal(after[n], before[n]) for n in before)
    assert not optimizer.state


def test_dormant_weights_come_back_behind_the_masks():
    model = Model()
    before = contents(model)
    targets = select_targets({"model": model})
    masks = MaskSet.from_targets(targets, ["en"])
    switch = PathwaySwitch(targets, masks)
    rewind = connected(model)
    rewind.take(0, switch)
    assert switch.state == "rest"
    switch.expose()
    disturb(model)
    switch.commit(None)
    half = torch.eye(3).bool()
    masks.set("en", "model.a.weight", half)
    switch.refresh()
    rewind.restore(switch, [])
    weight = before["a.weight"]
    assert torch.equal(switch.dense("model.a.weight"), weight)
    assert torch.equal(model.a.weight, torch.where(half, weight, 0.0))
    assert torch.equal(model.norm.running_var, before["norm.running_var"])


@pytest.mark.parametrize("at, step", [(0.0, 0), (0.26, 3), (0.94, 9)])
def test_the_copy_is_taken_once_at_its_step(at, step):
    model = Model()
    rewind, seen = connected(model, at), None
    for done in range(12):
        rewind.take(done)
        if done == step:
            seen = contents(model)
        disturb(model)
        if done < step:
            with pytest.raises(UserError, match=f"model at step {step} only"):
                rewind.restore(None, [])
    rewind.restore(None, [])
    assert torch.equal(model.raw, seen["raw"])


def test_a_saved_copy_is_the_same():
    model = Model()
    rewind, before = connected(model), contents(model)
    rewind.take(0)
    disturb(model)
    second = connected(model)
    second.load_state_dict(rewind.state_dict())
    second.take(0)  # does not replace it
    second.restore(None, [])
    assert torch.equal(model.raw, before["raw"])


def test_a_tied_weight_is_kept_once():
    rewind = connected(Model())
    rewind.take(0)
    copy = rewind.state_dict()["copy"]
    assert "model.a.weight" in copy and "model.b.weight" not in copy
    assert "model.norm.num_batches_tracked" in copy


def test_a_copy_of_another_model_is_refused():
    other = Rewind()
    other.connect(torch.nn.Linear(1, 1), 10)
    other.take(0)
    with pytest.raises(UserError, match="must be of this model, .* 'bias'"):
        connected(Model()).load_state_dict(other.state_dict())


def test_at_is_checked():
    with pytest.raises(UserError, match="`at` must be in .* got 1.0"):
        Rewind(at=1.0)
    with pytest.raises(UserError, match="of 10 steps, got 0.96: step 10"):
        connected(Model(), at=0.96)


def test_only_lost_weights_count():
    before = MaskSet({"w": (2, 2)}, ["en", "fr"])
    half = torch.eye(2).bool()
    before.set("fr", "w", half)
    after = before.clone()
    assert not lost_weights(before, after)
    after.set("fr", "w", torch.ones(2, 2, dtype=torch.bool))
    assert not lost_weights(before, after)  # only grown
    after.set("fr", "w", ~half)
    assert lost_weights(before, after)
