"""Threads of torch on the CPU: as many as work is worth and cores are free.

Threads that share an operation wait for each other at its end, and GNU OpenMP
lets them spin for milliseconds. Where other processes hold the cores, what
they wait for does not run, and a small operation costs fifty times its time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MACS_PER_THREAD", "Threads", "threads_on", "wait_briefly"]

# Multiply-adds of one operation that are worth a thread: a tenth of a
# millisecond, beside some 10 microseconds in which threads find each other.
MACS_PER_THREAD = 2**22
# One thread and two give the same to the last bit, more do not: libraries cut
# products elsewhere. What else the machine does must not be seen in a result.
ALIKE = 2
# Some 20 microseconds in place of milliseconds: what waits longer sleeps. With
# none, operations below a millisecond would be slower by two threads than by
# one.
SPINS = "1000"
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_RUNNING = Path("/proc/loadavg")


def wait_briefly() -> None:
    """Lets waiting threads of OpenMP sleep soon, unless the user has said how.

    Sets GOMP_SPINCOUNT, which counts for this process if torch is not loaded
    yet, and for processes that it starts.
    """
    said = any(name in os.environ for name in _WAITING)
    if "torch" not in sys.modules and not said:
        os.environ["GOMP_SPINCOUNT"] = SPINS


class Threads:
    """Limits the threads of torch while it is entered.

    Never to more than there were before, so that OMP_NUM_THREADS and
    ``torch.set_num_threads`` are upper limits, and to one thread for each
    `MACS_PER_THREAD` of the work. Where OMP_NUM_THREADS does not say how many
    are the user's, to the cores that no other process computes on (Linux), and
    to `ALIKE`: with more, a result would depend on what was free.

    Arguments
    ---------
    macs : float
        Multiply-adds of the largest of the operations.

    Example
    -------
    >>> import torch
    >>> before = torch.get_num_threads()
    >>> with Threads(macs=1000):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """

    def __init__(self, macs: float) -> None:
        self.worth = int(max(1, macs // MACS_PER_THREAD))
        self.most = 0

    def __enter__(self) -> Threads:
        import torch

        self.most = torch.get_num_threads()
        self.look()
        return self

    def look(self) -> None:
        """Looks again at what is free; for every tenth of a second or so."""
        threads = min(self.most, self.worth)
        # Reading how many run takes as long as a small operation.
        if threads > 1 and "OMP_NUM_THREADS" not in os.environ:
            threads = max(1, min(threads, ALIKE, _free_cores()))
        _set(threads)

    def __exit__(self, *error: object) -> None:
        _set(self.most)


def threads_on(tensor: Tensor, macs: float) -> Threads:
    """The threads for work on a tensor: one where it is on a GPU.

    Arguments
    ---------
    tensor : Tensor
        On the device of the work.
    macs : float
        As of ``Threads``.

    Returns
    -------
    Threads
        To be entered.
    """
    return Threads(macs if tensor.device.type == "cpu" else 0)


def _set(threads: int) -> None:
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _free_cores() -> int:
    """Cores on which nothing runs but this thread; all where nobody knows."""
    cores = os.cpu_count() or 1
    try:
        fields = _RUNNING.read_text(encoding="ascii").split()
    except OSError:
        return cores
    # "running/all" counts threads of the whole machine, this one as well.
    return cores - int(fields[3].partition("/")[0]) + 1
