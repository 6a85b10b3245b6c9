"""Schedule-free AdamW in a loop that does not know of its two weights."""

import copy

import pytest
import torch

from leanbrain.checks import UserError

schedulefree = pytest.importorskip(
    "schedulefree", reason="the extra `optimizers` is not installed"
)
from leanbrain.optbench.optimizers.schedule_free import (  # noqa: E402
    ScheduleFreeAdamW,
)

SETTINGS = {"lr": 0.05, "weight_decay": 0.1}


def make():
    torch.manual_seed(0)
    return torch.nn.Linear(4, 2)


def backward(model, seed):
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
    (model(x) ** 2).sum().backward()


def epoch(model, optimizer, seeds):
    """The order of calls in SpeechBrain's own training loop."""
    optimizer.zero_grad(set_to_none=False)
    for seed in seeds:
        backward(model, seed)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    optimizer.zero_grad(set_to_none=True)


def by_hand(model, seeds_of_epochs):
    """Weights after each epoch, with schedulefree told what to do."""
    optimizer = schedulefree.AdamWScheduleFree(model.parameters(), **SETTINGS)
    weights = []
    for seeds in seeds_of_epochs:
        optimizer.train()
        for seed in seeds:
            backward(model, seed)
            optimizer.step()
            optimizer.zero_grad()
        optimizer.eval()
        weights.append(model.weight.detach().clone())
    return weights


EPOCHS = [[1, 2, 3], [4, 5], [6]]


def test_a_loop_of_speechbrains_order_equals_one_told_by_hand():
    model = make()
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    for seeds, wanted in zip(EPOCHS, by_hand(make(), EPOCHS), strict=True):
        epoch(model, optimizer, seeds)
        assert torch.equal(model.weight, wanted)


def test_a_real_brain_validates_and_saves_the_averaged_weights():
    import speechbrain as sb

    seen = []

    class Brain(sb.Brain):
        def compute_forward(self, batch, stage):
            return self.modules.model(batch)

        def compute_objectives(self, predictions, batch, stage):
            return (predictions**2).sum()

        def on_stage_end(self, stage, stage_loss, epoch=None):
            if stage == sb.Stage.VALID:
                seen.append(self.modules.model.weight.detach().clone())

    def build(parameters):
        return ScheduleFreeAdamW(parameters, **SETTINGS)

    def batches(seeds):
        return [
            torch.randn(3, 4, generator=torch.Generator().manual_seed(s))
            for s in seeds
        ]

    brain = Brain(
        {"model": make()},
        build,
        run_opts={"noprogressbar": True, "max_grad_norm": 1e9},
    )
    epochs = [[1, 2, 3], [1, 2, 3]]
    brain.fit(range(2), batches(epochs[0]), batches([9]))
    for found, wanted in zip(seen, by_hand(make(), epochs), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_whoever_calls_train_or_eval_takes_over():
    model = make()
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    optimizer.train()
    for seed in range(3):
        optimizer.zero_grad()
        backward(model, seed)
        optimizer.step()
    optimizer.zero_grad()
    optimizer.zero_grad()
    assert optimizer.param_groups[0]["train_mode"]


def test_a_loop_of_another_order_is_refused():
    model = make()
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    optimizer.zero_grad()
    backward(model, 0)
    with pytest.raises(UserError, match="another order than SpeechBrain's"):
        optimizer.step()


def test_an_optimizer_frozen_at_first_joins_in_the_middle_of_an_epoch():
    model = make()
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    for seed in EPOCHS[0]:
        backward(model, seed)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    optimizer.zero_grad(set_to_none=True)
    assert torch.equal(model.weight, by_hand(make(), EPOCHS[:1])[0])


def test_a_checkpoint_within_an_epoch_continues_bit_for_bit():
    model = make()
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    optimizer.zero_grad(set_to_none=False)
    backward(model, 1)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    twin = copy.deepcopy(model)
    other = ScheduleFreeAdamW(twin.parameters(), **SETTINGS)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for some, one in ((model, optimizer), (twin, other)):
        backward(some, 2)
        one.step()
        one.zero_grad(set_to_none=True)
        one.zero_grad(set_to_none=True)
    assert torch.equal(model.weight, twin.weight)
    assert not other.param_groups[0]["train_mode"]


def test_a_step_that_the_scaler_skips_is_not_the_end_of_an_epoch():
    model, plain = make(), make()
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    optimizer.zero_grad(set_to_none=False)
    for seed, factor in ((1, 1.0), (7, float("inf")), (2, 1.0)):
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
        scaler.scale(factor * (model(x) ** 2).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
    assert optimizer.param_groups[0]["train_mode"]
    optimizer.zero_grad(set_to_none=True)
    wanted = by_hand(plain, [[1, 2]])[0]
    torch.testing.assert_close(model.weight, wanted, rtol=1e-6, atol=1e-7)


def test_step_hooks_fire_once():
    model = make()
    # Makes torch wrap the step of the parent class.
    schedulefree.AdamWScheduleFree(make().parameters())
    optimizer = ScheduleFreeAdamW(model.parameters(), **SETTINGS)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append("post"))
    epoch(model, optimizer, [1])
    assert calls == ["post"]
