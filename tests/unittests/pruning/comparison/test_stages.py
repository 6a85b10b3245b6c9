"""Running a plan: in order, once, and past what fails."""

import pytest
from small_comparison import make_site, make_suite

from leanbrain.experiments.backends import LocalPool
from leanbrain.pruning.comparison.plan import make_plan
from leanbrain.pruning.comparison.stages import run_plan
from leanbrain.pruning.comparison.suite import Choice, MasksFrom, Method


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path)


@pytest.fixture
def run(site):
    """Runs a suite in this process; returns rows, and what was said."""

    def run(suite, choice=None, **settings):
        said = []
        cells = make_plan(suite, site, choice)
        rows = run_plan(
            cells, site.root, LocalPool(0), show=said.append, **settings
        )
        return rows, said

    return run


def test_runs_start_from_what_others_left(run):
    rows, said = run(make_suite())
    # The stand-in fails unless it finds the checkpoint and all masks.
    assert [row["status"] for row in rows] == ["done"] * 8
    entries = [row["result"]["entry"] for row in rows]
    assert entries == ["dense.yaml"] + 7 * ["pruned.yaml"]
    assert any(x.startswith("in all: 8 of 8") for x in said)
    again, said = run(make_suite())
    assert again == rows
    assert "in all: All 8 trials are recorded already." in said


def test_a_run_that_fails_stops_only_what_builds_on_it(run):
    methods = [
        Method("broken", "broken", [0.5]),
        Method(
            "on_it", "fixed_pathways", [0.5], masks_from=MasksFrom("broken")
        ),
        Method("lap", "lap", [0.5]),
    ]
    suite = make_suite(methods)
    rows, said = run(suite)
    ends = {
        row["result"]["options"].get("method", "start")
        if row["result"]
        else "broken": row["status"]
        for row in rows
    }
    assert ends == {"start": "done", "broken": "failed", "lap": "done"}
    assert any("1 runs are left out" in x for x in said)
    (broken,) = [row for row in rows if row["status"] == "failed"]
    assert "this method is broken" in broken["reason"]


def test_what_is_done_is_run_again_when_asked(run, site):
    def count(name):
        return sum(x["result"]["options"].get("method") == name for x in rows)

    rows, _ = run(make_suite())
    assert count("lsp") == 2
    script = site.recipe / "train.py"
    text = script.read_text()
    script.write_text(text.replace('"entry":', '"new": 1, "entry":'))
    only = Choice(methods=["fixed"])
    rows, said = run(make_suite(), only, retry=("done",))
    # Neither the start nor the runs for masks, which are no cells here.
    new = {
        x["result"]["options"].get("method", "start")
        for x in rows
        if "new" in x["result"]
    }
    assert new == {"fixed_pathways"} and len(rows) == 4
    assert "1 runs are run again if they were done" in said
    rows, _ = run(make_suite())
    assert sum("new" in x["result"] for x in rows) == 1


def test_what_failed_is_run_again_when_asked(run, site):
    suite = make_suite([Method("broken", "broken", [0.5])])
    run(suite)
    script = site.recipe / "train.py"
    script.write_text(script.read_text().replace('== "broken"', '== "mended"'))
    assert [x["status"] for x in run(suite)[0]] == ["done", "failed"]
    rows, _ = run(suite, retry=("failed",))
    assert [x["status"] for x in rows] == ["done", "done"]


def test_seeds_are_run_one_after_another(run):
    suite = make_suite(seeds=[1, 2, 3])
    rows, said = run(suite)
    options = [x["result"]["options"] for x in rows]
    order = [(x["seed"], x.get("method", "start")) for x in options]
    # The next seed's start is there when this seed's runs have ended.
    fixed = (1, "fixed_pathways")
    assert order[0] == (1, "start") and order[1] == (2, "start")
    assert order.index(fixed) < order.index((2, "none"))
    assert order.index((3, "start")) < order.index(fixed)
    assert order[-1] == (3, "fixed_pathways")
    assert "part 5 of 5: 2 runs" in said
    again, _ = run(suite, Choice(seeds=[2]))
    assert len(again) == 8


def test_checkpoints_that_nobody_needs_are_removed(run, site):
    rows, _ = run(make_suite(keep_checkpoints=False))
    assert [row["status"] for row in rows] == ["done"] * 8
    for row in rows:
        work = site.root / "trials" / row["digest"] / "work"
        is_start = row["result"]["entry"] == "dense.yaml"
        assert (work / "save").exists() == is_start
        assert (work / "masks.pt").exists()
