"""Brains that validate with averaged weights and put their own back."""

import pytest
import speechbrain as sb
import torch


def averaging(toy, seen):
    """A Brain as the recipes of diffusion models write it."""

    class Brain(toy.Brain):
        def fit_batch(self, batch):
            loss = super().fit_batch(batch)
            self.average(0.8)
            return loss

        def average(self, decay):
            own = [p.detach().clone() for p in self.modules.parameters()]
            old = getattr(self, "means", own)
            pairs = zip(old, own, strict=True)
            self.means = [decay * a + (1 - decay) * b for a, b in pairs]

        def write(self, values):
            for p, value in zip(self.modules.parameters(), values, strict=True):
                p.data.copy_(value)

        def on_stage_start(self, stage, epoch=None):
            if stage == sb.Stage.VALID:
                parameters = self.modules.parameters()
                self.own = [p.detach().clone() for p in parameters]
                self.write(self.means)

        def compute_forward(self, batch, stage):
            if stage == sb.Stage.VALID:
                names = dict(self.modules.named_parameters())
                means = dict(zip(names, self.means, strict=True))
                raw = names["model.raw"].detach().clone()
                seen.append((batch.lang[0], raw, means["model.raw"]))
            return super().compute_forward(batch, stage)

        def on_stage_end(self, stage, stage_loss, epoch=None):
            if stage == sb.Stage.VALID:
                self.write(self.own)

    return Brain


def fit(toy, brain_of, pathways, valid, seen):
    """Trains for two epochs; returns the pruner and the weights."""
    pruner = toy.make_pruner(pathways=pathways)
    brain = brain_of(averaging(toy, seen), pruner)
    brain.fit(brain.counter, toy.loader(), valid)
    return pruner, [p.detach().clone() for p in brain.modules.parameters()]


@pytest.mark.parametrize("pathways", [("en", "fr"), ("all",)])
def test_averaged_weights_are_masked_and_training_goes_on(
    toy, brain_of, pathways
):
    """Every batch of a validation is of the averages, of no other weights."""
    seen = []
    pruner, weights = fit(toy, brain_of, pathways, toy.loader(4), seen)
    assert pruner.frozen and len(seen) == 8
    for lang, raw, mean in seen[4:]:  # with the masks of the end
        pathway = lang if len(pathways) > 1 else "all"
        mask = pruner.masks.get(pathway, "model.raw")
        assert torch.equal(raw, torch.where(mask, mean, 0.0))
        assert (mean[~mask] != 0).any()
    other, untouched = fit(toy, brain_of, pathways, None, [])
    assert other.masks.digest() == pruner.masks.digest()
    for weight, same in zip(weights, untouched, strict=True):
        assert torch.equal(weight, same)
