"""The process in which trials run; its worker watches it from outside.

It reads digests from its standard input and answers with lines of JSON on what
was its standard output. What trials print goes to the trial's `log.txt`.
"""

import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leanbrain.experiments.call import DiskError, call, stopped_by_disk
from leanbrain.experiments.facts import facts
from leanbrain.experiments.plans import Plan
from leanbrain.experiments.processes import end_tree
from leanbrain.experiments.trials import Trial

__all__ = ["main"]


def main(plan_file: str) -> None:
    """Runs the trials it is told to, until its input ends.

    Arguments
    ---------
    plan_file : str
        The plan that the trials are part of.
    """
    orders = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    _redirect(os.devnull)
    plan = Plan.load(plan_file)
    plan.extend_path()
    trials = {trial.digest: trial for trial in plan.trials}

    def answer(**message: Any) -> None:
        """Sends a message, at once."""
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    for digest in _read(orders):
        trial = trials[digest]
        answer(**_run(trial, trial.folder(plan.root), answer))


def _run(trial: Trial, folder: Path, answer: Any) -> dict[str, Any]:
    """Runs one trial with its output in its log."""
    try:
        _redirect(folder / "log.txt")
        outcome = call(trial, folder, lambda: answer(event="started"))
    except (DiskError, OSError) as error:
        if not isinstance(error, DiskError) and stopped_by_disk(error) is None:
            raise
        return {"event": "disk", "message": str(error)}
    finally:
        _flush()
    return {"event": "ended", "outcome": outcome, "facts": facts()}


def _read(orders: Any) -> Iterator[str]:
    """Gives the orders; ends the process if nobody is left who gives them."""
    waiting: queue.Queue[str] = queue.Queue()
    idle = threading.Event()

    def listen() -> None:
        """Queues orders; ends this process with its worker."""
        for line in orders:
            idle.clear()
            waiting.put(line.strip())
        waiting.put("")
        if not idle.is_set():
            # The worker died during a trial. Linux has ended this process
            # before it comes here; other systems do not do that.
            end_tree(os.getpid(), grace_s=0.5)
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        idle.set()
        order = waiting.get()
        if not order:
            return
        yield order


def _redirect(path: str | os.PathLike[str]) -> None:
    """Sends all output of this process to a file, that of C code as well."""
    _flush()
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    os.close(null)


def _flush() -> None:
    """Writes out what Python holds back; a full disk loses it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            pass


if __name__ == "__main__":
    main(sys.argv[1])
