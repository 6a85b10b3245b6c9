"""How far a set of trials is: one line that changes, or a line now and then."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from leanbrain.experiments.estimates import (
    duration,
    expected,
    makespan,
    scale,
)
from leanbrain.experiments.trials import Trial

__all__ = ["Progress"]

# Seconds between lines where they are kept, as in a log.
QUIET_S = 10.0


class Progress:
    """Says how many trials have ended, how, and when the rest will have.

    Arguments
    ---------
    trials : Sequence[Trial]
        What is to be run in this launch.
    workers : int
        How many run at the same time.
    show : Callable[[str], None] | None
        Takes a line; None says nothing.
    live : bool | None
        Whether to write one line over and over to the terminal; None does so
        if standard error is one and `show` is `print`.
    now : Callable[[], float]
        A clock in seconds.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        workers: int,
        show: Callable[[str], None] | None = print,
        *,
        live: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._trials, self._workers = list(trials), workers
        self._show, self._now = show, now
        if live is None:
            live = show is print and sys.stderr.isatty()
        self._live = live and show is not None
        self._rows: dict[str, dict[str, Any]] = {}
        self._start = self._last_end = self._last_shown = now()

    def update(self, rows: dict[str, dict[str, Any]]) -> None:
        """Takes what is recorded; shows it if that is due.

        Arguments
        ---------
        rows : dict
            Digest -> row, of trials of this launch.
        """
        if len(rows) != len(self._rows):
            self._rows, self._last_end = dict(rows), self._now()
        if self._live:
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()
        elif self._now() - self._last_shown >= QUIET_S:
            self._last_shown = self._now()
            self.say(self.line())

    def line(self) -> str:
        """Puts the line together.

        Returns
        -------
        str
            Such as "12/40 trials, 1 failed, 3 min 20 s left".
        """
        parts = [f"{len(self._rows)}/{len(self._trials)} trials"]
        statuses = [row["status"] for row in self._rows.values()]
        parts += [
            f"{statuses.count(status)} {status.replace('_', ' ')}"
            for status in sorted(set(statuses) - {"done"})
        ]
        left = self.left()
        if left is not None and len(self._rows) < len(self._trials):
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def left(self) -> float | None:
        """Estimates the seconds that are left.

        Returns
        -------
        float | None
            None if nothing is known.
        """
        todo = [x for x in self._trials if x.digest not in self._rows]
        factor = scale(self._trials, self._rows.values())
        costs = expected(todo, factor)
        if not costs and self._rows:
            # No trial names a cost: those that ended speak for the others.
            seconds = [row["seconds"] for row in self._rows.values()]
            costs = [sum(seconds) / len(seconds)] * len(todo)
        if not costs:
            return None
        return makespan(costs, self._workers) - (self._now() - self._last_end)

    def close(self) -> None:
        """Says the last line, with the time that it all took."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self.say(f"{self.line()}, took {duration(self._now() - self._start)}")

    def say(self, text: str) -> None:
        """Shows a line that stays.

        Arguments
        ---------
        text : str
            The line.
        """
        if self._show is not None:
            self._show(text)
