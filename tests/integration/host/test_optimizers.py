"""Parameter groups and the scaler of mixed precision."""

from functools import partial

import pytest
import torch

FUSED = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1, fused=True)
PLAIN = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)


def test_remove_vector_weight_decay(toy, assert_exact):
    """Parameter groups: targets are found in whichever they are."""
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner, remove_vector_weight_decay=True)
    brain.fit(brain.counter, toy.loader(), None)
    groups = brain.optimizer.param_groups
    assert [g["weight_decay"] for g in groups] == [0.0, 0.1]
    assert {id(t.parameter) for t in pruner.targets} <= {
        id(p) for p in groups[1]["params"]
    }
    assert_exact(pruner)


def begun(toy, optimizer, scale=None):
    """A run in which it is English's turn for a long time."""
    pruner = toy.make_pruner(total_steps=4000, interval=1000)
    brain = toy.make_brain(pruner=pruner, optimizer=optimizer)
    if scale is not None:
        brain.scaler = torch.GradScaler("cpu", init_scale=scale)
    brain.init_optimizers()
    pruner.start()
    brain.nonfinite_count, brain.nonfinite_patience = 0, 9
    return brain, pruner


@pytest.mark.parametrize("optimizer", [PLAIN, FUSED])
def test_a_step_that_the_scaler_skips(toy, optimizer):
    """Neither weights, nor masks, nor scores know of it, or of the scale."""
    good, bad, last = list(toy.loader(6))[::2]
    bad.x = bad.x * float("inf")
    brain, pruner = begun(toy, optimizer, scale=2.0**10)
    toy.step(brain, [good])
    weights = [p.detach().clone() for p in brain.modules.parameters()]
    digest = pruner.masks.digest()
    toy.step(brain, [bad])
    assert brain.scaler.get_scale() == 2.0**9
    assert (brain.optimizer_step, pruner.step) == (2, 1)
    assert pruner.masks.digest() == digest
    for weight, old in zip(brain.modules.parameters(), weights, strict=True):
        assert torch.equal(weight, old)
    toy.step(brain, [last])
    assert pruner.step == 2
    twin, other = begun(toy, optimizer)
    toy.step(twin, [good, last])
    for target in pruner.targets:
        theta = pruner.switch.dense(target.name)
        assert torch.equal(theta, other.switch.dense(target.name))
        score, unscaled = (
            p.scores.growth.value("en", target.name, theta)
            for p in (pruner, other)
        )
        assert torch.equal(score, unscaled) and score.any()


@pytest.mark.parametrize("optimizer", [PLAIN, FUSED])
def test_scaled_training_equals_unscaled(toy, optimizer, assert_exact):
    """A power of two as loss scale changes no bit: not of the masks either."""
    found = []
    for scale in (1.0, 2.0**10):
        pruner = toy.make_pruner()
        brain = toy.make_brain(pruner=pruner, optimizer=optimizer)
        if scale > 1:
            brain.scaler = torch.GradScaler("cpu", init_scale=scale)
        brain.fit(brain.counter, toy.loader(), None)
        assert_exact(pruner)
        weights = [pruner.switch.dense(t.name) for t in pruner.targets]
        found.append((pruner.masks.digest(), weights))
    assert found[0][0] == found[1][0]
    for plain, scaled in zip(found[0][1], found[1][1], strict=True):
        assert torch.equal(plain, scaled)
