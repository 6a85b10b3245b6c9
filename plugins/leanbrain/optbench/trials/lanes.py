"""Copies of a workload that train in turn on the same batches."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.optbench.optimizers.specs import OptimizerSpec
from leanbrain.optbench.trials.clock import PausedClock, synchronizer
from leanbrain.optbench.trials.evaluation import evaluate, prepare_s
from leanbrain.optbench.trials.grid import StepBudget, StepGrid
from leanbrain.optbench.trials.kernels import (
    kernel_flavour,
    state_bytes_per_parameter,
)
from leanbrain.optbench.trials.plan import Plan
from leanbrain.optbench.trials.session import Session
from leanbrain.optbench.trials.stopping import Divergence, Stop, Target
from leanbrain.optbench.trials.workload import Workload

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["BareLane", "Lane", "OptimizerLane", "block_means"]

BLOCK = 10
"""Steps whose mean is one measurement."""

EVALUATIONS = 3
"""The median of so many is the cost of one."""

NEVER = 2**62


class Lane:
    """One copy of the model in training.

    Arguments
    ---------
    workload : Workload
        Of this lane alone.
    brain : sb.Brain
        Not fitted.
    """

    def __init__(self, workload: Workload, brain: sb.Brain) -> None:
        self.workload = workload
        self.brain = brain
        self.seconds: list[float] = []
        self._synchronize = synchronizer(brain.device)

    def start(self) -> None:
        """Does what `Brain.fit` does before its first batch.

        Raises
        ------
        UserError
            If the audit finds that the optimizer is not what it should be.
        """
        from speechbrain import Stage

        try:
            self.brain.on_fit_start()
        except Stop as stop:
            raise UserError(stop.reason) from stop
        self.brain.nonfinite_count = 0
        self.brain.on_stage_start(Stage.TRAIN, 1)
        self.brain.modules.train()
        self.brain.zero_grad()

    def step(self, batch: Any) -> None:
        """Trains on a batch as `Brain.fit` does, and measures it."""
        brain = self.brain
        self._synchronize()
        begun = time.perf_counter()
        brain.step += 1
        loss = brain.fit_batch(batch)
        brain.avg_train_loss = brain.update_average(loss, brain.avg_train_loss)
        self._synchronize()
        self.seconds.append(time.perf_counter() - begun)

    def forget(self) -> None:
        """Drops what was measured so far."""
        self.seconds.clear()


class BareLane(Lane):
    """Forward and backward pass only.

    Arguments
    ---------
    workload : Workload
        Of this lane alone.
    device : str
        Where to train.
    """

    def __init__(self, workload: Workload, device: str) -> None:
        brain = workload.build_brain(None, device)
        super().__init__(workload, brain)
        brain.optimizers_step = lambda: brain.modules.zero_grad()

    def evaluation_s(self) -> float:
        """Seconds of an evaluation, the median of a few."""
        found = []
        for _ in range(EVALUATIONS):
            self._synchronize()
            begun = time.perf_counter()
            evaluate(self.brain, self.workload.data.valid_loader(), 1)
            found.append(time.perf_counter() - begun)
        return statistics.median(found)


class OptimizerLane(Lane):
    """A training under the harness of a trial.

    Arguments
    ---------
    workload : Workload
        Of this lane alone.
    spec : OptimizerSpec
        Its optimizer.
    seed : int
        Of dropout and augmentation.
    device : str
        Where to train.
    """

    def __init__(
        self, workload: Workload, spec: OptimizerSpec, seed: int, device: str
    ) -> None:
        brain = workload.build_brain(spec.opt_class, device)
        super().__init__(workload, brain)
        self.optimizer_seconds: list[float] = []
        self.harness_seconds: list[float] = []
        self._time_optimizer()
        hparams = workload.hparams
        self.total_steps = int(hparams.get("total_steps", NEVER))
        self.every_steps = int(hparams.get("eval_every_steps", NEVER))
        plan = Plan(
            seed=seed,
            total_steps=self.total_steps,
            grid=StepGrid(NEVER),
            budget=StepBudget(NEVER),
            target=Target(hparams["metric"]),
            schedule=spec.lr_schedule,
            expected_class=spec.expected_class,
        )
        self.session = Session(
            plan, workload.data.valid_loader(), PausedClock(brain.device)
        )
        self.session.attach(brain)
        # NaN costs the same time as any other number.
        self.session.divergence = Divergence(skips=True, patience=NEVER)

    def step(self, batch: Any) -> None:
        """Trains on a batch; also measures what the harness takes of it."""
        before = self.session.harness_s
        super().step(batch)
        self.harness_seconds.append(self.session.harness_s - before)

    def forget(self) -> None:
        """Drops what was measured so far."""
        super().forget()
        self.optimizer_seconds.clear()
        self.harness_seconds.clear()

    def overhead_share(self) -> float:
        """What clock, audit and records take, as a share of all steps.

        Returns
        -------
        float
            After every batch, at every evaluation and where gradients are
            measured, all spread over the steps of a trial.
        """
        measured = statistics.median(self.session.steering.audit_seconds)
        share_of_steps = math.log2(self.total_steps + 1) / self.total_steps
        spent = (
            statistics.median(self.harness_seconds)
            + self._bookkeeping_s() / self.every_steps
            + measured * share_of_steps
        )
        return spent / statistics.median(self.seconds)

    def report(self, data_s: list[float]) -> dict[str, Any]:
        """What was measured, as plain JSON.

        Arguments
        ---------
        data_s : list[float]
            Seconds that each batch took to be read.

        Returns
        -------
        dict
            See `leanbrain.optbench.trials.calibration.run`. "prepare_s" is
            what the optimizer takes to prepare for an evaluation, of which
            every step bears its part: "step_s" and its quartiles hold
            prepare_s / eval_every_steps.
        """
        steps = [a + b for a, b in zip(self.seconds, data_s, strict=True)]
        means = block_means(steps)
        low, middle, high = statistics.quantiles(means, n=4, method="inclusive")
        prepared = self._prepare_s()
        part = prepared / self.every_steps
        optimizer = self.session.optimizer
        return {
            "step_s": middle + part,
            "low_s": low + part,
            "high_s": high + part,
            "prepare_s": prepared,
            "optimizer_s": statistics.median(
                block_means(self.optimizer_seconds)
            ),
            "state_bytes_per_parameter": state_bytes_per_parameter(optimizer),
            "kernel": kernel_flavour(optimizer),
        }

    def _prepare_s(self) -> float:
        """What an evaluation takes of the optimizer: it counts."""
        session = self.session
        return statistics.median(
            prepare_s(session.optimizer, session.clock)
            for _ in range(EVALUATIONS)
        )

    def _bookkeeping_s(self) -> float:
        """What an evaluation takes besides the validation pass itself."""
        found, session = [], self.session
        for _ in range(EVALUATIONS):
            before, begun = session.evaluation_s, time.perf_counter()
            session.evaluate(session.step)
            spent = time.perf_counter() - begun
            found.append(spent - (session.evaluation_s - before))
        # What the optimizer does there is no work of the harness.
        return max(0.0, statistics.median(found) - self._prepare_s())

    def _time_optimizer(self) -> None:
        """Measures clipping and update of every step."""
        optimizers_step = self.brain.optimizers_step

        def timed() -> None:
            """Steps, and keeps the seconds that it took."""
            self._synchronize()
            begun = time.perf_counter()
            optimizers_step()
            self._synchronize()
            self.optimizer_seconds.append(time.perf_counter() - begun)

        self.brain.optimizers_step = timed


def block_means(seconds: Sequence[float], size: int = BLOCK) -> list[float]:
    """Means of consecutive steps.

    Some optimizers do their costliest work every tenth step, which a median
    of single steps does not see; a median of means does.

    Arguments
    ---------
    seconds : Sequence[float]
        Of each step, two or more.
    size : int
        Steps in a block; fewer if there would not be two blocks.

    Returns
    -------
    list[float]
        One for each whole block.

    Example
    -------
    >>> block_means([1.0, 3.0, 1.0, 3.0, 1.0], size=2)
    [2.0, 2.0]
    """
    size = max(1, min(size, len(seconds) // 2))
    count = len(seconds) // size
    return [
        statistics.fmean(seconds[i * size : (i + 1) * size])
        for i in range(count)
    ]
