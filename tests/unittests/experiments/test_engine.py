"""Any number of workers gives the rows of one; every end is a row."""

import os
import re
import subprocess
import sys

import pytest

from leanbrain import UserError
from leanbrain.experiments import STATUSES, Ledger, LocalPool, Trial, run_trials
from leanbrain.experiments.ledger import sign


def run(trials, root, workers, **options):
    return run_trials(trials, root, LocalPool(workers), show=None, **options)


def squares(functions, count=6):
    return [Trial(f"{functions}:square", {"x": i}) for i in range(count)]


def essence(rows):
    """What a row says of the trial, without when and how long."""
    keys = ("digest", "status", "reason", "result", "config", "attempts")
    return [{key: row[key] for key in keys} for row in rows]


def test_any_number_of_workers_gives_the_same_rows(functions, tmp_path):
    trials = [
        *squares(functions),
        Trial(f"{functions}:raises", {}),
        Trial(f"{functions}:ends", {"status": "diverged"}),
        Trial(f"{functions}:ends", {"status": "void"}),
        Trial(f"{functions}:exits", {}),
    ]
    found = [
        essence(run(trials, tmp_path / str(workers), workers))
        for workers in (0, 1, 3)
    ]
    assert found[0] == found[1] == found[2]
    assert [row["result"]["y"] for row in found[0][:6]] == [
        x * x for x in range(6)
    ]
    # A trial that seeds nothing draws what depends on itself alone.
    assert len({row["result"]["draw"] for row in found[0][:6]}) == 6


def test_every_end_is_a_row_with_a_reason(functions, root):
    names = {
        "raises": ("failed", "ValueError: no luck"),
        "exits": ("failed", "SystemExit: gave up"),
        "returns_none": ("failed", "must return a dict .*got NoneType"),
        "returns_inf": ("failed", "`result.best` must be plain JSON, got inf"),
        "missing": ("failed", "must name a function"),
        "crashes": ("crashed", "SIGSEGV.*2 attempts"),
        "sleeps": ("timed_out", "longer than its limit of 0.3 s"),
        "stuck": ("timed_out", "longer than its limit of 0.3 s"),
    }
    trials = [
        Trial(f"{functions}:{name}", {}, timeout_s=0.3 if i > 5 else None)
        for i, name in enumerate(names)
    ]
    trials += [
        Trial(f"{functions}:ends", {"status": "diverged"}),
        Trial(f"{functions}:ends", {"status": "void"}),
        Trial(f"{functions}:ends", {"status": "nonsense"}),
        Trial("no_such_module:f", {}),
    ]
    rows = run(trials, root, 2)
    expected = [
        *names.values(),
        ("diverged", "because"),
        ("void", "because"),
        ("failed", "must be one of done, diverged, void; got 'nonsense'"),
        ("failed", "No module named 'no_such_module'"),
    ]
    for row, trial, (status, reason) in zip(
        rows, trials, expected, strict=True
    ):
        assert (row["digest"], row["status"]) == (trial.digest, status)
        assert re.search(reason, row["reason"]), row["reason"]
        assert "\n" not in row["reason"]
    assert {row["status"] for row in rows} == set(STATUSES) - {"done"}
    error = (trials[0].folder(root) / "error.txt").read_text()
    assert "Traceback" in error and "ValueError" in error
    assert run(trials, root, 1) == rows


def test_a_row_says_where_it_comes_from(functions, root):
    (row,) = run(squares(functions, 1), root, 1)
    assert row == sign(row)
    assert row["host"]["cores"] >= 1
    assert row["versions"]["leanbrain"] and row["commit"]
    assert row["started"].endswith("+00:00")
    assert 0 <= row["seconds"] < 600
    assert row["run"] == f"{functions}:square" and row["config"] == {"x": 0}


def test_what_is_recorded_is_not_run_again(functions, root):
    trials = squares(functions, 3)
    first = run(trials[:2], root, 0)
    both = run(trials, root, 0)
    assert both[:2] == first
    assert len(Ledger(root).path.read_text().splitlines()) == 3
    assert run([trials[2], trials[0], trials[2]], root, 0) == [
        both[2],
        both[0],
        both[2],
    ]


def test_retry_replaces_rows_of_these_statuses_only(functions, root):
    trials = [
        Trial(f"{functions}:raises", {}),
        Trial(f"{functions}:ends", {"status": "void"}),
        *squares(functions, 1),
    ]
    for workers in (0, 1):
        before = run(trials, root, workers)
        after = run(trials, root, workers, retry=["failed"])
        assert after[1:] == before[1:]
        assert after[0]["status"] == "failed"
        assert after[0]["checksum"] != before[0]["checksum"]
        assert run(trials, root, workers) == after
    with pytest.raises(UserError, match="`retry` must be one of .*got 'fail'"):
        run(trials, root, 0, retry=["fail"])


def test_output_and_files_lie_in_the_folder_of_the_trial(functions, root):
    (trial,) = squares(functions, 1)
    run([trial], root, 1)
    folder = trial.folder(root)
    assert folder == root / "trials" / trial.digest
    assert (folder / "work" / "seen.txt").read_text() == "x"
    assert (folder / "log.txt").exists()
    assert not (folder / "attempts").exists()


def test_a_trial_begins_in_an_empty_folder(functions, root):
    trial = Trial(f"{functions}:counts", {})
    (first,) = run([trial], root, 0)
    (second,) = run([trial], root, 0, retry=["done"])
    assert first["result"] == second["result"] == {"files": []}


def test_a_trial_does_not_change_the_next_one(functions, root):
    trials = [Trial(f"{functions}:meddles", {"i": i}) for i in range(3)]
    for workers in (0, 1):
        rows = run(trials, root / str(workers), workers)
        found = [row["result"]["found"] for row in rows]
        assert found == [[None, False]] * 3
    assert "MEDDLED" not in os.environ


def test_a_trial_that_takes_too_long_is_told_so_afterwards(functions, root):
    """In this process nobody can end it: its row is that of a worker."""
    trial = Trial(
        f"{functions}:square", {"x": 1, "sleep_s": 0.1}, timeout_s=0.05
    )
    (row,) = run([trial], root, 0)
    assert (row["status"], row["result"]) == ("timed_out", None)


def test_threads_are_set_for_the_trial_and_taken_back(root, monkeypatch):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    for workers in (0, 1):
        folder = root / str(workers)
        code = Trial(
            "leanbrain.experiments.commands:run",
            {
                "command": [
                    "python",
                    "-c",
                    "import os, json; json.dump({'n': os.environ["
                    "'MKL_NUM_THREADS']}, open('result.json', 'w'))",
                ]
            },
        )
        pool = LocalPool(workers, threads=3)
        (row,) = run_trials([code], folder, pool, show=None)
        assert row["result"] == {"n": "3"}
    assert dict(os.environ) == before


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="this system cannot pin"
)
def test_pinned_workers_keep_to_their_cores(root):
    code = (
        "import os, json; json.dump({'cores': sorted(os.sched_getaffinity(0))}"
        ", open('result.json', 'w'))"
    )
    trial = Trial(
        "leanbrain.experiments.commands:run",
        {"command": ["python", "-c", code]},
    )
    pool = LocalPool(1, pin=True)
    (row,) = run_trials([trial], root, pool, show=None)
    assert row["result"]["cores"] == sorted(os.sched_getaffinity(0))[:1]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"workers": -1}, "`workers` must be an integer >= 0"),
        ({"threads": 0}, "`threads` must be an integer >= 1"),
    ],
)
def test_numbers_of_the_pool_are_checked(options, rule):
    with pytest.raises(UserError, match=rule):
        LocalPool(**options)


def test_cost_is_said_before_and_the_end_afterwards(functions, root):
    said = []
    trials = [
        Trial(f"{functions}:square", {"x": i}, cost_s=30) for i in range(4)
    ]
    run_trials(trials, root, LocalPool(0), show=said.append)
    assert said[0] == "4 of 4 trials to run, about 2 min 00 s"
    assert said[-1].startswith("4/4 trials, took")
    run_trials(trials, root, LocalPool(0), show=said.append)
    assert said[-1] == "All 4 trials are recorded already."


def test_a_full_disk_is_one_sentence_and_leaves_the_trial_open(functions, root):
    good, bad = (
        *squares(functions, 1),
        Trial(f"{functions}:fills_the_disk", {}),
    )
    for workers in (0, 1):
        folder = root / str(workers)
        with pytest.raises(UserError, match=r"No space left.*stays open\.$"):
            run([good, bad], folder, workers)
        assert [row["digest"] for row in Ledger(folder).read()] == [good.digest]
        assert not (bad.folder(folder) / "attempts").exists()


def test_importing_the_engine_is_light():
    code = (
        "import sys, leanbrain.experiments as e, leanbrain.experiments.worker;"
        "print([x for x in ('torch', 'numpy', 'submitit', 'speechbrain')"
        " if x in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
