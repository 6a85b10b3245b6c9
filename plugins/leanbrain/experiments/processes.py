"""Processes that leave nothing behind: groups, limits, orphans."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from leanbrain.checks import UserError

__all__ = [
    "adopt_orphans",
    "check_alone",
    "descendants",
    "die_with_parent",
    "end_tree",
]

# Numbers of Linux's prctl(2).
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36
_PAUSE_S = 0.02
# How long the dead are waited for: a busy machine takes its time.
_DEAD_S = 10.0


def check_alone(name: str) -> None:
    """Refuses to be one of several processes that torchrun started.

    Each would take itself for the only one, and write what the others write.

    Arguments
    ---------
    name : str
        What was started, such as "compare.py".

    Raises
    ------
    UserError
        If torchrun started more than this process.

    Example
    -------
    >>> check_alone("compare.py")
    """
    ranks = os.environ.get("WORLD_SIZE", "1")
    if "LOCAL_RANK" in os.environ and ranks != "1":
        raise UserError(
            f"{name} must be one process, not one of several under torchrun, "
            f"got WORLD_SIZE {ranks}."
        )


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """Makes what a new process does first, so that it never outlives us.

    Only Linux can do that; elsewhere a process whose parent is killed by
    force goes on until it ends by itself.

    Arguments
    ---------
    signal_number : int
        What the process gets when its parent dies.

    Returns
    -------
    Callable[[], None]
        To be given to `subprocess.Popen` as `preexec_fn`.
    """
    # Everything is looked up here: between fork and exec little is safe.
    prctl, parent = _prctl(), os.getpid()

    def first() -> None:
        """Ties the new process to its parent's life."""
        if prctl is not None:
            prctl(_SET_PDEATHSIG, signal_number, 0, 0, 0)
            if os.getppid() != parent:
                os.kill(os.getpid(), signal_number)

    return first


def adopt_orphans() -> None:
    """Makes processes whose parents died ours, so that `end_tree` sees them.

    Linux only; elsewhere nothing happens.
    """
    prctl = _prctl()
    if prctl is not None:
        prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Lists the processes below a process, whatever their groups.

    Arguments
    ---------
    pid : int
        The process.

    Returns
    -------
    list
        Their ids without its own; empty where there is no /proc.
    """
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything.
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if state != "Z":
            children.setdefault(int(parent), []).append(int(path.parent.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def end_tree(pid: int, grace_s: float = 2.0) -> None:
    """Ends a process, its group and all below it, first kindly.

    Arguments
    ---------
    pid : int
        The process; the own one stands for all that is below it.
    grace_s : float
        How many seconds they have between SIGTERM and SIGKILL.
    """
    end = time.monotonic() + grace_s
    number: int = signal.SIGTERM
    while True:
        alive = descendants(pid) + [pid] * (pid != os.getpid())
        for each in alive:
            _send(each, number)
        if not any(_lives(x) for x in alive):
            return
        now = time.monotonic()
        if number == signal.SIGKILL:
            # The system does not let go of it: a disk that does not answer.
            if now >= end + _DEAD_S:
                return
        elif now >= end:
            # Killed until none is left, however late that is found out.
            number, end = signal.SIGKILL, now
        else:
            number = 0  # asked once
        time.sleep(_PAUSE_S)


def _send(pid: int, number: int) -> None:
    """Sends a signal to a process, or to its group if it leads one."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _lives(pid: int) -> bool:
    """Says whether a process runs: one that only waits to be read does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return not Path("/proc/self").exists() and _exists(pid)
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _exists(pid: int) -> bool:
    """Says whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _prctl() -> Callable[..., int] | None:
    """Finds Linux's prctl."""
    if sys.platform != "linux":
        return None
    return ctypes.CDLL(None, use_errno=True).prctl
