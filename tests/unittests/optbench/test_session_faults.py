"""What a session refuses, voids or calls diverged, and with what words."""

import math
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from leanbrain.checks import UserError
from leanbrain.optbench.trials.grid import StepGrid
from leanbrain.optbench.trials.refusals import OptimizerError
from leanbrain.optbench.trials.stopping import Target

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fake_brain as fake  # noqa: E402


@pytest.mark.parametrize("norm", [-1.0, 0.0])
def test_a_norm_that_turns_gradients_round_is_refused(norm):
    with pytest.raises(UserError, match=r"`max_grad_norm` must be .* > 0, got"):
        fake.trained(run_opts={"max_grad_norm": norm})


def test_accumulation_is_refused():
    with pytest.raises(UserError, match="`grad_accumulation_factor` must be 1"):
        fake.trained(run_opts={"grad_accumulation_factor": 2})


def test_two_optimizers_are_refused():
    class Two(fake.Brain):
        def init_optimizers(self):
            super().init_optimizers()
            self.optimizers_dict = {"a": self.optimizer, "b": self.optimizer}

    with pytest.raises(UserError, match=r"one optimizer, got 2 \(a, b\)"):
        fake.trained(brain_class=Two)


def test_a_closure_is_refused():
    with pytest.raises(UserError, match="LBFGS must step without a closure"):
        fake.trained(torch.optim.LBFGS, expected_class="torch.optim.LBFGS")


def test_a_batch_without_a_step_is_refused():
    class Lazy(fake.Brain):
        def fit_batch(self, batch):
            return torch.zeros(())

    with pytest.raises(UserError, match="Every batch must make one step"):
        fake.trained(brain_class=Lazy)


def test_another_class_than_expected_voids_the_trial():
    session, _ = fake.trained(expected_class="torch.optim.SGD")
    assert session.status == "void"
    assert "expected torch.optim.SGD, got torch.optim.adamw" in session.reason
    assert (session.step, session.end.step_s) == (0, 0.0)


def test_parameters_held_twice_or_not_at_all_void_the_trial():
    def twice(params):
        params = list(params)
        optimizer = fake.adamw(params)
        optimizer.param_groups[0]["params"].append(params[0])
        return optimizer

    def all_but_one(params):
        return fake.adamw(list(params)[1:])

    for build, words in ((twice, "held more"), (all_but_one, "in no group")):
        session, _ = fake.trained(build)
        assert session.status == "void"
        assert words in session.reason
        assert session.step == 0


def test_parameters_in_two_groups_are_named():
    def overlapping(params):
        params = list(params)
        return torch.optim.AdamW([{"params": params}, {"params": params}])

    with pytest.raises(OptimizerError, match="AdamW raised ValueError when it"):
        fake.trained(overlapping)


def test_an_optimizer_that_raises_is_named_with_its_step():
    def build(params):
        optimizer = fake.adamw(params)
        step, left = optimizer.step, [None] * 4

        def failing(closure=None):
            if not left:
                raise FloatingPointError("no more\nand so on")
            left.pop()
            return step(closure)

        optimizer.step = failing
        return optimizer

    message = r"AdamW raised FloatingPointError in step 5: no more$"
    with pytest.raises(OptimizerError, match=message):
        fake.trained(build)


def test_a_loss_that_is_not_finite_ends_the_trial_at_its_step():
    class Exploding(fake.Brain):
        losses = {5: math.nan}

    session, _ = fake.trained(brain_class=Exploding)
    assert (session.status, session.step) == ("diverged", 5)
    assert session.reason == "The training loss at step 5 is nan."


def test_losses_whose_steps_are_skipped_may_pass():
    class Exploding(fake.Brain):
        losses = dict.fromkeys((2, 3, 5, 8, 9, 10), math.inf)

    options = {"skip_nonfinite_grads": True, "nonfinite_patience": 99}
    session, _ = fake.trained(brain_class=Exploding, run_opts=options)
    assert (session.status, session.step) == ("diverged", 10)


def test_weights_that_are_not_finite_reach_no_target():
    def poisonous(params):
        optimizer = fake.adamw(params)

        def spoil(optimizer, args, kwargs):
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].fill_(math.nan)

        optimizer.register_step_post_hook(spoil)
        return optimizer

    class Blind(fake.Brain):
        values = [0.0]

    session, _ = fake.trained(
        poisonous,
        brain_class=Blind,
        grid=StepGrid(1),
        target=Target("error", 1.0),
    )
    assert (session.status, session.reached) == ("diverged", None)
    assert session.reason == "The weights at step 1 are not finite."


def test_metrics_that_are_not_finite_may_pass_twice():
    class Odd(fake.Brain):
        values = [math.nan, math.inf, 1.0, math.nan, math.nan, math.nan, 1.0]

    session, _ = fake.trained(brain_class=Odd, target=Target("error", 0.0))
    assert (session.status, session.step) == ("diverged", 18)
    assert "error was not finite 3 times in a row" in session.reason


def test_data_that_hold_nothing_are_refused():
    session, _ = fake.session_of()
    with pytest.raises(UserError, match="must last for the budget"):
        session.run(DataLoader([], batch_size=None))


def test_batches_without_names_are_refused():
    session, brain = fake.session_of()
    batches = list(fake.data(brain.time))
    for batch in batches:
        batch.id = None
    with pytest.raises(UserError, match="Every batch must have a list `id`"):
        session.run(DataLoader(batches, batch_size=None))
