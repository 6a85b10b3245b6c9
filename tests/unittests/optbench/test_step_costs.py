"""Costs of a workload come from machines of one kind, the newest there."""

import copy
import itertools

import fake_ledger as fake
import pytest
from fake_report import RULES, findings

from leanbrain.optbench.report.collect import collect
from leanbrain.optbench.report.machines import is_like, kinds
from leanbrain.optbench.report.words import notes

LSTM = fake.path_of("lstm_ctc")
OTHER = {**fake.HOST, "cpu": "Other CPU"}


@pytest.fixture
def trials(rows):
    """All rows but the calibrations of one workload."""
    return [
        copy.deepcopy(x)
        for x in rows
        if x["config"]["kind"] != "calibration"
        or x["config"]["workload"] != LSTM
    ]


def calibration(rows, factor, day, host=fake.HOST, names=fake.OPTIMIZERS):
    """One whose steps cost more, of some optimizers, on a machine and day."""
    (row,) = fake.find(rows, kind="calibration", workload=LSTM)
    row = copy.deepcopy(row)
    known = row["result"]["optimizers"]
    row["result"]["optimizers"] = {k: known[k] for k in names}
    for measured in row["result"]["optimizers"].values():
        measured["step_s"] *= factor
    row["digest"] = f"{factor}{day}"
    row["started"], row["host"] = f"2027-01-0{day}T00:00:00+00:00", host
    return row


def factors(rows):
    """By how much the step of each optimizer costs more; order is nothing."""
    found = []
    for mixed in (rows, rows[::-1]):
        costs = collect(mixed, RULES).costs["lstm_ctc"]
        found.append(
            {
                name: cost.step_s
                / fake.step_s("lstm_ctc", fake.OPTIMIZERS[name])
                for name, cost in costs.items()
            }
        )
    assert found[0] == found[1]
    return {k: pytest.approx(x) for k, x in found[0].items()}


def all_have(factor):
    return dict.fromkeys(fake.OPTIMIZERS, factor)


def test_a_calibration_elsewhere_changes_nothing(rows, trials):
    mine = calibration(rows, 2.0, 1)
    assert factors([*trials, mine]) == all_have(2.0)
    other = calibration(rows, 5.0, 2, OTHER)
    assert factors([*trials, mine, other]) == all_have(2.0)
    # With those of the trials' machine gone, it is all there is, and said.
    assert factors([*trials, other]) == all_have(5.0)
    problems = collect([*trials, other], RULES).problems
    assert any(
        "66 trials on lstm_ctc ran on another kind of machine" in x
        for x in problems
    )
    assert collect([*trials, mine, other], RULES).problems == []


def test_the_machine_is_that_of_the_newest_score_trials(rows, trials):
    mine, other = calibration(rows, 2.0, 2), calibration(rows, 5.0, 1, OTHER)
    for row in fake.find(trials, kind="score", workload=LSTM, study=2):
        row["host"], row["started"] = OTHER, "2027-02-01"
    assert factors([*trials, mine, other]) == all_have(5.0)


def test_a_later_calibration_replaces_and_is_not_averaged(rows, trials):
    more = [calibration(rows, x, i) for i, x in enumerate((9.0, 7.0, 3.0))]
    for order in itertools.permutations(more):
        assert factors([*trials, *order]) == all_have(3.0)


def test_one_that_holds_all_is_preferred_to_newer_parts(rows, trials):
    whole = calibration(rows, 2.0, 1)
    part = calibration(rows, 3.0, 2, names=["adamw", "radam"])
    assert factors([*trials, whole, part]) == all_have(2.0)
    rest = [x for x in fake.OPTIMIZERS if x != "adamw"]
    old = calibration(rows, 4.0, 1, names=rest)
    wanted = {**all_have(4.0), "adamw": 3.0, "radam": 3.0}
    assert factors([*trials, old, part]) == wanted


def test_load_and_threads_do_not_make_another_machine():
    one = {"cpu": "x", "cores": 2, "memory_gib": 8.0, "gpu": None}
    assert is_like(one, {"cpu": "x", "cores": 2, "memory_gib": 8.1})
    for changed in ({"cpu": "y"}, {"gpu": "z"}, {"memory_gib": 9.0}):
        assert not is_like(one, {**one, **changed})
    rows = [{"host": {**one, "load": x, "torch_threads": x}} for x in (1, 2)]
    assert kinds([*rows, {"host": {"cpu": "x", "cores": 2}}]) == [one]
    assert len(kinds([*rows, {"host": {**one, "cores": 3}}])) == 2


def test_several_machines_are_told_with_what_they_mean(rows):
    mixed = copy.deepcopy(rows)
    assert "kinds of machines" not in " ".join(notes(findings(mixed)))
    fake.find(mixed, kind="score")[0]["host"] = OTHER
    text = " ".join(notes(findings(mixed)))
    assert "2 kinds of machines: a time is the number of steps" in text
    assert "1 trial on lstm_ctc ran on another kind of machine" in text
