"""When a trial evaluates its model and when its budget is used up.

`elapsed` is a function, not a number: reading the clock waits for the device,
which a grid of steps has no need of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from leanbrain.checks import check_int, check_positive

__all__ = [
    "Budget",
    "Grid",
    "StepBudget",
    "StepGrid",
    "TimeBudget",
    "TimeGrid",
]

Elapsed = Callable[[], float]


class Grid(Protocol):
    """When to evaluate."""

    def due(self, step: int, elapsed: Elapsed) -> bool:
        """Whether to evaluate after so many steps and counted seconds."""

    def note(self, elapsed_s: float) -> None:
        """Is told of each evaluation."""


@dataclass(frozen=True)
class StepGrid:
    """Evaluates whenever a number of optimizer steps has been made.

    Arguments
    ---------
    every_steps : int
        The number of steps, at least 1.

    Example
    -------
    >>> [x for x in range(1, 10) if StepGrid(4).due(x, lambda: 0.0)]
    [4, 8]
    """

    every_steps: int

    def __post_init__(self) -> None:
        check_int("eval_every_steps", self.every_steps, low=1)

    def due(self, step: int, elapsed: Elapsed) -> bool:
        """Whether `step` is a multiple of `every_steps`."""
        return step % self.every_steps == 0

    def note(self, elapsed_s: float) -> None:
        """Nothing depends on earlier evaluations."""


@dataclass
class TimeGrid:
    """Evaluates when so many counted seconds passed since the last time.

    The first evaluation follows the first step, as in AlgoPerf.

    Arguments
    ---------
    period_s : float
        The seconds, above zero.

    Example
    -------
    >>> grid = TimeGrid(10.0)
    >>> grid.due(1, lambda: 0.5)
    True
    >>> grid.note(0.5)
    >>> grid.due(2, lambda: 10.4), grid.due(3, lambda: 10.5)
    (False, True)
    """

    period_s: float
    _last_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_positive("eval_period_s", self.period_s)

    def due(self, step: int, elapsed: Elapsed) -> bool:
        """Whether `period_s` passed; True before the first evaluation."""
        return self._last_s is None or elapsed() - self._last_s >= self.period_s

    def note(self, elapsed_s: float) -> None:
        """Counts from here on."""
        self._last_s = elapsed_s


class Budget(Protocol):
    """How long a trial may train."""

    def allows(self, step: int, elapsed: Elapsed) -> bool:
        """Whether an evaluation at this point counts."""

    def spent(self, step: int, elapsed: Elapsed) -> bool:
        """Whether training ends here."""


@dataclass(frozen=True)
class StepBudget:
    """A number of optimizer steps; the evaluation at the last one counts.

    Arguments
    ---------
    steps : int
        At least 1.

    Example
    -------
    >>> budget = StepBudget(8)
    >>> budget.allows(8, lambda: 0.0), budget.spent(8, lambda: 0.0)
    (True, True)
    """

    steps: int

    def __post_init__(self) -> None:
        check_int("budget_steps", self.steps, low=1)

    def allows(self, step: int, elapsed: Elapsed) -> bool:
        """Whether no more than `steps` were made."""
        return step <= self.steps

    def spent(self, step: int, elapsed: Elapsed) -> bool:
        """Whether `steps` were made."""
        return step >= self.steps


@dataclass(frozen=True)
class TimeBudget:
    """Counted seconds; an evaluation counts only before they are over.

    Arguments
    ---------
    seconds : float
        Above zero.

    Example
    -------
    >>> budget = TimeBudget(8.0)
    >>> budget.allows(1, lambda: 8.0), budget.spent(1, lambda: 8.0)
    (False, True)
    """

    seconds: float

    def __post_init__(self) -> None:
        check_positive("budget_s", self.seconds)

    def allows(self, step: int, elapsed: Elapsed) -> bool:
        """Whether less than `seconds` were counted."""
        return elapsed() < self.seconds

    def spent(self, step: int, elapsed: Elapsed) -> bool:
        """Whether `seconds` were counted."""
        return elapsed() >= self.seconds
