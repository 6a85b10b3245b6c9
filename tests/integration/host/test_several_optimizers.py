"""Brains that step more than one optimizer, or another one later on."""

from functools import partial

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.focal import FocalWeights
from leanbrain.pruning.schedules import constant

ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)
SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
HELD_UNTIL = 6
LATE = ("model.first.weight", "model.lstm.weight_ih_l0")


def two_optimizers(toy):
    """A Brain as wav2vec2 recipes write it: one optimizer is held back."""

    class Brain(toy.Brain):
        def init_optimizers(self):
            names = dict(self.modules.named_parameters())
            late = [names.pop(name) for name in LATE]
            self.late, self.early = ADAMW(late), ADAMW(names.values())
            self.optimizers_dict = {"late": self.late, "early": self.early}

        def freeze_optimizers(self, optimizers):
            if self.optimizer_step >= HELD_UNTIL:
                return optimizers
            return {"early": optimizers["early"]}

    return Brain


def test_an_optimizer_that_is_held_back_leaves_its_weights(
    toy, brain_of, assert_exact
):
    """Masks move from the start, weights when their optimizer does."""
    pruner = toy.make_pruner()
    brain = brain_of(two_optimizers(toy), pruner)
    before = dict.fromkeys(LATE)
    moved, digests = [], set()
    finish = pruner.finish_step

    def spy():
        finish()
        theta = {name: pruner.switch.dense(name) for name in LATE}
        moved.append([not torch.equal(theta[n], before[n]) for n in LATE])
        digests.add(pruner.masks.digest())
        before.update({n: t.clone() for n, t in theta.items()})

    pruner.finish_step = spy
    before.update({n: pruner.switch.dense(n).clone() for n in LATE})
    brain.fit(brain.counter, toy.loader(), None)
    assert len(moved) == 20 and len(digests) > 5
    assert not any(any(step) for step in moved[:HELD_UNTIL])
    assert all(all(step) for step in moved[HELD_UNTIL:])
    assert_exact(pruner)


def test_weights_that_grow_before_their_first_step_need_no_moments(
    toy, brain_of, assert_exact
):
    """The held optimizer has no state yet when masks change."""
    pruner = toy.make_pruner()
    brain = brain_of(two_optimizers(toy), pruner)
    brain.freeze_optimizers = lambda found: {"early": found["early"]}
    first = pruner.switch.dense(LATE[0]).clone()
    brain.fit(brain.counter, toy.loader(), None)
    assert not brain.late.state and brain.early.state
    assert torch.equal(pruner.switch.dense(LATE[0]), first)
    assert_exact(pruner)


def test_a_module_that_is_frozen_for_an_epoch(toy, brain_of, assert_exact):
    """Recipes set `requires_grad` when a stage starts."""

    class Thawing(toy.Brain):
        def on_stage_start(self, stage, epoch=None):
            for parameter in self.modules.model.attention.parameters():
                parameter.requires_grad_(epoch != 1)

    pruner = toy.make_pruner()
    brain = brain_of(Thawing, pruner)
    name = "model.attention.in_proj_weight"
    values, finish = [], pruner.finish_step

    def spy():
        finish()
        values.append(pruner.switch.dense(name).clone())

    pruner.finish_step = spy
    first = pruner.switch.dense(name).clone()
    brain.fit(brain.counter, toy.loader(), None)
    assert torch.equal(values[9], first)
    assert not torch.equal(values[10], first)
    assert_exact(pruner)


class TwoStages:
    """Adam first, SGD from the second epoch on, as AISHELL-1's recipe."""

    def on_fit_batch_start(self, batch, should_step):
        self.exchange()

    def exchange(self):
        second = isinstance(self.optimizer, torch.optim.SGD)
        if self.optimizer_step >= 10 and not second:
            self.optimizer = SGD(self.modules.parameters())
            self.optimizers_dict = {"opt_class": self.optimizer}


class TwoStagesOfItsOwn(TwoStages):
    """The same, between two epochs, of one that steps by itself."""

    def on_stage_start(self, stage, epoch=None):
        self.exchange()

    def fit_batch(self, batch):
        out = self.compute_forward(batch, sb.Stage.TRAIN)
        loss = self.compute_objectives(out, batch, sb.Stage.TRAIN)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.optimizer_step += 1
        return loss.detach()


@pytest.mark.parametrize("stages", [TwoStages, TwoStagesOfItsOwn])
def test_an_optimizer_of_a_second_stage(toy, brain_of, assert_exact, stages):
    pruner = toy.make_pruner()
    made = type("Brain", (stages, toy.Brain), {})
    brain = brain_of(made, pruner)
    brain.fit(brain.counter, toy.loader(), None)
    assert isinstance(brain.optimizer, torch.optim.SGD)
    assert set(pruner.owners.values()) == {brain.optimizer}
    assert_exact(pruner)


def adversarial(toy, seen, named=True):
    """A Brain as vocoder recipes write it: the judge steps in between.

    SpeechBrain's own example of enhancement leaves `optimizers_dict` empty.
    """

    class Brain(toy.Brain):
        def init_optimizers(self):
            self.maker = ADAMW(self.modules.model.parameters())
            self.judge = ADAMW(self.modules.judge.parameters())
            if named:
                both = {"maker": self.maker, "judge": self.judge}
                self.optimizers_dict = both

        def zero_grad(self, set_to_none=False):
            for optimizer in (self.maker, self.judge):
                optimizer.zero_grad(set_to_none)

        def fit_batch(self, batch):
            judge = self.modules.judge
            fake = self.modules.model(batch.x)
            loss = (judge(batch.y) - 1).square() + judge(fake.detach()).square()
            self.judge.zero_grad()
            loss.mean().backward()
            self.judge.step()
            seen.append((batch.lang[0], judge.weight.detach().clone()))
            loss = (judge(fake) - 1).square().mean()
            self.maker.zero_grad()
            loss.backward()
            self.maker.step()
            return loss.detach()

    return Brain


@pytest.mark.parametrize("named", [True, False])
def test_a_step_between_forward_and_backward_of_another_module(
    toy, named, brain_of, assert_exact
):
    """Only weights that the optimizer moves may change under the graph."""
    seen = []
    pruner = toy.make_pruner()
    torch.manual_seed(3)
    judge = torch.nn.Linear(toy.FEATURES, 4)
    made = adversarial(toy, seen, named)
    brain = brain_of(made, pruner, modules={"judge": judge})
    masks, finish = [], pruner.finish_step

    def spy():
        # As they were in the batch that has just ended.
        lang = seen[-1][0]
        masks.append(pruner.masks.get(lang, "judge.weight").clone())
        finish()

    pruner.finish_step = spy
    brain.fit(brain.counter, toy.loader(), None)
    assert len(seen) == len(masks) == 20
    # After the step of its optimizer the judge shows the same pathway again.
    for (_, weight), mask in zip(seen, masks, strict=True):
        assert torch.equal(weight != 0, mask)
    assert_exact(pruner)


def test_an_adversarial_run_at_zero_percent_is_the_stock_run(toy, brain_of):
    found = []
    for pruner in (
        None,
        toy.make_pruner(
            schedule=partial(constant, sparsity=0.0), update=None, growth=None
        ),
    ):
        torch.manual_seed(3)
        judge = torch.nn.Linear(toy.FEATURES, 4)
        brain = brain_of(adversarial(toy, []), pruner, modules={"judge": judge})
        brain.fit(brain.counter, toy.loader(), None)
        found.append(list(brain.modules.parameters()))
    for plain, pruned in zip(*found, strict=True):
        assert torch.equal(plain, pruned)


def test_a_loss_that_is_told_for_which_optimizer_it_is(toy, brain_of):
    """MetricGAN's `compute_objectives` takes a name more; weighed as others."""
    seen = []

    class Named(toy.Brain):
        def compute_objectives(self, predictions, batch, stage, optim_name=""):
            seen.append(optim_name)
            return super().compute_objectives(predictions, batch, stage)

        def fit_batch(self, batch):
            out = self.compute_forward(batch, sb.Stage.TRAIN)
            loss = self.compute_objectives(out, batch, sb.Stage.TRAIN, "all")
            loss.backward()
            self.optimizers_step()
            return loss.detach()

    pruner = toy.make_pruner(loss_weights=FocalWeights())
    brain = brain_of(Named, pruner)
    brain.fit(brain.counter, toy.loader(), toy.loader(2))
    assert seen.count("all") == 20 and len(seen) == 24
    assert set(pruner.loss_weights.weights()) == set(toy.LANGUAGES)


def test_a_second_pruner_is_refused(toy):
    """Both would write to the same weights."""
    brain = toy.make_brain(pruner=toy.make_pruner())
    with pytest.raises(UserError, match="must have one pruner, got a second"):
        toy.make_pruner().attach(brain)
    brain.fit(range(1, 2), toy.loader(2), None)  # the first is as it was


def test_a_target_that_no_optimizer_moves_stays_dense(toy, caplog):
    pruner = toy.make_pruner()
    brain = toy.make_brain(pruner=pruner, trial=True)
    parameters = dict(brain.modules.named_parameters())
    raw = parameters.pop("model.raw")
    brain.opt_class = lambda _: ADAMW(parameters.values())
    brain.fit(range(2), toy.loader(), None)
    assert len(pruner.targets) == 5 and not (raw == 0).any()
    assert "Left dense, in no optimizer: model.raw." in caplog.text
