"""The workers of one launch: those that die are replaced."""

import time
from collections.abc import Callable
from pathlib import Path

from leanbrain.checks import UserError
from leanbrain.experiments.backends import Backend, Worker

__all__ = ["Crew"]

# Workers that die without a row between them before the launcher gives up.
MAX_DEATHS = 10
# Seconds before workers are sent to look again for what others hold.
_LOOK_AGAIN_S = (1.0, 60.0)


class Crew:
    """Keeps a number of workers at work.

    Arguments
    ---------
    backend : Backend
        Starts them.
    plan_file : Path
        What they work on.
    todo : int
        How many trials there are: no more workers are started.
    now : Callable[[], float]
        A clock in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        plan_file: Path,
        todo: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backend, self._plan_file, self._now = backend, plan_file, now
        self._workers: dict[int, Worker] = {}
        self._new = list(range(min(backend.workers, todo)))
        self._size = len(self._new)
        self._deaths, self._why, self._rows = 0, "", 0
        self._look_again_s, self._all_ended_at = _LOOK_AGAIN_S[0], now()

    def refresh(self, rows: int) -> None:
        """Starts workers and replaces those that died.

        Arguments
        ---------
        rows : int
            How many trials of the plan are recorded; some are open.

        Raises
        ------
        UserError
            If workers die again and again while nothing is recorded.
        """
        if rows > self._rows:
            self._rows, self._deaths = rows, 0
            self._look_again_s = _LOOK_AGAIN_S[0]
        for number, worker in list(self._workers.items()):
            code = worker.poll()
            if code is None:
                continue
            if code:
                self._deaths += 1
                self._why = worker.why()
                self._new.append(number)
            worker.wait()
            del self._workers[number]
            self._all_ended_at = self._now()
        if self._deaths > MAX_DEATHS:
            raise UserError(
                f"{self._deaths} workers died one after the other without a "
                f"recorded trial; the last one said: {self._why}"
            )
        if not self._workers and not self._new:
            self._look_again()
        while self._new:
            number = self._new.pop(0)
            worker = self._backend.launch(self._plan_file, number)
            self._workers[number] = worker

    def stop(self) -> None:
        """Ends all workers and the trials that they run."""
        workers = list(self._workers.values())
        self._workers.clear()
        # All are told before any is waited for.
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.wait()

    def _look_again(self) -> None:
        """Sends workers anew where others hold all that is open.

        Those others may be killed. Jobs of a cluster do not wait for that,
        as they would hold a place in which other work could run.
        """
        if self._now() - self._all_ended_at >= self._look_again_s:
            self._look_again_s = min(2 * self._look_again_s, _LOOK_AGAIN_S[1])
            self._new = list(range(self._size))
