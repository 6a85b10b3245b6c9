"""bf16 autocast: casts of weights follow the pathways, weights stay float32."""

from functools import partial

import pytest
import torch

from leanbrain.pruning.schedules import constant

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
HUGE = 1e9  # norm above which gradients are clipped: never


def casting(toy, seen):
    """A Brain that notes the type of what its model computes."""

    class Brain(toy.Brain):
        def compute_forward(self, batch, stage):
            out = super().compute_forward(batch, stage)
            seen.add(out.dtype)
            return out

    return Brain


def fit(toy, brain_of, precision, pruner=None, prepare=None):
    """Trains a toy; returns its Brain and the types of its outputs."""
    seen = set()
    options = {"precision": precision, "eval_precision": precision}
    made = casting(toy, seen)
    brain = brain_of(made, pruner, max_grad_norm=HUGE, **options)
    brain.opt_class = SGD
    if prepare is not None:
        prepare(dict(brain.modules.named_parameters()))
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    return brain, seen


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_pruned_training_is_that_of_the_masked_model(toy, brain_of, precision):
    """To the bit: a stock run whose weights and gradients are masked."""
    pruner = toy.make_pruner(
        pathways=["all"],
        schedule=partial(constant, sparsity=0.6),
        update=None,
        growth=None,
    )
    pruned, seen = fit(toy, brain_of, precision, pruner)
    wanted = torch.bfloat16 if precision == "bf16" else torch.float32
    assert seen == {wanted} and pruner.frozen

    def mask(parameters):
        for target in pruner.targets:
            kept = pruner.masks.get("all", target.name)
            parameters[target.name].data[~kept] = 0.0
            parameters[target.name].register_hook(kept.__mul__)

    stock, _ = fit(toy, brain_of, precision, prepare=mask)
    pairs = zip(
        pruned.modules.parameters(), stock.modules.parameters(), strict=True
    )
    for ours, theirs in pairs:
        assert ours.dtype == torch.float32 and torch.equal(ours, theirs)


@pytest.mark.parametrize("learns", [True, False])
def test_pathways_that_share_an_autocast_get_their_own_weights(toy, learns):
    """Autocast keeps what it cast, whatever is written to the weight."""
    brain, pruner = toy.ready()
    toy.step(brain, toy.loader(8))  # until the languages differ
    x = torch.randn(2, 5, toy.FEATURES)

    def outputs(*pathways):
        cast = torch.autocast("cpu", torch.bfloat16)
        found = []
        with cast, torch.set_grad_enabled(learns):
            for pathway in pathways:
                with pruner.switch.pathway(pathway):
                    found.append(brain.modules.model(x).detach())
        return found

    english, french = outputs("en") + outputs("fr")
    assert english.dtype == torch.bfloat16
    assert not torch.equal(english, french)
    together = outputs("en", "fr", "en")
    for one, other in zip(together, (english, french, english), strict=True):
        assert torch.equal(one, other)
