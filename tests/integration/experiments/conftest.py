"""Launchers as processes of their own, which can be killed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

LAUNCHER = """
import json, resource, signal, sys
# Shells start what they put into the background without it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from leanbrain import user_errors
from leanbrain.experiments import LocalPool, Trial, run_trials
root, workers, limit, *trials = json.loads(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
with user_errors():
    rows = run_trials([Trial(**x) for x in trials], root, LocalPool(workers))
print(json.dumps(rows))
"""


@pytest.fixture
def functions(monkeypatch, repo_root):
    """The name of a module with run functions that import nothing heavy."""
    folder = repo_root / "tests" / "unittests" / "experiments"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return "experiment_functions"


@pytest.fixture
def root(tmp_path):
    """The folder of an experiment."""
    return tmp_path / "runs"


@pytest.fixture
def launch():
    """Starts launchers; kills those that a failed test leaves."""
    started = []

    def start(root, workers, trials, limit=0):
        task = json.dumps([str(root), workers, limit, *trials])
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, task],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def gate(tmp_path):
    """Trials begin, and end once the gate is open."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


class Gate:
    """Tells who waits before a file that does not exist yet."""

    def __init__(self, path):
        self.path = path

    def trials(self, functions, count):
        """Gives trials that wait, as arguments of Trial."""
        return [
            {
                "run": f"{functions}:gated",
                "config": {"i": i},
                "context": {"gate": str(self.path)},
            }
            for i in range(count)
        ]

    def begun(self):
        """Gives (trial, runner, worker) of all that began, in their order."""
        try:
            lines = open(f"{self.path}.begun").read().splitlines()
        except FileNotFoundError:
            return []
        return [tuple(int(x) for x in line.split()) for line in lines]

    def wait_for(self, count):
        """Waits until so many have begun."""
        wait_until(lambda: len(self.begun()) >= count)
        return self.begun()

    def open(self):
        """Lets all trials end."""
        self.path.touch()


def wait_until(condition, seconds=600.0):
    """Waits for something that must come, however busy the machine is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def lives(pid):
    """Says whether a process runs (one that only waits to be read does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def processes():
    """What tests ask and do about processes."""

    class Processes:
        alive = staticmethod(lives)
        wait_until = staticmethod(wait_until)

        @staticmethod
        def kill(pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not lives(pid))

    return Processes
