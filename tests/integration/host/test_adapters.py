"""SpeechBrain's adapters beside a pruner: the frozen base is no target."""

import pytest
import torch
from speechbrain.nnet.adapters import (
    AdaptedModel,
    HoulsbyAdapterLinear,
    LoRA,
)

from leanbrain.masking.merging import merge_adapters

ADAPTERS = {
    "lora": (LoRA, {"rank": 4}),
    "houlsby": (HoulsbyAdapterLinear, {"projection_size": 4}),
}


class Base(torch.nn.Module):
    """What was pruned before: every second weight is zero."""

    def __init__(self, size):
        super().__init__()
        self.first = torch.nn.Linear(size, size)
        self.middle = torch.nn.Linear(size, size)
        self.last = torch.nn.Linear(size, size)
        for layer in self.children():
            layer.weight.data.view(-1)[::2] = 0.0

    def forward(self, x):
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))


def adapted_brain(toy, brain_of, adapter, folder=None, epochs=2, **settings):
    """A Brain that trains the adapters of two layers, and its pruner."""
    adapter_class, kwargs = ADAPTERS[adapter]
    torch.manual_seed(0)
    base = Base(toy.FEATURES)
    model = AdaptedModel(
        base,
        adapter_class,
        target_layers=["first", "last"],
        adapter_kwargs=kwargs,
        **settings,
    )
    pruner = toy.make_pruner()
    brain = brain_of(toy.Brain, pruner, folder, model, epochs=epochs)
    return brain, pruner, base


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_frozen_base_is_no_target(toy, brain_of, adapter, caplog):
    brain, pruner, base = adapted_brain(toy, brain_of, adapter)
    frozen = {
        name: parameter.detach().clone()
        for name, parameter in base.named_parameters()
        if not parameter.requires_grad
    }
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    assert {t.name.split(".")[-2] for t in pruner.targets} == {
        "adapter_down_proj",
        "adapter_up_proj",
    }
    assert pruner.frozen
    assert 1 - pruner.masks.density("en") == pytest.approx(0.7, abs=0.01)
    assert len(frozen) == 6
    for name, parameter in base.named_parameters():
        if name in frozen:
            assert torch.equal(parameter, frozen[name])
    # Projections that begin as zeros were not pruned by anybody.
    assert "zero before pruning starts" not in caplog.text


def test_unfrozen_layers_are_targets_and_resume(toy, brain_of, tmp_path):
    """AdaptedModel saves what is trained alone: enough for the pruner."""

    def run(folder, epochs):
        brain, pruner, base = adapted_brain(
            toy, brain_of, "lora", folder, epochs, unfrozen_layers=["middle"]
        )
        brain.fit(brain.counter, toy.loader(), toy.loader(2))
        return pruner, base

    straight, base = run(tmp_path / "a", 2)
    assert "model.adapted_model.middle.weight" in straight.masks.shapes
    run(tmp_path / "b", 1)
    resumed, other = run(tmp_path / "b", 2)
    assert straight.frozen
    assert straight.masks.digest() == resumed.masks.digest()
    for a, b in zip(base.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_merged_after_training_the_base_is_as_sparse_as_before(toy, brain_of):
    """What is served is the stock model with the stock keys."""
    brain, pruner, base = adapted_brain(toy, brain_of, "lora")
    brain.fit(brain.counter, toy.loader(), None)
    stock = Base(toy.FEATURES)
    before = {n: p.detach().clone() for n, p in stock.named_parameters()}
    lost = merge_adapters(brain.modules.model)
    assert set(lost) == {"first", "last"} and all(lost.values())
    stock.load_state_dict(base.state_dict(), strict=True)
    for name in ("first", "last"):
        weight = stock.get_submodule(name).weight
        assert torch.equal(weight == 0, before[f"{name}.weight"] == 0)
    x = torch.randn(2, 5, toy.FEATURES)
    assert torch.equal(stock(x), brain.modules.model(x))
