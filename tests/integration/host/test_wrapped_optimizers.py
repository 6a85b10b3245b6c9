"""Closures, optimizers that hold another one, and steps that nobody sees."""

from functools import partial

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.host.opt_class import PrunedOptimizer

ADAMW = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)


class SAM(torch.optim.Optimizer):
    """Sharpness-aware minimisation, as its first users share it.

    Foret et al., arXiv 2010.01412.
    """

    def __init__(self, params, base=ADAMW, rho=0.05):
        super().__init__(params, {"rho": rho})
        self.base_optimizer = base(self.param_groups)
        self.param_groups = self.base_optimizer.param_groups

    def _parameters(self):
        for group in self.param_groups:
            yield from (p for p in group["params"] if p.grad is not None)

    @torch.no_grad()
    def first_step(self):
        for p in self._parameters():
            self.state[p]["old"] = p.data.clone()
            p.add_(p.grad, alpha=0.05)
        self.zero_grad()

    @torch.no_grad()
    def second_step(self):
        for p in self._parameters():
            p.data = self.state[p]["old"]
        self.base_optimizer.step()
        self.zero_grad()

    def step(self, closure=None):
        closure = torch.enable_grad()(closure)
        closure()
        self.first_step()
        loss = closure()
        self.second_step()
        return loss


class Lookahead(torch.optim.Optimizer):
    """Slow weights, written past autograd; never calls the constructor.

    Zhang et al., arXiv 1907.08610.
    """

    def __init__(self, params, base=ADAMW):
        self.optimizer = base(params)
        self.param_groups = self.optimizer.param_groups
        self.state = {}
        self.slow = None

    @torch.no_grad()
    def step(self, closure=None):
        fast = [p for g in self.param_groups for p in g["params"]]
        if self.slow is None:
            self.slow = [p.detach().clone() for p in fast]
        loss = self.optimizer.step(closure)
        for slow, p in zip(self.slow, fast, strict=True):
            slow.add_(p.data - slow, alpha=0.5)
            p.data.copy_(slow)
        return loss

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


class Holder:
    """No optimizer by class; holds two of them in a list."""

    def __init__(self, params):
        params = list(params)
        self.parts = [ADAMW(params[:3]), ADAMW(params[3:])]
        self.param_groups = [g for o in self.parts for g in o.param_groups]

    def step(self):
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none=True):
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self):
        return [part.state_dict() for part in self.parts]


class Inherited(torch.optim.Adam):
    """Its step calls that of the class above, which has hooks of its own."""

    def step(self, closure=None):
        return super().step(closure)


torch.optim.Adam([torch.zeros(1)])  # from now on the class above has them


class Unseen(torch.optim.SGD):
    """Moves weights by a method of another name, past autograd."""

    def advance(self):
        for p in self.param_groups[0]["params"]:
            p.data.add_(p.grad, alpha=-0.1)


class Plain:
    """SpeechBrain's own fit_batch."""


class Closing:
    """Steps by a closure and notes which weights it computes with."""

    def fit_batch(self, batch):
        def closure():
            self.optimizer.zero_grad()
            self.seen.append((batch.lang[0], self.modules.model.raw.clone()))
            return self.graded(batch)

        return self.optimizer.step(closure).detach()

    def graded(self, batch):
        out = self.compute_forward(batch, sb.Stage.TRAIN)
        loss = self.compute_objectives(out, batch, sb.Stage.TRAIN)
        loss.backward()
        return loss


class TwoPhases(Closing):
    """SAM without a closure."""

    def fit_batch(self, batch):
        self.graded(batch)
        self.optimizer.first_step()
        loss = self.graded(batch)
        self.optimizer.second_step()
        return loss.detach()


class Advancing(Closing):
    """Its optimizer moves weights in a way that nobody sees."""

    def fit_batch(self, batch):
        loss = self.graded(batch)
        self.optimizer.advance()
        self.zero_grad()
        return loss.detach()


LBFGS = partial(torch.optim.LBFGS, lr=0.05, max_iter=3)
KINDS = [
    (Closing, LBFGS),
    (Closing, ADAMW),
    (Closing, SAM),
    (TwoPhases, SAM),
    (Plain, Lookahead),
    (Closing, Lookahead),
    (Plain, Holder),
    (Plain, Inherited),
]


def made(toy, brain_of, steps, opt_class, pruner=None):
    brain = brain_of(type("Brain", (steps, toy.Brain), {"seen": []}), pruner)
    brain.opt_class = opt_class
    return brain


@pytest.mark.parametrize(("steps", "opt_class"), KINDS)
def test_every_batch_is_a_step(toy, brain_of, assert_exact, steps, opt_class):
    pruner = toy.make_pruner()
    brain = made(toy, brain_of, steps, opt_class, pruner)
    masks, update = [], pruner.finish_step

    def spy():
        masks.extend(
            pruner.masks.get(lang, "model.raw").clone()
            for lang, _ in brain.seen[len(masks) :]
        )
        update()

    pruner.finish_step = spy
    brain.fit(brain.counter, toy.loader(), None)
    assert_exact(pruner)
    at_rest = brain.modules.model.raw != 0
    assert torch.equal(
        at_rest,
        pruner.masks.get("en", "model.raw")
        | pruner.masks.get("fr", "model.raw"),
    )
    # Every loss of a closure is that of the batch's pathway.
    assert len(brain.seen) == len(masks)
    assert (len(brain.seen) > 0) == (steps is Closing)
    for (_, weight), mask in zip(brain.seen, masks, strict=True):
        assert torch.equal(weight != 0, mask)


def test_a_closure_that_is_demanded_is_named(toy, brain_of):
    brain = made(toy, brain_of, Plain, LBFGS, toy.make_pruner())
    with pytest.raises(UserError, match="step of LBFGS must be given `closu"):
        brain.fit(brain.counter, toy.loader(), None)


@pytest.mark.parametrize(("steps", "opt_class"), KINDS[::2] + KINDS[3:4])
def test_the_same_by_yaml_alone(toy, brain_of, assert_exact, steps, opt_class):
    pruner = toy.make_pruner(pathways=["all"])
    brain = made(toy, brain_of, steps, None)
    brain.opt_class = PrunedOptimizer(opt_class, pruner, brain.modules)
    pruner.trial = None  # masks from the first step on
    brain.fit(brain.counter, toy.loader(), None)
    assert_exact(pruner)
    seen = [float((weight == 0).float().mean()) for _, weight in brain.seen]
    assert all(sparsity >= 0.29 for sparsity in seen)


def test_a_step_that_is_not_seen_is_an_error_at_once(toy, brain_of):
    sgd = partial(Unseen, lr=0.1)
    brain = made(toy, brain_of, Advancing, sgd, toy.make_pruner())
    with pytest.raises(UserError, match="by the `step` of an opt.*got 'model"):
        brain.fit(brain.counter, toy.loader(), None)
    assert brain.step == 1
    brain = made(toy, brain_of, Advancing, None)
    pruner = toy.make_pruner(pathways=["all"])
    brain.opt_class = PrunedOptimizer(sgd, pruner, brain.modules)
    with pytest.raises(UserError, match="by the `step` of an optimizer"):
        brain.fit(brain.counter, toy.loader(), None)
    assert brain.step <= 4


def test_a_brain_without_the_pruner_must_not_train_its_weights(toy, brain_of):
    """Its steps would not be seen, and the zeros be lost."""
    brain = brain_of(toy.Brain, toy.make_pruner(pathways=["all"]))
    brain.fit(brain.counter, toy.loader(), None)
    second = brain_of(toy.Brain, model=brain.modules.model)
    with pytest.raises(UserError, match="attach the pruner to every Brain"):
        second.fit(range(2), toy.loader(), None)
    assert second.step <= 4


def test_batches_that_make_no_step_are_none(toy, brain_of):
    """A loss that is not a number, and optimizers whose turn it is not."""

    class Seldom(Closing):
        batches = 0

        def fit_batch(self, batch):
            self.batches += 1
            loss = self.graded(batch)
            if self.batches % 3 == 0:
                self.optimizer.step()
            self.zero_grad()
            return loss.detach()

    pruner = toy.make_pruner()
    brain = made(toy, brain_of, Seldom, ADAMW, pruner)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.step == 6
    pruner = toy.make_pruner()
    brain = brain_of(toy.Brain, pruner, skip_nonfinite_grads=True)
    brain.nonfinite_patience = 99
    batches = list(toy.loader())
    batches[3].x = batches[3].x * float("nan")
    brain.fit(
        brain.counter,
        torch.utils.data.DataLoader(
            batches, batch_size=None, collate_fn=toy.identity
        ),
        None,
    )
    assert pruner.step == 18


def test_a_closure_is_evaluated_again_once_it_has_shown_the_targets(toy):
    """Its first loss, of dense weights, is looked at and not stepped on."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        *(torch.nn.Linear(8, 8, bias=False) for _ in range(3))
    )
    pruner = toy.make_pruner(pathways=["all"], exclude=None)
    optimizer = PrunedOptimizer(LBFGS, pruner, {"m": model})(model.parameters())
    zeros, x = [], torch.randn(16, 8)

    def closure():
        optimizer.zero_grad()
        zeros.append([float((m.weight == 0).float().mean()) for m in model])
        loss = (model(x) - 1).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert zeros[0] == [0, 0, 0]
    assert len(zeros) > 2
    assert all(min(z[:2]) > 0 and z[2] == 0 for z in zeros[1:])


def test_masks_of_several_pathways_begin_within_a_closure(toy, brain_of):
    """The batch of the first closure has come before the masks."""

    class Brain(toy.Brain):
        def fit_batch(self, batch):
            def closure():
                self.optimizer.zero_grad()
                out = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(out, batch, sb.Stage.TRAIN)
                loss.backward()
                return loss

            return self.optimizer.step(closure).detach()

    torch.manual_seed(0)
    linear = partial(torch.nn.Linear, toy.FEATURES, toy.FEATURES)
    model = torch.nn.Sequential(linear(), linear())
    pruner = toy.make_pruner()
    brain = brain_of(Brain, pruner, model=model, trial=True)
    brain.fit(brain.counter, toy.loader(), None)
    assert pruner.frozen and pruner.step == 20
    kept = [pruner.masks.density(p, ["model.0.weight"]) for p in ("en", "fr")]
    assert kept == pytest.approx([0.3, 0.3], abs=0.02)
