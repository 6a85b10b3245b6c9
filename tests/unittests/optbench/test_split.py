"""Muon and AdamW as one optimizer: each part, groups, hooks, state."""

import copy

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.split import MuonAdamW, bare_step

muon = pytest.mark.skipif(
    not hasattr(torch.optim, "Muon"), reason="this torch has no Muon"
)
SHAPES = [(), (5,), (4, 3), (3, 2, 3), (6, 2)]


def make(shapes=SHAPES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator))
        for shape in shapes
    ]


def set_gradients(params, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)


@muon
def test_each_part_is_the_optimizer_of_torch():
    ours, theirs = make(), make()
    both = MuonAdamW(ours, lr=0.02, weight_decay=0.1)
    matrices = torch.optim.Muon(
        [p for p in theirs if p.ndim == 2],
        lr=0.02,
        weight_decay=0.1,
        adjust_lr_fn="match_rms_adamw",
    )
    rest = torch.optim.AdamW(
        [p for p in theirs if p.ndim != 2],
        lr=0.02,
        weight_decay=0.1,
        foreach=True,
    )
    for seed in range(4):
        set_gradients(ours, seed)
        set_gradients(theirs, seed)
        both.step()
        matrices.step()
        rest.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)


@muon
def test_one_group_with_every_parameter_and_one_state_each():
    params = make()
    optimizer = MuonAdamW(params)
    set_gradients(params, 0)
    optimizer.step()
    assert len(optimizer.param_groups) == 1
    assert optimizer.param_groups[0]["params"] == params
    for p in params:
        assert ("momentum_buffer" in optimizer.state[p]) == (p.ndim == 2)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


@muon
def test_groups_given_by_the_caller_keep_their_settings():
    first, second = make([(3, 3), (3,)]), make([(3, 3), (3,)])
    optimizer = MuonAdamW(
        [{"params": first, "lr": 0.0}, {"params": second}], lr=0.1
    )
    before = [p.detach().clone() for p in first + second]
    set_gradients(first + second, 0)
    optimizer.step()
    moved = [
        not torch.equal(a, b)
        for a, b in zip(before, first + second, strict=True)
    ]
    assert moved == [False, False, True, True]


@muon
def test_a_schedule_and_global_hooks_reach_both_parts_once():
    params = make()
    optimizer = MuonAdamW(params)
    # Builds of the parts' classes make torch wrap their steps as well.
    torch.optim.AdamW(make()).step()
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("pre"))
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    handle = register_optimizer_step_post_hook(
        lambda *_: calls.append("global")
    )
    try:
        set_gradients(params, 0)
        optimizer.step()
    finally:
        handle.remove()
    assert calls == ["pre", "post", "global"]


@muon
@pytest.mark.parametrize(
    "copied", ["state_dict", "deepcopy"], ids=["state_dict", "deepcopy"]
)
def test_a_copy_continues_bit_for_bit(copied):
    params = make()
    optimizer = MuonAdamW(params, lr=0.01)
    for seed in range(3):
        set_gradients(params, seed)
        optimizer.step()
    if copied == "deepcopy":
        twins, twin = copy.deepcopy((params, optimizer))
    else:
        twins = copy.deepcopy(params)
        twin = MuonAdamW(twins, lr=0.5)
        twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in range(3, 6):
        for some, one in ((params, optimizer), (twins, twin)):
            set_gradients(some, seed)
            one.step()
    assert all(torch.equal(a, b) for a, b in zip(params, twins, strict=True))


def test_a_torch_without_muon_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(UserError, match=r"torch.optim.Muon \(torch >= 2.9\)"):
        MuonAdamW(make())


def test_bare_step_is_the_same_for_wrapped_and_new_classes():
    class Fresh(torch.optim.Optimizer):
        def step(self, closure=None):
            """Does nothing."""

    own = Fresh.step
    assert bare_step(Fresh) is own
    Fresh(make(), {})
    assert Fresh.step is not own and bare_step(Fresh) is own
