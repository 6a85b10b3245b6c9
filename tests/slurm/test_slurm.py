"""Trials on a real SLURM cluster, one job of which is requeued."""

import subprocess
import threading
import time

import pytest

from leanbrain import UserError
from leanbrain.experiments import SubmititPool, Trial, run_trials

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FUNCTION = """
import os
import time


def wait_for_file(config, folder, gate):
    with open(f"{gate}.jobs", "a") as file:
        file.write(f"{config['i']} {os.environ['SLURM_JOB_ID']}\\n")
    while not os.path.exists(gate):
        time.sleep(0.05)
    return {"i": config["i"], "restarts": os.environ.get("SLURM_RESTART_COUNT")}
"""


def begun(gate):
    """The (trial, job) pairs that have begun, in their order."""
    try:
        lines = open(f"{gate}.jobs").read().splitlines()
    except FileNotFoundError:
        return []
    return [tuple(int(x) for x in line.split()) for line in lines]


def wait_until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            jobs = ["scontrol", "show", "jobs"]
            done = subprocess.run(jobs, capture_output=True, text=True)
            pytest.fail(f"waited too long; the jobs are:\n{done.stdout}")
        time.sleep(0.1)


def test_a_requeued_job_loses_nothing(slurm, tmp_path, monkeypatch):
    """Four trials in two jobs; the first job is requeued while it works."""
    pytest.importorskip("submitit")
    (tmp_path / "slurm_functions.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    gate = str(tmp_path / "gate")
    trials = [
        Trial("slurm_functions:wait_for_file", {"i": i}, {"gate": gate})
        for i in range(4)
    ]
    pool = SubmititPool(
        2, "slurm", folder=tmp_path / "jobs", timeout_min=5, cpus_per_task=1
    )
    rows = []
    launcher = threading.Thread(
        target=lambda: rows.extend(
            run_trials(trials, tmp_path / "runs", pool, show=None)
        ),
        daemon=True,
    )
    launcher.start()
    wait_until(lambda: len(begun(gate)) == 2)
    (victim, job), (_, other) = begun(gate)
    assert job != other
    subprocess.run(["scontrol", "requeue", str(job)], check=True)
    # The trial is begun anew, by the same job or by the other one.
    wait_until(lambda: [i for i, _ in begun(gate)].count(victim) == 2)
    open(gate, "w").close()
    launcher.join(600)
    assert not launcher.is_alive()
    assert [row["status"] for row in rows] == ["done"] * 4
    assert [row["result"]["i"] for row in rows] == [0, 1, 2, 3]
    # Given back in order: no attempt counts against the trial.
    assert [row["attempts"] for row in rows] == [1] * 4
    assert len(begun(gate)) == 5
    # Whatever the launcher no longer needs, it has cancelled.
    wait_until(lambda: not subprocess.check_output(["squeue", "-h"]))


def test_a_parameter_that_slurm_lacks_is_refused(slurm, tmp_path):
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match="refuses to use the cluster 'slurm'"):
        SubmititPool(1, "slurm", folder=tmp_path, nonsense=3)
    pool = SubmititPool(1, "slurm", folder=tmp_path, slurm_partition="none")
    with pytest.raises(UserError, match="could not be submitted: .*partition"):
        run_trials([Trial("math:fsum", {})], tmp_path, pool, show=None)
