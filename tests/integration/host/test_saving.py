"""Brains that save in any of their hooks, within a batch too."""

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.files import load_tensors

HOOKS = ["batch_start", "batch_end", "valid_batch", "stage_start", "stage_end"]


def saving(toy, hook):
    """A Brain that saves in one of its hooks, every other time."""

    class Brain(toy.Brain):
        saved, called = (), 0

        def save(self, where):
            if where != hook or self.checkpointer is None:
                return
            self.called += 1
            if self.called % 2:
                found = self.checkpointer.save_checkpoint(end_of_epoch=False)
                self.saved += (found,)

        def on_fit_batch_start(self, batch, should_step):
            super().on_fit_batch_start(batch, should_step)
            self.save("batch_start")

        def on_fit_batch_end(self, batch, outputs, loss, should_step):
            self.save("batch_end")

        def compute_objectives(self, predictions, batch, stage):
            if stage == sb.Stage.VALID:
                self.save("valid_batch")
            return super().compute_objectives(predictions, batch, stage)

        def on_stage_start(self, stage, epoch=None):
            self.save("stage_start")

        def on_stage_end(self, stage, stage_loss, epoch=None):
            self.save("stage_end")

    return Brain


def fit(toy, brain_of, hook, factor, folder=None):
    pruner = toy.make_pruner(total_steps=20 // factor)
    brain = brain_of(
        saving(toy, hook), pruner, folder, grad_accumulation_factor=factor
    )
    # Both languages within a window.
    brain.fit(brain.counter, toy.loader(), toy.loader(3))
    return brain, pruner


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("hook", HOOKS)
def test_what_is_saved_is_at_rest_and_training_goes_on(
    toy, brain_of, tmp_path, hook, factor
):
    brain, pruner = fit(toy, brain_of, hook, factor, tmp_path)
    plain, other = fit(toy, brain_of, hook, factor)
    assert other.masks.digest() == pruner.masks.digest()
    pairs = zip(
        brain.modules.parameters(), plain.modules.parameters(), strict=True
    )
    assert all(torch.equal(a, b) for a, b in pairs)
    assert len(brain.saved) > 1
    masks = type(pruner.masks).from_targets(pruner.targets, pruner.pathways)
    for saved in brain.saved:
        model = torch.load(saved.paramfiles["model"])
        state = load_tensors(
            saved.paramfiles["pruner"], kind="leanbrain.pruner", version=1
        )["state"]
        masks.load_state_dict(state["masks"])
        started = bool(state["settled"])
        for name in masks.shapes if started else ():
            weight = model[name.removeprefix("model.")]
            count = round(masks.union_density(name) * weight.numel())
            assert int((weight != 0).sum()) == count, (saved, name)


@pytest.mark.parametrize(
    "error", [KeyError("their own"), RuntimeError("theirs"), UserError("ours.")]
)
def test_an_error_of_what_is_saved_is_not_the_disks(
    toy, brain_of, tmp_path, error
):
    class Broken:
        def state_dict(self):
            raise error

    from leanbrain.checkpointing import add_state

    brain = brain_of(saving(toy, "stage_end"), toy.make_pruner(), tmp_path)
    add_state(brain.checkpointer, "broken", Broken())
    with pytest.raises(type(error)) as caught:
        brain.fit(brain.counter, toy.loader(), None)
    assert caught.value is error
