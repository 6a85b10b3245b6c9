"""Where workers run: the interface, and this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from leanbrain.checks import UserError, check_int
from leanbrain.experiments.call import call
from leanbrain.experiments.plans import Plan
from leanbrain.experiments.supervision import describe_exit
from leanbrain.experiments.trials import Trial
from leanbrain.experiments.worker import FATAL, Queue

__all__ = ["Backend", "LocalPool", "Worker", "thread_variables"]

# How long a worker has to end its trial's processes and to go.
_STOP_S = 8.0
# How long trials run in this process before the launcher looks again.
_INLINE_S = 1.0


class Worker(Protocol):
    """One worker, as its launcher sees it."""

    def poll(self) -> int | None:
        """Looks at how it is.

        Returns
        -------
        int | None
            None while it works, or waits for its turn on a cluster; 0 once it
            found nothing more to claim; anything else if it died.

        Raises
        ------
        UserError
            If it ended because no worker could go on.
        """

    def why(self) -> str:
        """Says, after it died, what it said last.

        Returns
        -------
        str
            One line.
        """

    def stop(self) -> None:
        """Ends it and its trial at once, without waiting for that."""

    def wait(self) -> None:
        """Waits, after `stop`, until it has ended; by force if need be."""


class Backend(Protocol):
    """Starts workers; all of them run the same loop.

    Arguments
    ---------
    workers : int
        How many trials run at the same time.
    """

    @property
    def workers(self) -> int:
        """How many trials run at the same time, at least 1."""

    def launch(self, plan_file: Path, number: int) -> Worker:
        """Starts a worker.

        Arguments
        ---------
        plan_file : Path
            What it is to work on.
        number : int
            Which of the workers it is, from 0.

        Returns
        -------
        Worker
            The worker.
        """


def thread_variables(threads: int) -> dict[str, str]:
    """Lists the variables that limit threads of numerical libraries.

    Arguments
    ---------
    threads : int
        How many threads.

    Returns
    -------
    dict
        Name -> number.
    """
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB_MAXIMUM")
    return {f"{name}_NUM_THREADS": str(threads) for name in names}


class LocalPool:
    """Workers on this machine, each a fresh process that runs many trials.

    Arguments
    ---------
    workers : int | None
        How many; None takes as many as there are cores for `threads` each.
        With 0 the trials run in this process, one after the other, which is
        for debugging: a trial that crashes takes this process with it, and
        one that takes too long is only told so afterwards.
    threads : int
        Threads of each trial (OMP, MKL and the like).
    pin : bool
        Whether each worker keeps to cores of its own (Linux).
    """

    def __init__(
        self, workers: int | None = None, threads: int = 1, pin: bool = False
    ) -> None:
        self.threads = check_int("threads", threads, low=1)
        cores = _cores()
        if workers is None:
            workers = max(1, len(cores) // self.threads)
        self._number = check_int("workers", workers, low=0)
        if pin and not hasattr(os, "sched_setaffinity"):
            raise UserError("`pin` must be False on this system, got True.")
        self._cores = cores if pin else []

    @property
    def workers(self) -> int:
        """How many trials run at the same time."""
        return max(1, self._number)

    def launch(self, plan_file: Path, number: int) -> Worker:
        """Starts a worker.

        Arguments
        ---------
        plan_file : Path
            What it is to work on.
        number : int
            Which of the workers it is, from 0.

        Returns
        -------
        Worker
            The worker.
        """
        variables = thread_variables(self.threads)
        if self._number == 0:
            return _Inline(Plan.load(plan_file), variables)
        first = number * self.threads
        mine = {
            self._cores[i % len(self._cores)]
            for i in range(first, first + self.threads)
            if self._cores
        }
        return _Local(plan_file, variables, mine)


class _Local:
    """A worker process of this machine."""

    def __init__(
        self, plan_file: Path, variables: Mapping[str, str], cores: set[int]
    ) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "leanbrain.experiments.worker",
                str(plan_file),
            ],
            # The worker sees by it when we are gone; nothing is written.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **variables},
            # Ctrl-C is ours alone; the workers are told by `stop`.
            start_new_session=True,
        )
        if cores:
            os.sched_setaffinity(self._process.pid, cores)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def poll(self) -> int | None:
        """Looks at the process; raises what no worker could mend."""
        code = self._process.poll()
        if code == FATAL:
            raise UserError(self.why())
        return code

    def why(self) -> str:
        """Reads its last words."""
        text = ""
        if self._process.stderr is not None:
            text = self._process.stderr.read().decode(errors="replace")
        lines = text.strip().splitlines()
        return lines[-1] if lines else describe_exit(self._process.returncode)

    def stop(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def wait(self) -> None:
        """Waits for its end."""
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                pipe.close()


class _Inline:
    """The loop of a worker in this process, one trial at a time."""

    def __init__(self, plan: Plan, variables: Mapping[str, str]) -> None:
        self._queue = Queue(plan, _call_here)
        self._variables = variables

    def poll(self) -> int | None:
        """Runs trials until it is time to say how far it is."""
        end = time.monotonic() + _INLINE_S
        with _threads(self._variables):
            while self._queue.run_next():
                if time.monotonic() >= end:
                    return None
        return 0 if self._queue.finished else None

    def why(self) -> str:
        """It does not die without us."""
        return ""

    def stop(self) -> None:
        """Nothing runs in between."""

    def wait(self) -> None:
        """Nothing runs in between."""


def _call_here(trial: Trial, folder: Path) -> dict[str, Any]:
    """Runs a trial in this process; its limit is looked at afterwards."""
    outcome = call(trial, folder)
    limit = trial.timeout_s
    if limit is not None and outcome["seconds"] > limit:
        reason = f"It took longer than its limit of {limit:g} s."
        outcome.update(status="timed_out", reason=reason, result=None)
    return outcome


@contextmanager
def _threads(variables: Mapping[str, str]) -> Iterator[None]:
    """Limits the threads of this process for a while."""
    before = {name: os.environ.get(name) for name in variables}
    torch = sys.modules.get("torch")
    count = torch.get_num_threads() if torch else 0
    os.environ.update(variables)
    if torch:
        torch.set_num_threads(int(variables["OMP_NUM_THREADS"]))
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(count)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _cores() -> list[int]:
    """Lists the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
