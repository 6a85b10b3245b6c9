"""Gradient accumulation: whose gradients a step is made of."""

import speechbrain as sb
import torch
from torch.utils.data import DataLoader

NAME = "model.raw"


def test_micro_batches_left_over_at_the_end_of_an_epoch_move_nothing(
    toy, brain_of
):
    """SpeechBrain drops their gradients: their pathway is in no step."""
    first = torch.zeros(toy.FEATURES, toy.FEATURES, dtype=torch.bool)
    first[0] = True
    pruner = toy.make_pruner(total_steps=100, interval=60)
    start = {}

    class Divided(toy.Brain):
        """With masks of the two languages that have nothing in common."""

        def on_stage_start(self, stage, epoch=None):
            if stage == sb.Stage.TRAIN and not start:
                pruner.masks.set("en", NAME, first)
                pruner.masks.set("fr", NAME, ~first)
                pruner.switch.refresh()
                start[NAME] = pruner.switch.dense(NAME).clone()

    brain = brain_of(Divided, pruner, grad_accumulation_factor=2)
    english, french = toy.loader(2)
    data = DataLoader(
        [english, english, french], batch_size=None, collate_fn=toy.identity
    )
    brain.fit(brain.counter, data, None)
    assert pruner.step == 2  # one of each epoch
    theta = pruner.switch.dense(NAME)
    assert (theta[0] != start[NAME][0]).all()
    assert torch.equal(theta[1:], start[NAME][1:])
