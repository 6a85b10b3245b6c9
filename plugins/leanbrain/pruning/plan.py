"""When pruning starts and ends, and how sparse the model is to be by then."""

from __future__ import annotations

from collections.abc import Callable

from leanbrain.checks import (
    UserError,
    check_callable,
    check_fraction,
    check_int,
)

__all__ = ["PruningPlan"]


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

    Example
    -------
    >>> plan = PruningPlan(lambda progress: 0.8 * progress, 100, 0.0, 0.5)
    >>> plan.end_step, plan.sparsity(25), plan.sparsity(80)
    (50, 0.4, 0.8)
    """

    def __init__(
        self,
        schedule: Callable[[float], float],
        total_steps: int,
        begin: float = 0.0,
        heal: float = 0.25,
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
        self.begin_step = round(begin * self.total_steps)
        self.end_step = max(
            self.begin_step + 1, round((1 - heal) * self.total_steps)
        )

    def progress(self, step: int) -> float:
        """Share of the pruning phase that is done after ``step`` steps."""
        length = self.end_step - self.begin_step
        return min(1.0, max(0.0, (step - self.begin_step) / length))

    def sparsity(self, step: int) -> float:
        """Planned sparsity after ``step`` steps."""
        return float(self.schedule(self.progress(step)))

    def is_constant(self) -> bool:
        """Whether the sparsity at both ends is the same."""
        return self.schedule(0.0) == self.schedule(1.0)
