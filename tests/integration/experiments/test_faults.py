"""Whatever is killed, at most one trial is lost, and none is left undone."""

import json
import os
import signal
import sys

import pytest

from leanbrain.experiments import Ledger, LocalPool, Trial, run_trials
from leanbrain.experiments.estimates import estimate

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="asks /proc who lives"
)


def rows_of(launcher):
    out, err = launcher.communicate(timeout=600)
    assert launcher.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def test_a_killed_worker_is_replaced(functions, root, launch, gate, processes):
    launcher = launch(root, 2, gate.trials(functions, 4))
    (first, runner, worker), (_, _, other) = gate.wait_for(2)
    processes.kill(worker)
    # The trial does not go on without its worker, and is claimed again.
    processes.wait_until(lambda: not processes.alive(runner))
    assert not processes.alive(worker)
    again, _, replacement = gate.wait_for(3)[2]
    assert again == first and replacement not in (worker, other)
    gate.open()
    rows = rows_of(launcher)
    assert [row["result"]["i"] for row in rows] == [0, 1, 2, 3]
    assert [row["attempts"] for row in rows if row["config"]["i"] == first] == [
        2
    ]
    # Only that one trial was begun twice.
    assert len(gate.begun()) == 5


def test_a_killed_process_of_a_trial_is_replaced(
    functions, root, launch, gate, processes
):
    launcher = launch(root, 1, gate.trials(functions, 2))
    ((_, runner, worker),) = gate.wait_for(1)
    processes.kill(runner)
    again, _, same_worker = gate.wait_for(2)[1]
    assert (again, same_worker) == (0, worker)
    gate.open()
    assert [row["attempts"] for row in rows_of(launcher)] == [2, 1]


def test_a_trial_that_kills_its_worker_twice_has_crashed(
    functions, root, launch, gate, processes
):
    launcher = launch(root, 1, gate.trials(functions, 2))
    for count in (1, 2):
        trial, _, worker = gate.wait_for(count)[-1]
        assert trial == 0
        processes.kill(worker)
    gate.wait_for(3)
    gate.open()
    first, second = rows_of(launcher)
    assert first["status"] == "crashed"
    assert "worker was killed. This happened in 2" in first["reason"]
    assert second["status"] == "done"


def test_a_killed_launcher_loses_nothing(
    functions, root, launch, gate, processes
):
    """Workers finish what they run, begin nothing else, and are gone."""
    trials = gate.trials(functions, 5)
    launcher = launch(root, 2, trials)
    pairs = gate.wait_for(2)
    launcher.kill()
    launcher.wait()
    gate.open()
    everyone = [pid for _, runner, worker in pairs for pid in (runner, worker)]
    processes.wait_until(lambda: not any(map(processes.alive, everyone)))
    done = {row["config"]["i"] for row in Ledger(root).read()}
    assert done == {0, 1}
    left = estimate([Trial(**x) for x in trials], root, 1).todo
    assert left == 3
    rows = rows_of(launch(root, 2, trials))
    assert [row["result"]["i"] for row in rows] == [0, 1, 2, 3, 4]
    assert sorted(i for i, _, _ in gate.begun()) == [0, 1, 2, 3, 4]


def test_two_launchers_share_the_work(functions, root, launch, gate):
    trials = gate.trials(functions, 8)
    launchers = [launch(root, 2, trials) for _ in range(2)]
    begun = gate.wait_for(4)
    assert len({worker for _, _, worker in begun}) == 4
    gate.open()
    first, second = (rows_of(launcher) for launcher in launchers)
    assert first == second
    assert [row["status"] for row in first] == ["done"] * 8
    # No trial was run twice.
    assert sorted(i for i, _, _ in gate.begun()) == list(range(8))
    assert len(Ledger(root).path.read_text().splitlines()) == 8


def test_the_other_launcher_finishes_what_a_killed_one_held(
    functions, root, launch, gate, processes
):
    trials = gate.trials(functions, 2)
    victim = launch(root, 1, trials)
    ((held, runner, worker),) = gate.wait_for(1)
    other = launch(root, 1, trials)
    gate.wait_for(2)
    victim.kill()
    processes.kill(worker)
    gate.open()
    rows = rows_of(other)
    assert [row["status"] for row in rows] == ["done"] * 2
    assert [i for i, _, _ in gate.begun()].count(held) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_and_says_how_to_go_on(
    functions, root, launch, gate, processes, number
):
    trials = gate.trials(functions, 3)
    launcher = launch(root, 2, trials)
    begun = gate.wait_for(2)
    launcher.send_signal(number)
    out, err = launcher.communicate(timeout=600)
    assert launcher.returncode == 130
    assert "Traceback" not in err
    assert "0 of 3 trials were recorded" in out.splitlines()[-1]
    assert "the same command goes on from there" in out.splitlines()[-1]
    pids = [pid for _, runner, worker in begun for pid in (runner, worker)]
    processes.wait_until(lambda: not any(map(processes.alive, pids)))
    gate.open()
    rows = rows_of(launch(root, 2, trials))
    # An interruption is no attempt that counts.
    assert [row["attempts"] for row in rows] == [1, 1, 1]


def test_a_full_disk_is_one_sentence(functions, root, launch):
    """No file may grow beyond 20 kB: the ledger is full after some rows."""
    trials = [
        {"run": f"{functions}:bulky", "config": {"i": i}} for i in range(8)
    ]
    small = launch(root, 1, trials, limit=20_000)
    out, err = small.communicate(timeout=600)
    assert small.returncode == 2
    assert err.startswith("error: ") and err.count("\n") == 1, err
    assert "File too large" in err
    content = (root / "ledger.jsonl").read_bytes()
    assert 0 < len(content) <= 20_000 and content.endswith(b"\n")
    before = Ledger(root)
    assert 0 < len(before.read()) < 8 and before.problems == []
    # With room again, it goes on from there.
    assert len(rows_of(launch(root, 2, trials))) == 8
    assert len((root / "ledger.jsonl").read_bytes().splitlines()) == 8


def test_a_trial_that_is_ended_takes_its_children_with_it(
    functions, tmp_path, root, processes
):
    """Even those in a session of their own, and those whose parent died."""
    pids = tmp_path / "pids"
    trial = Trial(
        f"{functions}:has_children", {}, {"pids": str(pids)}, timeout_s=3.0
    )
    (row,) = run_trials([trial], root, LocalPool(1), show=None)
    assert row["status"] == "timed_out"
    (child,) = (int(x) for x in pids.read_text().split())
    processes.wait_until(lambda: not processes.alive(child))


def test_a_worker_that_is_killed_takes_its_trial_with_it(
    functions, root, launch, gate, processes
):
    launcher = launch(root, 1, gate.trials(functions, 1))
    ((_, runner, worker),) = gate.wait_for(1)
    launcher.kill()
    os.kill(worker, signal.SIGKILL)
    processes.wait_until(lambda: not processes.alive(runner))
