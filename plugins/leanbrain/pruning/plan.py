"""When pruning starts and ends, and how sparse the model is to be by then."""

from __future__ import annotations

import logging
from collections.abc import Callable

from leanbrain.checks import (
    UserError,
    check_callable,
    check_fraction,
    check_int,
)

__all__ = ["PruningPlan"]

logger = logging.getLogger(__name__)


class PruningPlan:
    """Maps optimizer steps to progress and planned sparsity.

    Arguments
    ---------
    schedule : callable
        Progress in [0, 1] -> sparsity in [0, 1).
    total_steps : int
        Optimizer steps of the run, at least 1.
    begin : float
        Share of the run before the first masks, in [0, 1).
    heal : float
        Share of the run at its end in which masks stay as they are, in
        [0, 1); `begin` + `heal` is below 1.
    rounds : int
        Parts of equal length that are trained as runs of their own, as
        iterative pruning does; steps that a whole number of parts leaves over
        are trained at the end, with the masks as they are.

    Example
    -------
    >>> plan = PruningPlan(lambda progress: 0.8 * progress, 100, 0.0, 0.5)
    >>> plan.end_step, plan.sparsity(25), plan.sparsity(80)
    (50, 0.4, 0.8)
    >>> plan = PruningPlan(lambda progress: 0.5, 100, heal=0.0, rounds=4)
    >>> [plan.schedule_step(step) for step in (0, 20, 25, 99)]
    [0, 80, 0, 96]
    """

    def __init__(
        self,
        schedule: Callable[[float], float],
        total_steps: int,
        begin: float = 0.0,
        heal: float = 0.25,
        rounds: int = 1,
    ) -> None:
        self.schedule = check_callable("schedule", schedule)
        self.total_steps = check_int("total_steps", total_steps, low=1)
        for progress in (0.0, 0.5, 1.0):
            check_fraction("sparsity", schedule(progress), high_open=True)
        begin = check_fraction("begin", begin, high_open=True)
        heal = check_fraction("heal", heal, high_open=True)
        if begin + heal >= 1:
            raise UserError(
                f"`begin` + `heal` must be below 1, got {begin} + {heal}."
            )
        self.rounds = check_int("rounds", rounds, low=1)
        if self.rounds > self.total_steps:
            raise UserError(
                "`rounds` must be at most `total_steps`, got "
                f"{self.rounds} of {self.total_steps}."
            )
        self.round_length = self.total_steps // self.rounds
        # Whole rounds only: stairs of the schedule fall on their ends.
        steps = self.round_length * self.rounds
        self.begin_step = round(begin * steps)
        self.end_step = max(self.begin_step + 1, round((1 - heal) * steps))
        self.schedules = False  # whether a learning-rate schedule asked for it

    def progress(self, step: int) -> float:
        """Share of the pruning phase that is done after ``step`` steps."""
        length = self.end_step - self.begin_step
        return min(1.0, max(0.0, (step - self.begin_step) / length))

    def sparsity(self, step: int) -> float:
        """Planned sparsity after ``step`` steps."""
        return float(self.schedule(self.progress(step)))

    def schedule_step(self, step: int) -> int:
        """The step that a learning-rate schedule over all steps is set to.

        With one round the step itself. With more, each round runs through
        the whole schedule, so much the faster.
        """
        self.schedules = True
        if self.rounds == 1:
            return step
        done = min(step // self.round_length, self.rounds - 1)
        within = (step - done * self.round_length) * self.rounds
        return min(within, self.total_steps)

    def warn_of_one_schedule(self) -> None:
        """Says so if the learning rate will not begin anew with each round."""
        if not self.schedules:
            logger.warning(
                "The run has %d rounds, but its learning-rate schedule runs "
                "once through all of them: let the training script set it to "
                "`pruner.plan.schedule_step(step)`.",
                self.rounds,
            )

    def warn_of_more_steps(self) -> None:
        """Says so when a run goes on after the steps that were planned."""
        logger.warning(
            "Training goes on after its `total_steps` %d with the masks that "
            "were final by then: to spread the pruning over all stages of a "
            "script, give the steps of all of them.",
            self.total_steps,
        )

    def check_fits(
        self,
        interval: int,
        *,
        fixed: bool = False,
        shrinks: bool = False,
        grows: bool = False,
        learns: bool = True,
    ) -> None:
        """Refuses settings of a pruner that this plan does not go with.

        Arguments
        ---------
        interval : int
            Optimizer steps between updates.
        fixed : bool
            Whether masks stay as they begin.
        shrinks : bool
            Whether masks can only lose weights.
        grows : bool
            Whether other weights take the place of some.
        learns : bool
            Whether weights are trained.
        """
        if fixed and not self.is_constant():
            raise UserError(
                "`schedule` must be constant when `update` is null, got "
                f"{self.schedule(0.0)} at the start and {self.schedule(1.0)} "
                "at the end."
            )
        if shrinks and self.schedule(1.0) < self.schedule(0.0):
            raise UserError(
                "`schedule` must not fall where weights are only removed, got "
                f"{self.schedule(0.0)} at the start and {self.schedule(1.0)} "
                "at the end."
            )
        length = self.end_step - self.begin_step
        if grows and interval >= length:
            raise UserError(
                f"`interval` must be below the {length} steps in which masks "
                f"change, or nothing grows, got {interval}."
            )
        if self.rounds > 1 and self.round_length % interval:
            raise UserError(
                f"`interval` must divide a round of {self.round_length} "
                f"steps, got {interval}."
            )
        if not learns and self.begin_step:
            raise UserError(
                "`begin` must be 0 when `train_weights` is False, got masks "
                f"from step {self.begin_step} on."
            )

    def is_constant(self) -> bool:
        """Whether the sparsity at both ends is the same."""
        return self.schedule(0.0) == self.schedule(1.0)
