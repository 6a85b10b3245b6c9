"""A session trains a stock Brain under the rules, and changes nothing else."""

import math
import sys
from pathlib import Path

import pytest
import speechbrain as sb
import torch

from leanbrain.checks import UserError
from leanbrain.optbench.trials.audit import (
    Check,
    check_clipping,
    check_schedule,
)
from leanbrain.optbench.trials.grid import (
    StepBudget,
    StepGrid,
    TimeBudget,
    TimeGrid,
)
from leanbrain.optbench.trials.stopping import Target

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fake_brain as fake  # noqa: E402


def sf_adamw(params):
    schedulefree = pytest.importorskip("schedulefree")
    return schedulefree.AdamWScheduleFree(params, lr=0.05)


OPTIMIZERS = {
    "torch.optim.AdamW": fake.adamw,
    "schedulefree.AdamWScheduleFree": sf_adamw,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_evaluating_more_often_changes_no_bit(name):
    runs = {}
    for every in (1, 7):
        runs[every], brain = fake.trained(
            OPTIMIZERS[name], grid=StepGrid(every), expected_class=name
        )
        runs[every].weights = fake.weights(brain)
        runs[every].means = brain.means
    often, rarely = runs[1], runs[7]
    assert [len(x.curve) for x in (often, rarely)] == [
        fake.STEPS,
        fake.STEPS // 7,
    ]
    # Both end at an evaluation, schedule-free with its averaged weights.
    for a, b in zip(often.weights, rarely.weights, strict=True):
        assert torch.equal(a, b)
    assert often.means == rarely.means
    shared = [x for x in often.curve if x.step % 7 == 0]
    assert [x.valid for x in shared] == [x.valid for x in rarely.curve]
    assert [x.order for x in shared] == [x.order for x in rarely.curve]


def test_training_is_that_of_speechbrain_where_the_rules_ask_for_nothing():
    _, ours = fake.trained(
        lambda p: torch.optim.SGD(p, lr=0.1),
        schedule=lambda progress: 1.0,
        expected_class="torch.optim.SGD",
        budget=StepBudget(14),
    )
    stock = fake.Brain(
        {"model": fake.net()},
        lambda p: torch.optim.SGD(p, lr=0.1),
        run_opts={"device": "cpu", "max_grad_norm": 1.0},
    )
    on_stage_start = stock.on_stage_start

    def seeded(stage, epoch=None):
        if epoch == 1:
            sb.utils.seed.seed_everything(4, verbose=False)
        on_stage_start(stage, epoch)

    stock.on_stage_start = seeded
    stock.fit(range(1, 3), fake.data(fake.Time()), progressbar=False)
    for a, b in zip(fake.weights(ours), fake.weights(stock), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_clock_counts_training_and_reading_alone():
    session, brain = fake.trained()
    assert [x.step for x in session.curve] == list(range(3, fake.STEPS + 1, 3))
    for point in session.curve:
        expected = point.step * (fake.READ_S + fake.TRAIN_S)
        assert point.reading.step_s == pytest.approx(expected)
    # Evaluations, the reading of their data and logging passed as well.
    assert session.end.wall_s > 7 * 3 * fake.VALID_S + 2 * fake.LOG_S
    assert session.end.step_s == pytest.approx(
        fake.STEPS * (fake.READ_S + fake.TRAIN_S)
    )


def test_preparing_for_evaluation_counts(monkeypatch):
    class Prepared(torch.optim.SGD):
        def train(self):
            brain.time.now += 0.5

        def eval(self):
            brain.time.now += 2.0

    session, brain = fake.session_of(
        lambda params: Prepared(params, lr=0.1), budget=StepBudget(6)
    )
    # No module of this name can be imported, hence no check of the class.
    passing = Check("class", True, "")
    monkeypatch.setattr(
        "leanbrain.optbench.trials.session.check_class", lambda *_: passing
    )
    session.run(fake.data(brain.time))
    steps = [x.step * (fake.READ_S + fake.TRAIN_S) for x in session.curve]
    extra = [
        x.reading.step_s - s for x, s in zip(session.curve, steps, strict=True)
    ]
    assert extra == pytest.approx([2.0, 4.5])


def test_the_first_evaluation_that_meets_the_target_ends_it():
    class Scripted(fake.Brain):
        values = [9.0, 4.0, 5.0, 1.0]

    session, _ = fake.trained(
        brain_class=Scripted, target=Target("error", 4.0), grid=StepGrid(2)
    )
    assert session.status == "done"
    assert session.reached is session.curve[-1]
    assert session.reached.step == session.step == 4


def test_a_target_that_is_never_reached_uses_the_budget():
    session, _ = fake.trained(
        target=Target("error", -1.0), budget=StepBudget(10)
    )
    assert (session.reached, session.status, session.step) == (None, "done", 10)
    assert [x.step for x in session.curve] == [3, 6, 9]


def test_budget_of_time_allows_only_evaluations_before_its_end():
    step_s = fake.READ_S + fake.TRAIN_S
    session, _ = fake.trained(
        grid=TimeGrid(4 * step_s), budget=TimeBudget(9 * step_s)
    )
    assert [x.step for x in session.curve] == [1, 5]
    assert session.step == 9


def test_a_metric_that_the_brain_does_not_have_is_named():
    with pytest.raises(UserError, match="`metric` must be one of error, loss"):
        fake.trained(target=Target("wer", 1.0))


def test_rates_of_all_groups_follow_one_multiplier():
    session, _ = fake.trained(fake.split_sgd, expected_class="torch.optim.SGD")
    steering = session.steering
    assert steering.base_rates == [0.5, 0.1]
    for point in session.curve:
        multiplier = 1.0 - 0.5 * (point.step - 1) / fake.STEPS
        assert point.rates == pytest.approx(
            [0.5 * multiplier, 0.1 * multiplier]
        )
    trace = [(x.step, x.rates) for x in session.curve]
    arguments = trace, steering.base_rates, steering.schedule, fake.STEPS
    assert check_schedule(*arguments).passed


@pytest.mark.parametrize("scaled", [False, True])
def test_one_norm_over_all_groups_is_clipped(scaled):
    """By hand: a first step of SGD moves each group by rate x clipped g."""
    session, brain = fake.session_of(
        fake.split_sgd,
        expected_class="torch.optim.SGD",
        schedule=lambda progress: 1.0,
        budget=StepBudget(1),
        grid=StepGrid(1),
        run_opts={"max_grad_norm": 0.01},
    )
    if scaled:
        brain.scaler = torch.GradScaler("cpu", init_scale=1024.0)
    parameters = list(brain.modules.parameters())
    before = [p.detach().clone() for p in parameters]
    raw, optimizers_step = [], brain.optimizers_step

    def remembering():
        scale = 1024.0 if scaled else 1.0
        raw.extend(p.grad.double() / scale for p in parameters)
        optimizers_step()

    brain.optimizers_step = remembering
    session.run(fake.data(brain.time))
    norm = math.sqrt(sum(float(g.square().sum()) for g in raw))
    assert norm > 1.0
    for old, new, grad in zip(before, parameters, raw, strict=True):
        rate = 0.5 if new.ndim < 2 else 0.1
        expected = old - rate * grad * 0.01 / norm
        torch.testing.assert_close(
            new.detach().double(), expected, rtol=0, atol=1e-7
        )
    assert session.steering.norms == [(1, pytest.approx(0.01, rel=1e-4))]
    assert check_clipping(session.steering.norms, 0.01).passed
