"""From rows to times: as by hand, in any order, and no gap goes unsaid."""

import copy
import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from leanbrain.optbench.protocol.rules import load_rules
from leanbrain.optbench.report.collect import collect

sys.path.insert(0, str(Path(__file__).parent))
import fake_ledger as fake

RULES = load_rules(Path(__file__).parents[3] / "hparams" / "rules" / "cpu.yaml")


@pytest.fixture(scope="module")
def whole():
    """Rows without any fault; to be copied before they are changed."""
    return fake.fake_rows(faults=False)


@pytest.fixture
def rows(whole):
    return copy.deepcopy(whole)


def one(rows, optimizer="adamw", study=0, trial=0, variant=None, **more):
    wanted = {"optimizer": optimizer, "study": study, "trial": trial}
    workload = more.pop("workload", "lstm_ctc")
    (row,) = fake.find(
        rows, workload=fake.path_of(workload), variant=variant, **wanted
    )
    return row


def outcome(data, optimizer="adamw", study=0, trial=0, percent=None):
    place = (optimizer, "lstm_ctc", None, study, trial)
    (found,) = [x for x in data.outcomes(percent) if x.place == place]
    return found


def by_hand(rows, percent, factor=fake.FACTOR):
    """Times by a slow loop that knows nothing of the package."""
    times = {
        name: {w: np.full((3, 3), np.inf) for w in fake.WORKLOADS}
        for name in fake.OPTIMIZERS
    }
    for row in fake.find(rows, kind="score"):
        config = row["config"]
        # One that diverged later had met what it met before.
        if row["status"] not in ("done", "diverged"):
            continue
        workload = Path(config["workload"]).stem
        cost = fake.step_s(workload, fake.OPTIMIZERS[config["optimizer"]])
        base = fake.step_s(workload, fake.OPTIMIZERS["adamw"])
        limit = math.ceil(factor * fake.HORIZON) * base
        for point in row["result"]["curve"]:
            error = point["valid"]["error_percent"]
            if error <= config["target"] * (1 + percent / 100):
                seconds = point["step"] * cost
                if seconds <= limit:
                    place = config["study"], config["trial"]
                    times[config["optimizer"]][workload][place] = seconds
                break
    return times


def same(left, right):
    assert list(left) == list(right)
    for name in left:
        assert list(left[name]) == sorted(right[name])
        for workload in left[name]:
            np.testing.assert_allclose(
                left[name][workload], right[name][workload], rtol=1e-12
            )


@pytest.mark.parametrize("percent", [0.0, 5.0, 10.0, 20.0])
def test_times_are_those_by_hand(percent):
    rows = fake.fake_rows(faults=True)
    times = collect(rows, RULES).times(percent)
    wanted = by_hand(rows, percent)
    assert any(np.isinf(x).any() for by in times.values() for x in by.values())
    same(times, wanted)


def test_the_rules_say_how_far_the_target_is_relaxed(rows):
    data = collect(rows, RULES)
    same(data.times(), data.times(RULES.target.relaxation_percent))
    strict, relaxed = data.times(0.0), data.times()
    assert any(
        (relaxed[x][w] < strict[x][w]).any() for x in strict for w in strict[x]
    )


def test_a_relaxed_target_is_never_met_later(rows):
    data = collect(rows, RULES)
    last = None
    for percent in RULES.target.relaxations_percent:
        times = data.times(percent)
        if last is not None:
            for name, by in times.items():
                for workload, seconds in by.items():
                    assert (seconds <= last[name][workload]).all()
        last = times


def test_order_of_rows_does_not_matter():
    rows = fake.fake_rows(faults=True)
    data = collect(rows, RULES)
    shuffled = list(rows)
    np.random.default_rng(0).shuffle(shuffled)
    assert shuffled != rows
    again = collect(shuffled, RULES)
    assert again.problems == data.problems
    assert again.outcomes() == data.outcomes()
    assert again.costs == data.costs


@pytest.mark.parametrize("variant", [None, "relu"])
def test_a_hole_is_listed_and_not_reached(rows, variant):
    rows.remove(one(rows, variant=variant))
    data = collect(rows, RULES)
    (missing,) = [x for x in data.outcomes() if x.status == "missing"]
    assert missing.place == ("adamw", "lstm_ctc", variant, 0, 0)
    assert missing.seconds == math.inf
    full = collect(fake.fake_rows(faults=False), RULES)
    assert len(data.outcomes()) == len(full.outcomes())
    others = [x for x in data.outcomes() if x.status != "missing"]
    assert all(x in full.outcomes() for x in others)


def test_a_workload_that_was_only_calibrated_is_a_hole(rows):
    path = fake.path_of("lstm_ctc")
    kept = [
        x
        for x in rows
        if x["config"]["workload"] != path
        or x["config"]["kind"] == "calibration"
    ]
    data = collect(kept, RULES)
    assert "lstm_ctc" in data.workloads
    here = [x for x in data.outcomes() if x.place.workload == "lstm_ctc"]
    assert {x.status for x in here} == {"missing"}
    assert len(here) == 9 * len(fake.OPTIMIZERS)


@pytest.mark.parametrize(
    "status", ["void", "failed", "diverged", "timed_out", "crashed"]
)
def test_what_did_not_end_well_is_not_reached_and_keeps_its_reason(
    rows, status
):
    row = one(rows)
    row["status"], row["reason"] = status, "because | <b>"
    if status != "void":
        row["result"] = None
    found = outcome(collect(rows, RULES))
    assert (found.status, found.reason) == (status, "because | <b>")
    assert found.seconds == math.inf


def test_not_reached_says_how_near_it_came(rows):
    row = one(rows)
    row["config"]["target"] = 1.0
    for x in fake.find(rows, workload=fake.path_of("lstm_ctc"), variant=None):
        x["config"]["target"] = 1.0
    row["result"]["best"] = 14.25
    found = outcome(collect(rows, RULES))
    assert found.status == "not reached"
    wanted = 1.0 + RULES.target.relaxation_percent / 100
    assert found.reason == f"wanted {wanted:.4g}, got 14.25 at best"


def test_what_was_met_before_diverging_counts(rows):
    row = one(rows)
    met = outcome(collect(rows, RULES))
    assert met.status == "reached"
    row.update(status="diverged", reason="the loss is nan")
    assert outcome(collect(rows, RULES)).seconds == met.seconds
    row["config"]["target"] = 0.0
    for x in fake.find(rows, workload=fake.path_of("lstm_ctc"), variant=None):
        x["config"]["target"] = 0.0
    found = outcome(collect(rows, RULES))
    assert found.status == "diverged" and found.seconds == math.inf


@pytest.mark.parametrize("status", ["void", "failed", "crashed", "timed_out"])
def test_other_ends_never_count(rows, status):
    one(rows).update(status=status, reason="x")
    assert outcome(collect(rows, RULES)).status == status


@pytest.mark.parametrize("key", ["threads", "processes", "device"])
def test_trials_on_other_conditions_are_not_mixed(rows, key):
    more = [copy.deepcopy(x) for x in rows]
    for x in more:
        x["config"][key] = "other"
        x["digest"] += "-other"
        x["started"] = "9" + str(x.get("started"))
    data = collect(rows + more, RULES)
    assert outcome(data).row["digest"].endswith("-other")
    assert any(
        "number of threads or kind of device" in x for x in data.problems
    )


def test_workloads_whose_variants_were_not_run_are_named(rows):
    assert collect(rows, RULES).waiting == ()
    kept = [x for x in rows if x["config"].get("variant") is None]
    data = collect(kept, RULES)
    assert data.waiting == tuple(sorted(fake.WORKLOADS))
    rules = dataclasses.replace(RULES, variants=False)
    assert collect(kept, rules).waiting == ()


def test_a_variant_that_has_a_target_and_no_trial_is_named(rows):
    seed = copy.deepcopy(one(rows, variant="relu"))
    seed["config"].update(kind="target_seed", variant="gelu")
    assert collect([*rows, seed], RULES).waiting == ("lstm_ctc/gelu",)


def test_too_late_is_measured_by_the_steps_of_the_reference(rows):
    slow = one(rows, "muon_adamw")
    # As many steps as the budget has; each costs more than AdamW's.
    slow["result"]["curve"] = [
        {"step": 267, "step_s": 1.0, "valid": {"error_percent": 1.0}}
    ]
    data = collect(rows, RULES)
    found = outcome(data, "muon_adamw")
    budget = 267 * fake.step_s("lstm_ctc", fake.OPTIMIZERS["adamw"])
    assert data.budget_s("lstm_ctc", slow) == pytest.approx(budget)
    assert found.status == "too late"
    assert found.seconds == math.inf
    assert f"the budget is {budget:.4g} s" in found.reason
    for row in fake.find(rows, kind="score"):
        row["config"]["reference"] = "muon_adamw"
    assert outcome(collect(rows, RULES), "muon_adamw").status == "reached"


def test_the_optimizer_that_set_the_target_sets_the_budget(rows):
    seed = copy.deepcopy(one(rows, "radam"))
    seed["config"]["kind"] = "target_seed"
    data = collect([*rows, seed], RULES)
    assert data.references["lstm_ctc"] == "radam"
    assert data.references["digits_conv"] == "adamw"


@pytest.mark.parametrize(("factor", "wanted"), [(1.19, False), (1.3, True)])
def test_clocks_that_disagree_are_flagged(rows, factor, wanted):
    for point in one(rows)["result"]["curve"]:
        cost = fake.step_s("lstm_ctc", fake.OPTIMIZERS["adamw"])
        point["step_s"] = point["step"] * cost / factor
    found = outcome(collect(rows, RULES))
    assert found.flagged is wanted
    assert found.calibrated_s / found.measured_s == pytest.approx(factor)
    assert found.seconds == found.calibrated_s


def test_rules_may_score_by_the_clock(rows):
    rules = dataclasses.replace(RULES, time_unit="wall")
    found = outcome(collect(rows, rules))
    assert found.seconds == found.measured_s != found.calibrated_s


def test_a_budget_in_seconds_holds(rows):
    row = one(rows)
    row["config"]["budget_s"] = 0.5
    found = outcome(collect(rows, RULES))
    assert found.status == "too late"
    assert found.reason.endswith("the budget is 0.5 s")


def test_without_calibration_the_trials_own_clock_is_used_and_said(rows):
    (row,) = fake.find(
        rows, kind="calibration", workload=fake.path_of("lstm_ctc")
    )
    del row["result"]["optimizers"]["radam"]
    data = collect(rows, RULES)
    (problem,) = data.problems
    assert problem.startswith("radam has no calibration on lstm_ctc: its")
    found = outcome(data, "radam", trial=1)
    assert found.seconds == found.measured_s
    assert not found.flagged


def test_a_calibration_of_another_file_is_not_used(rows):
    for row in rows:
        if row["config"].get("optimizer") == "radam":
            row["config"]["optimizer_yaml"] += "lr: 1\n"
    problems = collect(rows, RULES).problems
    assert len(problems) == len(fake.WORKLOADS)
    assert all("radam has no calibration" in x for x in problems)
    assert all("its file has changed since" in x for x in problems)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("workload_digest", "new", "an older version of workload hparams/lstm"),
        ("target", 20.0, "an older target of hparams/lstm_ctc.yaml"),
        ("optimizer_yaml", "lr: 9", "an older file of optimizer adamw"),
    ],
)
def test_what_ran_last_replaces_what_ran_before(rows, key, value, words):
    old = fake.find(rows, workload=fake.path_of("lstm_ctc"), variant=None)
    old = [x for x in old if x["config"].get("optimizer") == "adamw"]
    new = copy.deepcopy(old)
    for row in new:
        row["config"][key] = value
        row["started"] = "2027-01-01T00:00:00+00:00"
        row["digest"] += "-new"
    for mixed in (rows + new, new + rows):
        data = collect(mixed, RULES)
        assert any(words in x for x in data.problems), data.problems
        found = outcome(data)
        assert found.row["digest"].endswith("-new")


def test_other_rules_are_left_out_and_said(rows):
    for row in rows[:5]:
        row["config"]["rules"] = "cpu-0"
    problems = collect(rows, RULES).problems
    assert "5 trials of other rules (cpu-0) were left out." in problems


def test_rows_that_lack_something_are_left_out_and_said(rows):
    del rows[5]["config"]["optimizer"]
    rows[6]["result"] = "text"
    rows.append({"digest": "x"})
    data = collect(rows, RULES)
    assert any(x.startswith("2 rows of the ledger lack") for x in data.problems)
    assert sum(x.status == "missing" for x in data.outcomes()) == 2


def test_trials_beyond_the_rules_are_left_out_and_said(rows):
    extra = copy.deepcopy(one(rows))
    extra["config"]["study"] = 3
    extra["digest"] = "x"
    data = collect([*rows, extra], RULES)
    (problem,) = data.problems
    assert problem.startswith("Study 3, trial 0 of adamw on lstm_ctc is beyond")


def test_the_same_place_twice_is_said_and_one_is_used(rows):
    again = copy.deepcopy(one(rows))
    again["digest"] = "0"  # sorts first
    again["config"]["seed"] = 5
    for mixed in ([*rows, again], [again, *rows]):
        data = collect(mixed, RULES)
        (problem,) = data.problems
        assert "more than once, with different settings" in problem
        assert outcome(data).row["digest"] == "0"


@pytest.mark.parametrize("key", ["order_hash", "init_hash"])
def test_trials_that_are_not_paired_are_named(rows, key):
    assert collect(rows, RULES).problems == []
    result = one(rows, "radam", study=1, trial=2)["result"]
    result[key] = "other" if key == "init_hash" else [[1, "other"]]
    data = collect(rows, RULES)
    (problem,) = data.problems
    assert problem.startswith("On lstm_ctc, study 1, trial 2, radam began with")
    assert data.pairs == 3 * (9 + 2)


def test_trials_that_read_other_data_than_most_are_named(rows):
    for row in rows:
        if row["config"]["kind"] != "calibration":
            row["result"]["data_digest"] = str(row["config"]["variant"])
    assert collect(rows, RULES).problems == []
    one(rows, "radam", study=1, trial=2)["result"]["data_digest"] = "x"
    (problem,) = collect(rows, RULES).problems
    assert problem.startswith("On lstm_ctc, 1 of 54 trials (radam) read other")


def test_two_kinds_of_data_are_two_workloads(rows):
    other = copy.deepcopy(rows)
    for row in other:
        row["config"]["data"] = "feed"
        row["digest"] += "-feed"
    data = collect(rows + other, RULES)
    assert len(data.workloads) == 2 * len(fake.WORKLOADS)
    name = "lstm_ctc (hparams/lstm_ctc.yaml, data feed)"
    assert name in data.workloads
    assert data.problems == []


def test_an_empty_ledger_gives_nothing():
    data = collect([], RULES)
    assert (data.optimizers, data.workloads, data.outcomes()) == ((), (), [])
