"""Trials that are commands: scripts, and scripts on several processes."""

import re
import signal
import sys

import pytest

from leanbrain.experiments import LocalPool, Trial, run_trials

COMMAND = "leanbrain.experiments.commands:run"
TORCHRUN = "leanbrain.experiments.torchrun:run"

SCRIPT = """
import json, os, sys
print("said")
if "--fail" in sys.argv:
    raise ValueError("no luck")
with open("result.json", "w") as file:
    json.dump({"arguments": sys.argv[1:], "there": os.getcwd(),
               "variable": os.environ.get("VARIABLE")}, file)
"""

# A group of torch's is made where trials of the benchmark are tested.
RANKS = """
import json, os, time
rank = os.environ["RANK"]
if os.environ.get("FAIL") and rank == "1":
    raise ValueError("rank one has no luck")
if os.environ.get("PIDS"):
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()}\\n")
if os.environ.get("PIDS") or os.environ.get("FAIL"):
    time.sleep(3600)
open(f"rank{rank}", "w").close()
if rank == "0":
    end = time.monotonic() + 600
    while not os.path.exists("rank1") and time.monotonic() < end:
        time.sleep(0.05)
    there = sorted(x for x in os.listdir() if x.startswith("rank"))
    with open("result.json", "w") as file:
        json.dump({"there": there, "ranks": os.environ["WORLD_SIZE"]}, file)
"""


@pytest.fixture
def places(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "ranks.py").write_text(RANKS)
    return {"places": {"recipe": str(tmp_path)}}


def run_one(trial, root, workers=1):
    (row,) = run_trials([trial], root, LocalPool(workers), show=None)
    return row


@pytest.mark.parametrize("workers", [0, 1])
def test_a_command_leaves_its_result(places, root, workers):
    command = ["python", "{recipe}/script.py", "{folder}", "{kept}"]
    more = {"arguments": ["--data", "x"], "environment": {"VARIABLE": "1"}}
    trial = Trial(COMMAND, {"command": command}, {**places, **more})
    # Where things lie on this machine is no part of the trial.
    assert trial.digest == Trial(COMMAND, {"command": command}).digest
    row = run_one(trial, root, workers)
    folder = str(trial.folder(root) / "work")
    assert row["result"] == {
        "arguments": [folder, "{kept}", "--data", "x"],
        "there": folder,
        "variable": "1",
    }
    output = trial.folder(root) / "work" / "output.txt"
    assert output.read_text() == "said\n"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["python", "{recipe}/script.py", "--fail"], "code 1: ValueError: no"),
        (["python", "-c", "import os; os._exit(7)"], r"exit code 7\.$"),
        (["python", "-c", ""], "result.json does not exist"),
        (["no-such-program"], r"no-such-program cannot be started \(No such"),
        ("python", "`command` must be a list of text, got 'python'"),
        ([], "`command` must be a list of text"),
        ([1], "`command` must be a list of text"),
    ],
)
def test_a_command_that_fails_says_why(places, root, command, reason):
    row = run_one(Trial(COMMAND, {"command": command}, places), root, 0)
    assert row["status"] == "failed"
    assert re.search(reason, row["reason"]), row["reason"]


@pytest.mark.ddp
@pytest.mark.slow
def test_a_script_on_two_processes(places, root):
    config = {"command": ["{recipe}/ranks.py"], "processes": 2}
    row = run_one(Trial(TORCHRUN, config, places), root)
    wanted = {"there": ["rank0", "rank1"], "ranks": "2"}
    assert row["result"] == wanted, row["reason"]


@pytest.mark.ddp
@pytest.mark.slow
def test_the_first_process_to_fail_is_named(places, root):
    config = {"command": ["{recipe}/ranks.py"], "processes": 2}
    context = {**places, "environment": {"FAIL": "1"}}
    row = run_one(Trial(TORCHRUN, config, context), root)
    assert row["status"] == "failed"
    assert "ValueError: rank one has no luck" in row["reason"]


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc who lives")
def test_processes_under_torchrun_end_with_the_launcher(
    places, tmp_path, root, launch, processes
):
    """torchrun puts them in sessions of their own."""
    pids = tmp_path / "pids"
    trial = {
        "run": TORCHRUN,
        "config": {"command": ["{recipe}/ranks.py"], "processes": 2},
        "context": {**places, "environment": {"PIDS": str(pids)}},
    }
    launcher = launch(root, 1, [trial])
    processes.wait_until(
        lambda: pids.exists() and pids.read_text().count("\n") == 2
    )
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(600) == 130
    ranks = [int(x) for x in pids.read_text().split()]
    assert len(ranks) == 2
    processes.wait_until(lambda: not any(map(processes.alive, ranks)))


def test_processes_must_be_a_number(places, root):
    config = {"command": ["x.py"], "processes": "two"}
    row = run_one(Trial(TORCHRUN, config, places), root, 0)
    assert "`processes` must be an integer >= 1, got 'two'" in row["reason"]
