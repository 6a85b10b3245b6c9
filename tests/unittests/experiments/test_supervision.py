"""The hold on the process of a trial, and on workers."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from leanbrain import UserError
from leanbrain.experiments import Trial
from leanbrain.experiments.call import DiskError, stopped_by_disk
from leanbrain.experiments.crew import MAX_DEATHS, Crew
from leanbrain.experiments.plans import Plan, caller_path
from leanbrain.experiments.processes import descendants, end_tree
from leanbrain.experiments.supervision import Died, Runner, describe_exit


@pytest.fixture
def runner_of(functions, root):
    """Makes a runner for trials; ends it afterwards."""
    runners = []

    def make(*trials, **options):
        for trial in trials:
            trial.folder(root).mkdir(parents=True)
        file = root / "plan.json"
        Plan(root, trials, path=caller_path()).save(file)
        runners.append(Runner(file, **options))
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


def test_one_process_runs_many_trials(functions, root, runner_of):
    trials = [Trial(f"{functions}:square", {"x": i}) for i in range(3)]
    runner = runner_of(*trials)
    pids = set()
    for i, trial in enumerate(trials):
        outcome = runner.run(trial, trial.folder(root))
        assert (outcome["status"], outcome["result"]["y"]) == ("done", i * i)
        pids.add(runner._process.pid)
    (pid,) = pids
    assert runner.facts["host"]["cores"] >= 1
    runner.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_limit_is_kept_even_where_python_is_stuck(functions, root, runner_of):
    stuck = Trial(f"{functions}:stuck", {}, timeout_s=0.2)
    after = Trial(f"{functions}:square", {"x": 3})
    runner = runner_of(stuck, after)
    start = time.monotonic()
    outcome = runner.run(stuck, stuck.folder(root))
    assert outcome["status"] == "timed_out"
    assert time.monotonic() - start < 300
    assert runner.run(after, after.folder(root))["result"]["y"] == 9


def test_a_death_is_told_and_the_next_trial_runs(functions, root, runner_of):
    bad, good = (
        Trial(f"{functions}:crashes", {}),
        Trial(f"{functions}:square", {"x": 3}),
    )
    runner = runner_of(bad, good)
    with pytest.raises(Died, match="ended by SIGSEGV"):
        runner.run(bad, bad.folder(root))
    assert runner.run(good, good.folder(root))["result"]["y"] == 9


def test_a_full_disk_is_no_outcome(functions, root, runner_of):
    trial = Trial(f"{functions}:fills_the_disk", {})
    with pytest.raises(DiskError, match="No space left"):
        runner_of(trial).run(trial, trial.folder(root))


def test_the_disk_is_found_among_the_causes():
    full, other = OSError(28, "No space left"), OSError(2, "No such file")
    assert stopped_by_disk(full) == "No space left"
    assert stopped_by_disk(other) is None
    try:
        try:
            raise full
        except OSError as cause:
            raise RuntimeError("cannot save") from cause
    except RuntimeError as error:
        assert stopped_by_disk(error) == "No space left"


@pytest.mark.parametrize(
    ("code", "text"),
    [(3, "exit code 3"), (-9, r"SIGKILL \(out of memory\?\)"), (-99, "nal 99")],
)
def test_ways_to_end(code, text):
    assert re.search(text, describe_exit(code))


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_tree_ends_even_if_it_does_not_want_to():
    code = (
        "import signal, subprocess, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen(['sleep', '3600'], start_new_session=True);"
        "print('ready', flush=True); time.sleep(3600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    (child,) = descendants(process.pid)
    end_tree(process.pid, grace_s=0.2)
    assert process.wait(300) == -signal.SIGKILL
    process.stdout.close()
    assert child not in descendants(1)


def test_a_pause_as_long_as_all_patience_spares_nothing(monkeypatch):
    """The machine stands still just when the grace is over."""
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(3600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    now, real = [0.0], time.sleep

    def standstill(seconds):
        real(seconds)
        now[0] += 100.0

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=standstill)
    monkeypatch.setattr("leanbrain.experiments.processes.time", clock)
    end_tree(process.pid, grace_s=2.0)
    monkeypatch.undo()
    try:
        assert process.wait(300) == -signal.SIGKILL
    finally:
        process.kill()
        process.stdout.close()


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    file = tmp_path / "plan.json"
    file.write_text('{"root": "x", "trials": [], "nonsense": 1}')
    with pytest.raises(UserError, match="must be a plan of trials.*nonsense"):
        Plan.load(file)


class FakeBackend:
    """Workers whose endings are set by the test."""

    def __init__(self, workers, code=None):
        self.workers, self.code = workers, code
        self.launched = []

    def launch(self, plan_file, number):
        worker = FakeWorker(self.code)
        self.launched.append((number, worker))
        return worker


class FakeWorker:
    def __init__(self, code):
        self.code, self.calls = code, []

    def poll(self):
        return self.code

    def why(self):
        return "no luck"

    def stop(self):
        self.calls.append("stop")

    def wait(self):
        self.calls.append("wait")


class Clock:
    time = 0.0

    def __call__(self):
        return self.time


def test_no_more_workers_than_trials():
    backend = FakeBackend(5)
    crew = Crew(backend, Path("plan"), todo=3)
    crew.refresh(0)
    crew.refresh(0)
    assert [number for number, _ in backend.launched] == [0, 1, 2]
    crew.stop()
    assert all(w.calls == ["stop", "wait"] for _, w in backend.launched)


def test_a_dead_worker_is_replaced_in_its_place():
    backend = FakeBackend(3)
    crew = Crew(backend, Path("plan"), todo=9)
    crew.refresh(0)
    backend.launched[1][1].code = -9
    crew.refresh(0)
    assert [number for number, _ in backend.launched] == [0, 1, 2, 1]


def test_deaths_without_a_row_come_to_an_end():
    backend = FakeBackend(1, code=1)
    crew = Crew(backend, Path("plan"), todo=9)
    # With a row in between, the count begins anew.
    for rows in range(3 * MAX_DEATHS):
        crew.refresh(rows)
    with pytest.raises(UserError, match="died one after the other.*no luck"):
        for _ in range(MAX_DEATHS + 1):
            crew.refresh(rows)


def test_jobs_are_sent_again_for_what_others_hold_but_ever_more_rarely():
    backend, clock = FakeBackend(2, code=0), Clock()
    crew = Crew(backend, Path("plan"), todo=2, now=clock)
    times = []
    for tick in range(4000):
        clock.time = tick / 10
        before = len(backend.launched)
        crew.refresh(0)
        if len(backend.launched) > before:
            times.append(clock.time)
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert 1 <= gaps[0] <= 2
    assert all(a <= b + 0.2 for a, b in zip(gaps, gaps[1:], strict=False))
    assert 60 <= gaps[-1] <= 61
