"""Whether a loss still falls, told from means over stretches of a run."""

from __future__ import annotations

import math

__all__ = ["Stretches"]

BATCHES = 10  # of a stretch, at least
BETTER = 0.97  # of the best mean so far: what counts as falling
PATIENCE = 2  # stretches without that


class Stretches:
    """Means over stretches of steps; patience with those that do not fall.

    Arguments
    ---------
    length : int
        Optimizer steps of a stretch, at least.

    Example
    -------
    >>> stretches = Stretches(length=10)
    >>> [n for n in range(100) if stretches.note(n, 8.0)][0]
    29
    >>> stretches = Stretches(length=10)
    >>> any(stretches.note(n, 8.0 * 0.99**n) for n in range(100))
    False
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.best = math.inf
        self.strikes = 0
        self.struck = False  # whether there was one
        self.begun: int | None = None  # the step of the first loss
        self._since = self._count = 0
        self._sum = 0.0

    def note(self, step: int, loss: float) -> bool:
        """Takes the loss of a step; whether it has not fallen for long.

        Arguments
        ---------
        step : int
            Optimizer steps done before.
        loss : float
            Finite.

        Returns
        -------
        bool
        """
        if self.begun is None:
            self.begun = self._since = step
        self._sum += loss
        self._count += 1
        if self._count < BATCHES or step + 1 - self._since < self.length:
            return False
        mean = self._sum / self._count
        self.strikes = 0 if mean < BETTER * self.best else self.strikes + 1
        self.struck |= self.strikes > 0
        self.best = min(mean, self.best)
        self._since, self._count, self._sum = step + 1, 0, 0.0
        return self.strikes >= PATIENCE

    def state_dict(self) -> dict[str, float | int | None]:
        """All that was noted."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Continues from ``state_dict``; the length is that of the run."""
        vars(self).update(state)
