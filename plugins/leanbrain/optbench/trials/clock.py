"""The clock of a trial: it runs while something is done that counts.

Training steps, reading of data and `prepare_for_eval` count; building the
model, evaluation, logging and checkpoints do not (AlgoPerf, arXiv 2306.07179,
section 4.1). Three times are taken, since each is wrong in its own way: wall
time suffers from whatever else the machine does, processor time counts no
waiting, and neither says what a user waits for in the end.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from leanbrain.optbench.trials.ranks import max_over_ranks

__all__ = ["PausedClock", "Reading", "process_cpu", "synchronizer"]


@dataclass(frozen=True)
class Reading:
    """Three times since the clock was first started, in seconds.

    Arguments
    ---------
    step_s : float
        Wall time of what counts. This is the time that AlgoPerf scores.
    cpu_s : float
        Processor time of what counts: all threads and child processes.
    wall_s : float
        Wall time of everything, pauses included.
    """

    step_s: float
    cpu_s: float
    wall_s: float

    def as_result(self) -> dict[str, float]:
        """The three times under the names that results use."""
        return {"step": self.step_s, "cpu": self.cpu_s, "wall": self.wall_s}

    def as_point(self) -> dict[str, float]:
        """The three times under the names that points of a curve use."""
        return asdict(self)


class PausedClock:
    """Counts time between `start` and `pause`, the device being idle at both.

    Arguments
    ---------
    device : str | torch.device
        Work that was queued on it is waited for before a time is read.
    now : Callable
        Wall time in seconds.
    cpu_now : Callable
        Processor time in seconds.
    synchronize : Callable | None
        Waits for the device; None chooses by `device`.

    Example
    -------
    >>> ticks = iter(range(100))
    >>> clock = PausedClock(now=lambda: next(ticks), cpu_now=lambda: 0)
    >>> with clock.running():
    ...     pass
    >>> clock.read().step_s
    1.0
    """

    def __init__(
        self,
        device: str | torch.device = "cpu",
        *,
        now: Callable[[], float] = time.perf_counter,
        cpu_now: Callable[[], float] | None = None,
        synchronize: Callable[[], None] | None = None,
    ) -> None:
        self._now = now
        self._cpu_now = cpu_now or process_cpu
        self._synchronize = synchronize or synchronizer(device)
        self._step_s = self._cpu_s = 0.0
        self._origin: float | None = None
        self._since: tuple[float, float] | None = None

    @property
    def is_running(self) -> bool:
        """Whether time is being counted."""
        return self._since is not None

    def start(self) -> None:
        """Starts or continues counting.

        Raises
        ------
        RuntimeError
            If it is running already.
        """
        if self._since is not None:
            raise RuntimeError("The clock must be paused to be started.")
        self._synchronize()
        cpu = self._cpu_now()
        # Wall time last here and first in `pause`: what reading costs is not
        # counted.
        wall = self._now()
        if self._origin is None:
            self._origin = wall
        self._since = wall, cpu

    def pause(self) -> None:
        """Stops counting.

        Raises
        ------
        RuntimeError
            If it is not running.
        """
        if self._since is None:
            raise RuntimeError("The clock must be running to be paused.")
        self._synchronize()
        wall, cpu = self._now(), self._cpu_now()
        self._step_s += wall - self._since[0]
        self._cpu_s += cpu - self._since[1]
        self._since = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts what is done inside the block."""
        self.start()
        try:
            yield
        finally:
            self.pause()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves out what is done inside the block."""
        was_running = self.is_running
        if was_running:
            self.pause()
        try:
            yield
        finally:
            if was_running:
                self.start()

    def read(self) -> Reading:
        """Reads the clock; in a distributed trial all processes must.

        Returns
        -------
        Reading
            The largest of each time over all processes.
        """
        step_s, cpu_s = self._step_s, self._cpu_s
        if self._since is not None:
            self._synchronize()
            wall = self._now()
            step_s += wall - self._since[0]
            cpu_s += self._cpu_now() - self._since[1]
        elif self._origin is not None:
            wall = self._now()
        wall_s = 0.0 if self._origin is None else wall - self._origin
        return Reading(*max_over_ranks([step_s, cpu_s, wall_s]))


def process_cpu() -> float:
    """Processor time of this process, its threads and its child processes.

    Returns
    -------
    float
        In seconds; of children that still run (loaders of data), where the
        system tells, in steps of a clock tick (10 ms).
    """
    # Lists children that run and, as a side effect, waits for those that
    # ended: their time then is in os.times().
    children = [x.pid for x in multiprocessing.active_children()]
    times = os.times()
    ended = times.children_user + times.children_system
    return time.process_time() + ended + sum(map(_cpu_of, children))


def _cpu_of(pid: int | None) -> float:
    """Processor time of another process; 0 where the system is silent."""
    # The process may end between listing and reading.
    with suppress(OSError, ValueError, IndexError, AttributeError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        # The second field, in parentheses, may hold spaces.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def synchronizer(device: str | torch.device) -> Callable[[], None]:
    """Finds what waits for a device.

    Arguments
    ---------
    device : str | torch.device
        Where work may be queued.

    Returns
    -------
    Callable
        Returns when the device is idle; at once for the CPU.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    if device.type == "mps":
        return torch.mps.synchronize
    return lambda: None
