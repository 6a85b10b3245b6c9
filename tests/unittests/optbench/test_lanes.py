"""What an optimizer does for an evaluation is part of what a step costs."""

from types import SimpleNamespace

import fake_brain as fake
import pytest
import torch

from leanbrain.optbench.trials.evaluation import prepare_s
from leanbrain.optbench.trials.lanes import OptimizerLane

THERE_S, BACK_S = 2.0, 3.0


class Averaging(torch.optim.SGD):
    """Puts an average in place, which takes its time."""

    time = fake.Time()

    def eval(self):
        self.time.now += THERE_S

    def train(self):
        self.time.now += BACK_S


def lane_of(kind, every_steps):
    """A lane that has trained; no training is needed for that."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    clock = Averaging.time.clock()
    clock.start()
    lane = object.__new__(OptimizerLane)
    lane.session = SimpleNamespace(optimizer=kind([parameter]), clock=clock)
    lane.seconds = [1.0, 2.0, 3.0, 4.0]
    lane.optimizer_seconds = [0.5] * 4
    lane.every_steps = every_steps
    return lane


@pytest.mark.parametrize("every_steps", [5, 10])
def test_every_step_bears_its_part_of_the_preparation(every_steps):
    data_s = [0.25] * 4
    plain = lane_of(torch.optim.SGD, every_steps).report(data_s)
    found = lane_of(Averaging, every_steps).report(data_s)
    assert plain["prepare_s"] == 0.0
    assert found["prepare_s"] == THERE_S + BACK_S
    for key in ("low_s", "step_s", "high_s"):
        part = (THERE_S + BACK_S) / every_steps
        assert found[key] - plain[key] == pytest.approx(part)
    assert plain["step_s"] == pytest.approx(2.75)


def test_preparing_leaves_weights_and_clock_as_they_were():
    lane = lane_of(Averaging, 5)
    optimizer, clock = lane.session.optimizer, lane.session.clock
    (parameter,) = optimizer.param_groups[0]["params"]
    optimizer.train = lambda: parameter.data.add_(1e-7)
    before = parameter.detach().clone()
    assert prepare_s(optimizer, clock) == THERE_S
    assert clock.is_running and torch.equal(parameter, before)
