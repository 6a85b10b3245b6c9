"""The same loop in jobs of submitit, on this machine."""

import os
import sys

import pytest

from leanbrain import UserError
from leanbrain.experiments import LocalPool, SubmititPool, Trial, run_trials


def pool(tmp_path, workers=2, **parameters):
    pytest.importorskip("submitit")
    return SubmititPool(
        workers, "local", folder=tmp_path / "jobs", **parameters
    )


def essence(rows):
    keys = ("digest", "status", "reason", "result", "attempts")
    return [{key: row[key] for key in keys} for row in rows]


def test_jobs_give_the_rows_of_workers(functions, tmp_path):
    trials = [
        *(Trial(f"{functions}:square", {"x": i}) for i in range(4)),
        Trial(f"{functions}:crashes", {}),
        Trial(f"{functions}:stuck", {}, timeout_s=0.3),
    ]
    jobs = run_trials(trials, tmp_path / "a", pool(tmp_path), show=None)
    local = run_trials(trials, tmp_path / "b", LocalPool(1), show=None)
    assert essence(jobs) == essence(local)


def test_a_killed_job_is_replaced(functions, tmp_path, root, gate, processes):
    import threading

    trials = [Trial(**x) for x in gate.trials(functions, 2)]
    rows = []
    launcher = threading.Thread(
        target=lambda: rows.extend(
            run_trials(trials, root, pool(tmp_path, 1), show=None)
        ),
        daemon=True,
    )
    launcher.start()
    ((_, runner, worker),) = gate.wait_for(1)
    processes.kill(worker)
    gate.wait_for(2)
    gate.open()
    launcher.join(600)
    assert [row["attempts"] for row in rows] == [2, 1]


def test_a_full_disk_in_a_job_is_one_sentence(functions, tmp_path, root):
    trial = Trial(f"{functions}:fills_the_disk", {})
    with pytest.raises(UserError, match="No space left.*the trial stays open"):
        run_trials([trial], root, pool(tmp_path), show=None)


def test_a_missing_submitit_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"pip install 'leanbrain\[cluster\]'"):
        SubmititPool(1, "local", folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"workers": 0}, "`workers` must be an integer >= 1"),
        ({"cluster": "slrm"}, r"`cluster` must be .*\(nearest: slurm\)"),
        ({"timeout_min": 0}, "`timeout_min` must be a finite number > 0"),
        ({"nonsense": 1}, "refuses to use the cluster 'local': .*nonsense"),
    ],
)
def test_settings_are_checked(tmp_path, options, rule):
    pytest.importorskip("submitit")
    settings = {"workers": 1, "cluster": "local", "folder": tmp_path, **options}
    with pytest.raises(UserError, match=rule):
        SubmititPool(**settings)


def test_no_slurm_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(UserError, match='Could not detect "srun"'):
        SubmititPool(1, "slurm", folder=tmp_path)
