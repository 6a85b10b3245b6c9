"""A worker's hold on the process in which its trials run.

The limit on time is kept from outside: code that is stuck in C, or that holds
Python's lock, can still be ended. That needs no launcher and no scheduler, so
that it is the same on this machine and on a cluster.
"""

import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leanbrain.experiments.call import DiskError
from leanbrain.experiments.processes import die_with_parent, end_tree
from leanbrain.experiments.trials import Trial

__all__ = ["Died", "Runner", "describe_exit"]

# What loading the modules of a trial may take on top of its limit.
LOADING_S = 300.0


class Died(Exception):
    """The process of a trial ended before the trial did.

    Arguments
    ---------
    reason : str
        One sentence.
    seconds : float
        How long the process had worked on the trial.
    """

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason, self.seconds = reason, seconds


class Runner:
    """Runs trials one after the other in another process.

    Arguments
    ---------
    plan_file : Path
        The plan that the trials are part of.
    environment : Mapping[str, str]
        Variables set for the process.
    alone : bool
        Whether this process starts nothing else: what is below it is then
        ended as well, such as orphans of a process that died.
    """

    def __init__(
        self,
        plan_file: Path,
        environment: Mapping[str, str] | None = None,
        alone: bool = False,
    ) -> None:
        self._alone = alone
        self._command = [
            sys.executable,
            "-m",
            "leanbrain.experiments.runner",
            str(plan_file),
        ]
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.facts: dict[str, Any] = {}

    def run(self, trial: Trial, folder: Path) -> dict[str, Any]:
        """Runs one trial.

        Arguments
        ---------
        trial : Trial
            What to run.
        folder : Path
            Its folder.

        Returns
        -------
        dict
            Its outcome, as `call` returns it; "timed_out" if it took longer
            than it may.

        Raises
        ------
        Died
            If the process ended.
        DiskError
            If the disk is full.
        """
        start = time.monotonic()
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(trial.digest.encode() + b"\n")
            process.stdin.flush()
            return self._wait(process, trial, start)
        except TimeoutError:
            self.close()
            reason = f"It took longer than its limit of {trial.timeout_s:g} s."
            status = "timed_out"
            seconds = trial.timeout_s
        except EOFError:
            self.close()
            raise Died(
                describe_exit(process.returncode), time.monotonic() - start
            ) from None
        except BrokenPipeError:
            self.close()
            raise Died(describe_exit(process.returncode), 0.0) from None
        return {
            "status": status,
            "reason": reason,
            "seconds": seconds,
            "result": None,
        }

    def close(self) -> None:
        """Ends the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        end_tree(process.pid)
        process.wait()
        if self._alone:
            # What was below a process that died is ours since then.
            end_tree(os.getpid())
            _collect()
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass

    def _started(self) -> subprocess.Popen[bytes]:
        """Returns the process, a new one if there is none."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        return self._process

    def _wait(
        self, process: subprocess.Popen[bytes], trial: Trial, start: float
    ) -> dict[str, Any]:
        """Waits for the outcome."""
        limit = math.inf if trial.timeout_s is None else trial.timeout_s
        answers = _Answers(process, start + limit + LOADING_S)
        while True:
            message = answers.next()
            if message["event"] == "disk":
                raise DiskError(message["message"])
            if message["event"] == "ended":
                self.facts = message["facts"]
                return message["outcome"]
            answers.deadline = time.monotonic() + limit


class _Answers:
    """Lines of JSON from a process, up to a moment that may be moved."""

    def __init__(
        self, process: subprocess.Popen[bytes], deadline: float
    ) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout.fileno()
        self._buffer = b""
        self.deadline = deadline

    def next(self) -> dict[str, Any]:
        """Waits for a line: TimeoutError if it is late, EOFError at the end."""
        while b"\n" not in self._buffer:
            left = max(0.0, self.deadline - time.monotonic())
            # No system waits for ever in one call.
            ready = select.select([self._pipe], [], [], min(left, 3600.0))[0]
            if not ready and left <= 3600.0:
                raise TimeoutError
            if ready:
                chunk = os.read(self._pipe, 1 << 16)
                if not chunk:
                    raise EOFError
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


def describe_exit(code: int | None) -> str:
    """Says how a process ended.

    Arguments
    ---------
    code : int | None
        Its return code; negative for a signal.

    Returns
    -------
    str
        One sentence.

    Example
    -------
    >>> describe_exit(-11)
    'Its process was ended by SIGSEGV.'
    """
    if code is None or code >= 0:
        return f"Its process ended with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"Its process was ended by {name}{hint}."


def _collect() -> None:
    """Reads the endings of adopted processes, which would stay otherwise."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
