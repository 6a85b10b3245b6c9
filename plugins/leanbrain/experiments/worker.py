"""A worker: claims the next open trial, has it run, records it.

Any number of workers, on any number of machines that share the folder, work
on one plan. A claim is a lock of the system: it ends with whoever holds it.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from leanbrain.checks import UserError
from leanbrain.experiments.facts import facts
from leanbrain.experiments.ledger import Ledger
from leanbrain.experiments.locks import held
from leanbrain.experiments.plans import Plan
from leanbrain.experiments.processes import adopt_orphans
from leanbrain.experiments.supervision import Died, Runner
from leanbrain.experiments.trials import Trial
from leanbrain.files import write_text

__all__ = ["FATAL", "STOPPED", "Queue", "main", "work"]

# How a worker ends when no worker could go on, and when it was told to end.
FATAL, STOPPED = 74, 143
_IDLE_S = (0.05, 1.0)

Execute = Callable[[Trial, Path], dict[str, Any]]


class Queue:
    """The trials of a plan that may still be open.

    Arguments
    ---------
    plan : Plan
        What is to be done.
    execute : Callable
        Takes a trial and its folder, returns the outcome.
    extra : Callable[[], dict[str, Any]]
        Gives host, versions and commit for the row.
    """

    def __init__(
        self,
        plan: Plan,
        execute: Execute,
        extra: Callable[[], dict[str, Any]] = facts,
    ) -> None:
        self.plan, self._execute, self._extra = plan, execute, extra
        self._ledger = Ledger(plan.root)
        self._todo = list(plan.trials)

    def run_next(self) -> bool:
        """Runs the first open trial that nobody else holds.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        UserError
            If the disk does not take what is to be written; the trial is
            open then.
        """
        for trial in list(self._todo):
            if not self.plan.is_open(trial):
                self._todo.remove(trial)
                continue
            with _claim(self.plan.root, trial) as held:
                # Somebody else may have ended it before we held it.
                if held and self.plan.is_open(trial):
                    self._attempt(trial, trial.folder(self.plan.root))
                    return True
        return False

    @property
    def finished(self) -> bool:
        """Whether nothing is open any more, here or elsewhere."""
        return not any(self.plan.is_open(trial) for trial in self._todo)

    def _attempt(self, trial: Trial, folder: Path) -> None:
        """Runs a claimed trial; counts the processes that it takes down."""
        number = _count(folder, +1)
        try:
            outcome = self._outcome(trial, folder, number)
            if outcome is not None:
                self._ledger.record(self._row(trial, outcome, number))
                _forget(folder)
        except BaseException:
            # A full disk, Ctrl-C, a signal: not the fault of the trial.
            _count(folder, -1)
            raise

    def _outcome(
        self, trial: Trial, folder: Path, number: int
    ) -> dict[str, Any] | None:
        """Returns how the trial ended, None if it is to be tried again."""
        most = self.plan.max_attempts
        died = Died("Its worker was killed.", 0.0)
        if number <= most:
            try:
                return self._execute(trial, folder)
            except Died as error:
                died = error
            if number < most:
                return None
        return {
            "status": "crashed",
            "reason": f"{died.reason} This happened in {most} attempt"
            f"{'s' * (most > 1)}.",
            "seconds": died.seconds,
            "result": None,
        }

    def _row(
        self, trial: Trial, outcome: dict[str, Any], number: int
    ) -> dict[str, Any]:
        """Puts together what is recorded."""
        seconds = outcome.get("seconds", 0.0)
        started = time.strftime(
            "%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - seconds)
        )
        return {
            "digest": trial.digest,
            "run": trial.run,
            "config": trial.config,
            "status": outcome["status"],
            "reason": outcome["reason"],
            "result": outcome["result"],
            "seconds": round(seconds, 6),
            "attempts": min(number, self.plan.max_attempts),
            "started": outcome.get("started", started),
            **self._extra(),
        }


def work(
    plan_file: str | os.PathLike[str],
    *,
    linger: bool = False,
    leash: int | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Works on a plan until there is nothing left to do.

    Arguments
    ---------
    plan_file : path
        The plan.
    linger : bool
        Whether to wait for trials that others hold, in case these are killed.
    leash : int | None
        A file descriptor that ends when the launcher does. The trial that is
        running then is still finished and recorded, and no other is begun.
    environment : dict[str, str] | None
        Variables set for the process in which trials run.

    Raises
    ------
    UserError
        If the disk does not take what is to be written.
    """
    adopt_orphans()
    plan = Plan.load(plan_file)
    runner = Runner(Path(plan_file), environment, alone=True)
    queue = Queue(plan, runner.run, lambda: runner.facts or facts())
    pause = _IDLE_S[0]
    try:
        while not _has_ended(leash):
            if queue.run_next():
                pause = _IDLE_S[0]
            elif not linger or queue.finished:
                return
            else:
                # Others may take long: their memory is worth more than ours.
                runner.close()
                time.sleep(pause)
                pause = min(2 * pause, _IDLE_S[1])
    finally:
        runner.close()


def main(arguments: list[str] | None = None) -> int:
    """Runs a worker whose launcher holds the other end of its input.

    Arguments
    ---------
    arguments : list[str] | None
        The plan; None takes it from the command line.

    Returns
    -------
    int
        The exit code.
    """
    (plan_file,) = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _stop)
    try:
        work(plan_file, linger=True, leash=0)
    except UserError as error:
        print(error, file=sys.stderr)
        return FATAL
    return 0


@contextmanager
def _claim(root: Path, trial: Trial) -> Iterator[bool]:
    """Holds the lock of a trial, unless somebody else does."""
    lock = FileLock(root / "claims" / f"{trial.digest}.lock", timeout=0)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(lock))
        except Timeout:
            mine = False
        else:
            mine = True
        yield mine


def _count(folder: Path, change: int) -> int:
    """Changes the number of attempts that have begun without an end."""
    file = folder / "attempts"
    try:
        number = max(0, int(file.read_text()) + change)
    except (OSError, ValueError):
        number = max(0, change)
    if change < 0:
        # On the way out of a full disk: what cannot be written is left.
        try:
            file.write_text(str(number)) if number else _forget(folder)
        except OSError:
            _forget(folder)
    else:
        write_text(file, str(number))
    return number


def _forget(folder: Path) -> None:
    """Removes the number of attempts."""
    try:
        (folder / "attempts").unlink(missing_ok=True)
    except OSError:
        pass


def _has_ended(leash: int | None) -> bool:
    """Says whether the launcher is gone or wants no more trials begun."""
    return leash is not None and bool(select.select([leash], [], [], 0)[0])


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends the worker; its `finally` blocks end what it started."""
    # Once is enough: a second signal must not interrupt the tidying up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())
