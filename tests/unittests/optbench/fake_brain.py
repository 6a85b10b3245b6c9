"""A small Brain whose clock is told what passes, and sessions of it."""

from dataclasses import dataclass

import speechbrain as sb
import torch
from torch.utils.data import DataLoader

from leanbrain.optbench.trials.clock import PausedClock
from leanbrain.optbench.trials.grid import StepBudget, StepGrid
from leanbrain.optbench.trials.plan import Plan
from leanbrain.optbench.trials.session import Session
from leanbrain.optbench.trials.stopping import Target

STEPS, BATCH, SIZE = 21, 4, 5
# What is done takes these seconds of a clock that stands still otherwise.
READ_S, TRAIN_S, VALID_S, LOG_S, BUILD_S = 0.25, 1.0, 100.0, 1e4, 1e6


class Time:
    """A clock that is told what passes."""

    def __init__(self):
        self.now = 5.0

    def clock(self):
        return PausedClock(now=lambda: self.now, cpu_now=lambda: 0.0)


@dataclass
class Batch:
    """Some vectors and what they are to become."""

    id: list
    x: torch.Tensor
    y: torch.Tensor


class Batches(list):
    """Reading one takes time, and numbers from the global generator."""

    def __init__(self, batches, time):
        super().__init__(batches)
        self.time = time

    def __getitem__(self, index):
        self.time.now += READ_S
        torch.rand(1)
        return super().__getitem__(index)


class Brain(sb.Brain):
    """Regression with all that an evaluation can disturb."""

    time = Time()
    values = None
    losses = {}
    means = ()

    def compute_forward(self, batch, stage):
        is_train = stage == sb.Stage.TRAIN
        self.time.now += TRAIN_S if is_train else VALID_S
        return self.modules.model(batch.x)

    def compute_objectives(self, predictions, batch, stage):
        loss = torch.nn.functional.mse_loss(predictions, batch.y)
        if stage == sb.Stage.TRAIN:
            loss = loss * self.losses.get(self.optimizer_step + 1, 1.0)
        return loss

    def init_optimizers(self):
        self.time.now += BUILD_S
        super().init_optimizers()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        self.time.now += LOG_S
        self.means = [*self.means, stage_loss]

    def stage_metrics(self, stage, stage_loss):
        value = stage_loss if self.values is None else self.values.pop(0)
        return {"error": value}


def net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(SIZE, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(8, 1),
    )


def data(time, batches=7):
    drawn = torch.Generator().manual_seed(1)
    x = torch.randn(batches, BATCH, SIZE, generator=drawn)
    y = 3 * torch.randn(batches, BATCH, 1, generator=drawn)
    items = [Batch([str(i)], x[i], y[i]) for i in range(batches)]
    return DataLoader(Batches(items, time), batch_size=None)


def adamw(params):
    return torch.optim.AdamW(params, lr=0.05)


def split_sgd(params):
    """Two groups with rates of their own, the matrices last."""
    params = list(params)
    return torch.optim.SGD(
        [
            {"params": [p for p in params if p.ndim < 2], "lr": 0.5},
            {"params": [p for p in params if p.ndim > 1], "lr": 0.1},
        ]
    )


def plan(**changes):
    settings = {
        "seed": 4,
        "total_steps": STEPS,
        "grid": StepGrid(3),
        "budget": StepBudget(STEPS),
        "target": Target("error"),
        "schedule": lambda progress: 1.0 - 0.5 * progress,
        "expected_class": "torch.optim.AdamW",
    }
    return Plan(**(settings | changes))


def session_of(opt_class=adamw, *, run_opts=None, brain_class=Brain, **changes):
    """A session and its Brain, ready to run."""
    time = Time()
    kind = type("OneBrain", (brain_class,), {"time": time})
    brain = kind(
        {"model": net()},
        opt_class,
        run_opts={"device": "cpu", "max_grad_norm": 1.0, **(run_opts or {})},
    )
    session = Session(plan(**changes), data(time, 3), time.clock())
    session.attach(brain)
    return session, brain


def trained(opt_class=adamw, **options):
    session, brain = session_of(opt_class, **options)
    session.run(data(brain.time))
    return session, brain


def weights(brain):
    return [x.clone() for x in brain.modules.state_dict().values()]
