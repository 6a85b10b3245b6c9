"""Runs a script on two gloo ranks of which one is late with its files.

    two_ranks.py late_writes|late_reads <script> <arguments>

Where the ranks do not wait for each other, one of them finds folders as they
were, or as they will be, every time and not only on a busy machine. Started
by `run_script` it shares what that has imported. A hang ends with the stack of
each rank.
"""

import atexit
import faulthandler
import functools
import os
import runpy
import shutil
import signal
import sys
import time
import traceback
from multiprocessing.util import _exit_function
from pathlib import Path

import torch

LIMIT_S = 600
LATE_S = {"writes": 0.06, "reads": 0.03}
WRITES = (
    (os, "rename"),
    (os, "replace"),
    (Path, "rename"),
    (Path, "replace"),
    (shutil, "rmtree"),
)


def late_writes(rank):
    """What the first rank renames and deletes, it does late."""

    def late(function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            time.sleep(LATE_S["writes"])
            return function(*args, **kwargs)

        return wrapped

    for owner, name in WRITES if rank == 0 else ():
        setattr(owner, name, late(getattr(owner, name)))


def late_reads(rank):
    """What the second rank lists, it lists late and uses later."""
    if rank == 0:
        return
    iterdir = Path.iterdir

    def late(path):
        time.sleep(LATE_S["reads"])
        found = list(iterdir(path))
        time.sleep(LATE_S["reads"])
        return iter(found)

    Path.iterdir = late


def code_of(command):
    """Runs a script in this process; returns its exit code."""
    sys.argv, sys.path[0] = command, str(Path(command[0]).parent)
    try:
        runpy.run_path(command[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def work(rank, port, late, command):
    """What the process of a rank does; it never returns."""
    faulthandler.dump_traceback_later(LIMIT_S, exit=True)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        # As torchrun does: the parent has the store, so no port is guessed.
        MASTER_PORT=os.read(port, 10).decode(),
        TORCHELASTIC_USE_AGENT_STORE="True",
        TORCHELASTIC_RESTART_COUNT="0",
        GLOO_SOCKET_IFNAME="lo",
    )
    torch.set_num_threads(1)
    late(rank)
    code = code_of(command)
    faulthandler.cancel_dump_traceback_later()
    _exit_function()  # joins the processes that the script started
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(name, *command):
    """Runs both ranks; the first that fails ends the other one."""
    late = {f.__name__: f for f in (late_writes, late_reads)}[name]
    ranks, pipes = set(), []
    for rank in range(2):
        read, write = os.pipe()
        pipes.append(write)
        child = os.fork()
        if not child:
            work(rank, read, late, list(command))
        ranks.add(child)
    # After the forks, which do not copy its threads.
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
    for pipe in pipes:
        os.write(pipe, str(store.port).encode())
    worst = 0
    while ranks:
        child, status = os.wait()
        ranks.discard(child)
        code = os.waitstatus_to_exitcode(status)
        if code and not worst:
            worst = code if code > 0 else 1
            for other in ranks:
                os.kill(other, signal.SIGKILL)
    return worst


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
