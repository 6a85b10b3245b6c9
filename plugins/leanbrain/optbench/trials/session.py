"""One training of a stock Brain under the benchmark's rules.

The session wraps attributes of the Brain *instance*: SpeechBrain 1.1 has no
callbacks, and an instance's attributes win over whatever a recipe overrides.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from leanbrain.checks import UserError
from leanbrain.optbench.trials.audit import (
    Check,
    OrderHash,
    check_class,
    check_groups,
    first_failure,
)
from leanbrain.optbench.trials.clock import PausedClock, Reading
from leanbrain.optbench.trials.evaluation import (
    evaluate,
    prepared_for_eval,
    start_training,
)
from leanbrain.optbench.trials.grid import StepBudget
from leanbrain.optbench.trials.plan import Plan, Point
from leanbrain.optbench.trials.ranks import any_rank, from_main
from leanbrain.optbench.trials.refusals import (
    OptimizerError,
    check_brain,
    only_optimizer,
)
from leanbrain.optbench.trials.steering import Steering
from leanbrain.optbench.trials.stopping import Divergence, Stop, all_finite

if TYPE_CHECKING:
    import speechbrain as sb

__all__ = ["Session"]


@dataclass
class Session:
    """Trains a Brain to a target or to the end of its budget.

    Arguments
    ---------
    plan : Plan
        What to do.
    valid_batches : Iterable
        The validation data.
    clock : PausedClock
        Not started.
    """

    plan: Plan
    valid_batches: Iterable[Any]
    clock: PausedClock
    curve: list[Point] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    step: int = 0
    reached: Point | None = None
    status: str = "done"
    reason: str = ""
    evaluation_s: float = 0.0
    harness_s: float = 0.0

    def __post_init__(self) -> None:
        self.steering = Steering(
            self.plan.schedule, self.plan.total_steps, self.clock
        )
        self._order = OrderHash()
        self._losses: list[float] = []
        self.divergence = Divergence()
        self._epoch: Any = None
        self.end = Reading(0.0, 0.0, 0.0)
        self.brain: Any = None
        self.optimizer: Any = None

    def attach(self, brain: sb.Brain) -> None:
        """Wraps the methods of a Brain that was not fitted yet.

        Arguments
        ---------
        brain : sb.Brain
            Has one optimizer that steps with every batch.

        Raises
        ------
        UserError
            If it accumulates gradients.
        """
        check_brain(brain)
        self.brain = brain
        self.divergence = Divergence(
            skips=brain.scaler.is_enabled() or bool(brain.skip_nonfinite_grads)
        )
        brain.init_optimizers = self._wrap_init(brain.init_optimizers)
        brain.optimizers_step = self._wrap_step(brain.optimizers_step)
        brain.on_stage_start = self._wrap_start(brain.on_stage_start)
        brain.on_stage_end = self._wrap_end(brain.on_stage_end)
        brain.fit_batch = self._wrap_fit(brain.fit_batch)

    def run(self, train_batches: Any) -> None:
        """Trains; afterwards `status`, `curve` and `reached` tell the story.

        Arguments
        ---------
        train_batches : DataLoader
            One epoch or an endless stream of it.
        """
        from speechbrain.utils.epoch_loop import EpochCounter

        # An epoch has at least one step, else training would never end.
        budget = self.plan.budget
        steps = budget.steps if isinstance(budget, StepBudget) else sys.maxsize
        try:
            self.brain.fit(
                EpochCounter(limit=steps), train_batches, progressbar=False
            )
        except Stop as stop:
            self.status, self.reason = stop.status, stop.reason
        else:
            raise UserError(
                "The training data must last for the budget of the trial, got "
                f"{self.step} steps from {steps} epochs."
            )
        finally:
            if self.clock.is_running:
                self.clock.pause()
            self.end = self.clock.read()

    def _wrap_init(self, init_optimizers: Callable[[], None]) -> Any:
        def wrapped() -> None:
            """Builds and checks the optimizer; names one that fails."""
            try:
                init_optimizers()
            except (TypeError, ValueError) as error:
                if isinstance(error, UserError):
                    raise
                name = self.plan.expected_class
                raise OptimizerError(
                    name, "when it was built", error
                ) from error
            self.optimizer = only_optimizer(self.brain)
            self.checks = [
                check_class(self.optimizer, self.plan.expected_class),
                check_groups(self.optimizer, self.brain.modules),
            ]
            if reason := first_failure(self.checks):
                raise Stop("void", reason)
            self.steering.attach(self.brain, self.optimizer)
            start_training(self.optimizer)

        return wrapped

    def _wrap_step(self, optimizers_step: Callable[[], None]) -> Any:
        def wrapped() -> None:
            """Names the optimizer whose step failed."""
            try:
                optimizers_step()
            except Exception as error:
                name = self.plan.expected_class
                when = f"in step {self.step + 1}"
                raise OptimizerError(name, when, error) from error

        return wrapped

    def _wrap_start(self, on_stage_start: Callable[..., None]) -> Any:
        from speechbrain import Stage
        from speechbrain.utils.seed import seed_everything

        def wrapped(stage: Any, epoch: Any = None) -> None:
            """Seeds training anew, and starts the clock."""
            if stage == Stage.TRAIN:
                self._epoch = epoch
                if self.clock.is_running:
                    on_stage_start(stage, epoch)
                    return
                # Whatever building the optimizer drew from the generators,
                # all optimizers see the same dropout and augmentation.
                seed_everything(self.plan.seed, verbose=False)
            on_stage_start(stage, epoch)
            if stage == Stage.TRAIN:
                self.clock.start()

        return wrapped

    def _wrap_end(self, on_stage_end: Callable[..., None]) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> None:
            """Stops the clock for it: recipes log and save there."""
            with self.clock.paused():
                on_stage_end(*args, **kwargs)

        return wrapped

    def _wrap_fit(self, fit_batch: Callable[[Any], Any]) -> Any:
        def wrapped(batch: Any) -> Any:
            """Trains on a batch; counts the time of the harness apart."""
            loss = fit_batch(batch)
            begun, before = time.perf_counter(), self.evaluation_s
            try:
                self._after_step(batch, float(loss))
            finally:
                spent = time.perf_counter() - begun
                self.harness_s += spent - (self.evaluation_s - before)
            return loss

        return wrapped

    def _after_step(self, batch: Any, loss: float) -> None:
        """Decides whether to go on, and evaluates where it is due."""
        step = self.brain.optimizer_step
        if step != self.step + 1:
            raise UserError(
                "Every batch must make one step of the optimizer, got "
                f"{step - self.step} at batch {self.step + 1}."
            )
        self.step = step
        self._order.add(_ids(batch))
        self._losses.append(loss)
        if any_rank(self.divergence.of_loss(loss)):
            raise Stop(
                "diverged", f"The training loss at step {step} is {loss}."
            )
        if self.plan.grid.due(step, self._elapsed):
            self.evaluate(step)
        if self.plan.budget.spent(step, self._elapsed):
            raise Stop("done")

    def _elapsed(self) -> float:
        return self.clock.read().step_s

    def evaluate(self, step: int) -> None:
        """Evaluates; ends the session if the target is reached.

        Arguments
        ---------
        step : int
            Optimizer steps made.

        Raises
        ------
        Stop
            If the trial ends here; caught by `run`.
        """
        with prepared_for_eval(self.optimizer, self.clock):
            reading = self.clock.read()
            self.plan.grid.note(reading.step_s)
            if not self.plan.budget.allows(step, lambda: reading.step_s):
                raise Stop("done")
            begun = time.perf_counter()
            valid = from_main(
                evaluate(self.brain, self.valid_batches, self._epoch)
            )
            self.evaluation_s += time.perf_counter() - begun
            point = self._record(step, reading, valid)
            self._judge(point)

    def _record(self, step: int, reading: Reading, valid: Any) -> Point:
        """Adds a point to the curve."""
        mean = math.fsum(self._losses) / max(1, len(self._losses))
        self._losses.clear()
        rates = [float(g["lr"]) for g in self.optimizer.param_groups]
        order = self._order.hex()
        point = Point(step, reading, mean, valid, rates, order)
        self.curve.append(point)
        return point

    def _judge(self, point: Point) -> None:
        """Stops at the target and where the metric is beyond help."""
        value = self.plan.target.read(point.valid)
        if self.plan.target.met(point.valid):
            # An error in percent is a number even where all weights are NaN.
            if any_rank(not all_finite(self.brain.modules.parameters())):
                reason = f"The weights at step {point.step} are not finite."
                raise Stop("diverged", reason)
            self.reached = point
            raise Stop("done")
        if self.divergence.of_value(value):
            raise Stop(
                "diverged",
                f"The metric {self.plan.target.metric} was not finite "
                f"{self.divergence.patience} times in a row, last at step "
                f"{point.step}.",
            )


def _ids(batch: Any) -> Sequence[Any]:
    """What a batch is made of."""
    ids = getattr(batch, "id", None)
    if ids is None:
        raise UserError(
            "Every batch must have a list `id` (by which the order of the "
            f"data is audited), got a {type(batch).__name__} without."
        )
    return list(ids)
