"""Targets: AlgoPerf's rule by hand, the file, and what it was set for."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leanbrain.checks import UserError
from leanbrain.optbench.protocol.targets import (
    check_target_file,
    make_target,
    pick_best_point,
    read_targets,
    relax,
    steps_to_target,
    validation_target,
    write_targets,
)


def row(best, *, status="done", curve=(), **config):
    """A row of the ledger."""
    return {
        "status": status,
        "commit": "abc",
        "result": {
            "best": best,
            "curve": [
                {"step": step, "valid": {"error_percent": value}}
                for step, value in curve
            ],
        },
        "config": {
            "workload": "hparams/w.yaml",
            "variant": None,
            "optimizer": "adamw",
            "hyperparameters": {"lr": 0.1},
            "data": "synthetic",
            "metric": "error_percent",
            "total_steps": 100,
            "workload_digest": "d",
            "overrides": {},
            "seed": 1,
            "rules": "cpu-1",
            **config,
        },
    }


def point(lr):
    """The hyper-parameters of a row."""
    return {"hyperparameters": {"lr": lr}}


BEST = {
    "optimizer": "adamw",
    "hyperparameters": {"lr": 0.1},
    "best": 3.0,
    "searched": {"adamw": 2},
}


def test_best_point_is_the_single_best_over_optimizers():
    rows = [
        row(5.0, **point(1)),
        row(4.0, optimizer="nadamw", **point(2)),
        row(4.0, optimizer="sgd", **point(3)),
        row(1.0, status="diverged", **point(4)),
        row(math.nan, **point(5)),
        row(None, optimizer="nadamw", **point(6)),
    ]
    assert pick_best_point(rows) == {
        "optimizer": "nadamw",
        "hyperparameters": {"lr": 2},
        "best": 4.0,
        "searched": {"adamw": 3, "nadamw": 2, "sgd": 1},
    }


def test_no_point_is_best():
    rows = [row(None, variant="gelu"), row(2.0, status="failed")]
    sentence = "target search of hparams/w.yaml / gelu must have a trial"
    with pytest.raises(UserError, match=f"{sentence}.* got none of 2"):
        pick_best_point(rows)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20))
def test_target_is_the_median_of_the_best_values(values):
    target = validation_target(values)
    assert target == np.median(values)
    # Half of the seeds reach it, whatever the lucky ones did.
    assert sum(x <= target for x in values) >= len(values) / 2


def test_broken_runs_count_as_worst():
    assert validation_target([3.0, 1.0, 2.0, None, math.nan]) == 3.0
    for values in ([1.0, None], [], [None]):
        with pytest.raises(UserError, match="More than half of the runs"):
            validation_target(values)


def test_relaxing_is_of_the_error():
    # 1 % of the accuracy of 77 % would be 3.4 % of the error.
    assert relax(23.0, 1.0) == pytest.approx(23.23)
    with pytest.raises(UserError, match="`percent` must be in"):
        relax(23.0, -1.0)


def test_first_evaluation_that_meets_the_target_counts():
    curve = row(0.0, curve=[(5, 9.0), (10, None), (15, 4.0), (20, 3.0)])
    curve = curve["result"]["curve"]
    assert steps_to_target(curve, "error_percent", 4.0) == 15
    assert steps_to_target(curve, "error_percent", 8.9) == 15
    assert steps_to_target(curve, "error_percent", 2.9) is None
    assert steps_to_target(curve, "other", 90.0) is None


def test_entry_by_hand():
    rows = [
        row(4.0, seed=1, curve=[(5, 6.0), (10, 4.0)]),
        row(2.0, seed=2, curve=[(5, 5.0), (10, 3.9), (15, 2.0)]),
        row(6.0, seed=3, curve=[(5, 6.0)]),
        row(None, seed=4, status="diverged"),
        row(3.0, seed=5, curve=[(5, 3.0)]),
    ]
    entry = make_target(rows, BEST)
    assert entry["target"] == 4.0
    assert entry["relaxed"]["0"] == 4.0 and entry["relaxed"]["20"] == 4.8
    assert entry["steps_to_target_median"] == 10.0
    assert entry["best_values"] == [4.0, 2.0, 6.0, None, 3.0]
    assert entry["hyperparameters"] == {"lr": 0.1}
    assert entry["provenance"]["seeds"] == [1, 2, 3, 4, 5]
    assert entry["provenance"]["commit"] == "abc"
    json.dumps(entry, allow_nan=False)


def test_runs_must_be_of_one_thing():
    rows = [row(1.0), row(1.0, data="0123")]
    with pytest.raises(
        UserError, match="same data, got 'synthetic' and '0123'"
    ):
        make_target(rows, BEST)
    with pytest.raises(UserError, match="at least one run, got none"):
        make_target([], BEST)


def test_file_of_targets(tmp_path):
    path = tmp_path / "targets.json"
    targets = {"w/gelu": make_target([row(2.0)], BEST)}
    targets["w"] = make_target([row(1.0)], BEST)
    write_targets(path, targets)
    assert read_targets(path) == targets
    assert list(read_targets(path)) == ["w", "w/gelu"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "must be a mapping of workloads"),
        ('{"w": {"target": null}}', "w a finite `target`, got None."),
        ('{"w": {"target": "3"}}', "w a finite `target`, got '3'."),
        ('{"w": 3}', "w a finite `target`, got None."),
        ('{"w": {', "truncated or is not JSON"),
    ],
)
def test_files_that_are_no_targets(tmp_path, text, sentence):
    path = tmp_path / "targets.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(sentence)):
        read_targets(path)


DEMAND = {
    "data": "synthetic",
    "metric": "error_percent",
    "total_steps": 100,
    "workload_digest": "d",
    "overrides": {},
}


def test_targets_that_fit():
    check_target_file({"w": make_target([row(1.0)], BEST)}, {"w": DEMAND})


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("data", "0123"),
        ("metric", "loss"),
        ("total_steps", 99),
        ("workload_digest", "e"),
        ("overrides", {"batch_size": 2}),
    ],
)
def test_targets_that_were_set_for_something_else(key, other):
    targets = {"w": make_target([row(1.0)], BEST)}
    sentence = (
        f"The target of w must have been set for {key} {other!r}, got "
        f"{DEMAND[key]!r}; set targets again."
    )
    with pytest.raises(UserError, match=re.escape(sentence)):
        check_target_file(targets, {"w": {**DEMAND, key: other}})


def test_targets_that_are_missing():
    targets = {"w": make_target([row(1.0)], BEST)}
    with pytest.raises(
        UserError, match="must hold v, got w; set targets again"
    ):
        check_target_file(targets, {"v": DEMAND})
