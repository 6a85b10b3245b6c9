"""Runs a function in a process of its own that may crash, exit or hang."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["run_forked"]


def run_forked(
    function: Callable[[Any], Any], argument: Any, limit_s: float
) -> tuple[Any, str | None]:
    """Runs a function in a copy of this process; what is imported stays so.

    Arguments
    ---------
    function : Callable
        What to run; it prints nowhere.
    argument : Any
        What it is given.
    limit_s : float
        After so many seconds its process is killed.

    Returns
    -------
    Any
        What it returned; None if it did not.
    str | None
        Why it did not, in a few words.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(theirs, function, argument), daemon=True
    )
    process.start()
    theirs.close()  # the other end is the process's alone: we see it end
    try:
        if ours.poll(limit_s):
            return ours.recv()
        return None, f"not done after {limit_s:g} s"
    except EOFError:
        process.join()
        return None, f"its process ended with exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        ours.close()


def _work(pipe: Any, function: Callable[[Any], Any], argument: Any) -> None:
    """What the process does."""
    nowhere = open(os.devnull, "w", encoding="utf-8")
    sys.stdout = sys.stderr = nowhere
    for number in (1, 2):  # for what is not Python
        os.dup2(nowhere.fileno(), number)
    try:
        answer = function(argument), None
    except BaseException as error:  # a script may also exit
        text = " ".join(str(error).split())
        answer = None, f"{type(error).__name__}: {text}"[:200]
    pipe.send(answer)
