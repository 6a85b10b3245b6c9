"""The clock: process CPU time, one thread, methods in turns."""

import contextlib
import time

import torch


@contextlib.contextmanager
def one_thread():
    """Holds every library in this process to one thread."""
    torch.set_num_threads(1)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        # The variables that nmf_bench sets on import are then all there is.
        yield
        return
    with threadpool_limits(limits=1):
        yield


def cpu_seconds(task):
    """CPU seconds of one call, and what it returned."""
    start = time.process_time()
    result = task()
    return time.process_time() - start, result


def in_turns(tasks, rounds):
    """Least CPU seconds of every task.

    The first call of each is discarded. Then all take turns, in the opposite
    order every other round, so that a slow phase of the machine meets all.

    Arguments
    ---------
    tasks : dict
        Name -> function without arguments.
    rounds : int
        How often each is timed.

    Returns
    -------
    dict
        Name -> seconds.
    """
    for task in tasks.values():
        task()
    seconds = {name: [] for name in tasks}
    for number in range(rounds):
        names = list(tasks)
        for name in names if number % 2 == 0 else reversed(names):
            seconds[name].append(cpu_seconds(tasks[name])[0])
    return {name: min(values) for name, values in seconds.items()}
