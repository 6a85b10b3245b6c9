"""The numbers of the report are those of the rows, by hand."""

import dataclasses
import json
import math

import fake_ledger as fake
import numpy as np
import pytest
from fake_report import RULES, findings, read_csv

from leanbrain.optbench.report.csv_files import summary_csv, trials_csv
from leanbrain.optbench.report.tables import costs, differences
from leanbrain.optbench.report.words import notes, verdict
from leanbrain.text import number

RELAXED = RULES.target.relaxation_percent


def time_by_hand(rows, optimizer, workload, variant=None):
    """Median over studies of the fastest trial, in a slow loop."""
    found = {}
    cost = fake.step_s(workload, fake.OPTIMIZERS[optimizer])
    budget = 267 * fake.step_s(workload, fake.OPTIMIZERS["adamw"])
    wanted = {"optimizer": optimizer, "workload": fake.path_of(workload)}
    for row in fake.find(rows, **wanted, variant=variant):
        seconds = math.inf
        goal = row["config"]["target"] * (1 + RELAXED / 100)
        if row["status"] in ("done", "diverged"):
            for point in row["result"]["curve"]:
                if point["valid"]["error_percent"] <= goal:
                    seconds = point["step"] * cost
                    break
        if seconds > budget:
            seconds = math.inf
        study = row["config"]["study"]
        found[study] = min(found.get(study, math.inf), seconds)
    return sorted(found.values())[len(found) // 2]


def scores_by_hand(rows):
    """Scores with the rule on variants, in a slow loop."""
    scores = dict.fromkeys(fake.OPTIMIZERS, 0.0)
    for workload in fake.WORKLOADS:
        columns = [
            {x: time_by_hand(rows, x, workload, v) for x in fake.OPTIMIZERS}
            for v in (None, *fake.VARIANTS[workload])
        ]
        left = {
            x: columns[0][x]
            for x in fake.OPTIMIZERS
            if all(c[x] <= 4 * min(c.values()) < math.inf for c in columns)
        }
        best = min(left.values(), default=1.0)
        for name, seconds in left.items():
            scores[name] += max(0.0, 4 - seconds / best) / 3
    return {k: x / len(fake.WORKLOADS) for k, x in scores.items()}


def test_csv_has_the_numbers_of_the_rows(rows, found):
    lines = read_csv(summary_csv(found))
    assert len(lines) == len(fake.OPTIMIZERS) * len(fake.WORKLOADS)
    scores = scores_by_hand(rows)
    for line in lines:
        name, workload = line["optimizer"], line["workload"]
        seconds = time_by_hand(rows, name, workload)
        got = float(line["seconds"] or "inf")
        assert got == pytest.approx(seconds, rel=1e-12)
        assert float(line["score"]) == pytest.approx(scores[name], abs=1e-12)
        assert float(line["score_low"]) <= scores[name] + 1e-12
        assert float(line["score_high"]) >= scores[name] - 1e-12
        better = sum(x > scores[name] + 1e-12 for x in scores.values())
        assert int(line["rank"]) == 1 + better
        cost = fake.step_s(workload, fake.OPTIMIZERS[name])
        assert float(line["step_s"]) == pytest.approx(cost, rel=1e-12)


def test_rows_of_the_trials_have_their_numbers(rows, found):
    lines = {x["digest"]: x for x in read_csv(trials_csv(found))}
    trials = [x for x in rows if x["config"]["kind"] != "calibration"]
    assert set(lines) == {x["digest"] for x in trials}
    for row in trials:
        line, config = lines[row["digest"]], row["config"]
        for key in ("optimizer", "seed", "study", "trial"):
            assert line[key] == str(config[key])
        if row["status"] == "done":
            assert float(line["best"]) == row["result"]["best"]
        elif line["status"] == "reached":
            assert row["status"] == "diverged"
        else:
            assert line["status"] == row["status"]
            assert line["reason"].lstrip("'") == row["reason"]
        assert (line["seconds"] != "") == (line["status"] == "reached")
        assert json.loads(line["hyperparameters"]) == config["hyperparameters"]


def test_speedup_is_the_geometric_mean_and_needs_no_pool(rows, found):
    ratios = [
        time_by_hand(rows, "adamw", w) / time_by_hand(rows, "muon_adamw", w)
        for w in fake.WORKLOADS
    ]
    wanted = float(np.exp(np.mean(np.log(ratios))))
    assert found.speedups["muon_adamw"] == pytest.approx(wanted, rel=1e-12)
    pair = [
        x
        for x in rows
        if x["config"].get("optimizer") in ("adamw", "muon_adamw", None)
    ]
    alone = findings(pair)
    assert alone.speedups["muon_adamw"] == pytest.approx(wanted, rel=1e-12)
    assert alone.reference_scores == {
        k: found.reference_scores[k] for k in ("adamw", "muon_adamw")
    }


def test_the_curve_of_targets_begins_and_passes_where_the_scores_are(
    rows, found
):
    wanted = {k: x.score for k, x in found.scores.items()}
    assert found.sensitivity[RELAXED] == pytest.approx(wanted, abs=1e-12)
    target = dataclasses.replace(RULES.target, relaxation_percent=0.0)
    strict = findings(rows, dataclasses.replace(RULES, target=target))
    wanted = {k: x.score for k, x in strict.scores.items()}
    assert found.sensitivity[0.0] == pytest.approx(wanted, abs=1e-12)
    assert found.sensitivity[0.0] != found.sensitivity[20.0]


def test_variants_count_only_where_the_rules_say():
    rows = fake.fake_rows(faults=False)
    for row in fake.find(rows, optimizer="muon_adamw", variant="relu"):
        row["result"]["curve"] = []
    found = findings(rows)
    assert ("muon_adamw", "lstm_ctc") in found.refused
    without = findings(rows, dataclasses.replace(RULES, variants=False))
    assert not without.refused
    lost = without.scores["muon_adamw"].score - found.scores["muon_adamw"].score
    assert lost == pytest.approx(1 / 3)


def test_order_of_rows_does_not_matter(rows, found):
    shuffled = list(rows)
    np.random.default_rng(0).shuffle(shuffled)
    other = findings(shuffled)
    for words in (summary_csv, trials_csv, verdict, notes):
        assert words(found) == words(other)


def test_a_hole_changes_nothing_silently():
    rows = fake.fake_rows(faults=False)
    whole = findings(rows)
    assert "missing" not in verdict(whole) + "".join(notes(whole))
    for row in fake.find(rows, kind="score")[::70]:
        left = [x for x in rows if x is not row]
        found = findings(left)
        assert "1 of 198 trials are missing" in verdict(found)
        assert "1 trial did not end well (1 missing)" in "".join(notes(found))
        lines = read_csv(trials_csv(found))
        assert len(lines) == 198
        assert [x["status"] for x in lines].count("missing") == 1


def test_a_tie_is_called_a_tie():
    pair = {"adamw": (1.0, 0.001), "other": (1.02, 0.001)}
    found = findings(fake.fake_rows(pair, faults=False))
    text = verdict(found)
    first, second = found.order
    one = found.comparisons[second]
    assert one.low < 1 < one.high
    assert f"Its lead over {second} is a tie: ratio of times" in text
    assert f"{number(one.ratio)}, 95 % interval {number(one.low)} to" in text
    assert "faster" not in text


def test_a_clear_lead_is_called_one():
    pair = {"adamw": (1.0, 0.001), "other": (3.0, 0.001)}
    found = findings(fake.fake_rows(pair, faults=False))
    assert found.order == ("other", "adamw")
    assert ". It is faster than adamw: ratio" in verdict(found)
    assert "tie" not in verdict(found)
    (_, row) = differences(found)
    assert row[-1] == "faster"


def test_nobody_first_where_nobody_reaches_anything():
    rows = fake.fake_rows(faults=False)
    for row in rows:
        row["status"] = "void" if "curve" in row["result"] else row["status"]
    text = verdict(findings(rows))
    assert text.startswith("No optimizer reached the target of any workload")


def test_what_the_benchmark_itself_takes_stands_beside_a_step(rows, found):
    header, *lines = costs(found)
    assert header[-1] == "evaluation's share of the trials (%, at most 20)"
    shares = set()
    for name, workload, *_, own, evaluation in lines:
        assert own == "1.1"
        path = fake.path_of(workload)
        results = [
            x["result"]
            for x in fake.find(rows, optimizer=name, workload=path)
            if x["result"]
        ]
        points = [x["curve"][-1]["step_s"] for x in results]
        spent = 0.02 * sum(len(x["curve"]) for x in results)
        share = 100 * spent / (spent + sum(points))
        assert float(evaluation) == pytest.approx(share, rel=0.05)
        shares.add(evaluation)
    assert len(lines) == 18 and len(shares) > 3


def test_where_nobody_measured_it_the_share_is_unknown():
    rows = fake.fake_rows(faults=False)
    for row in fake.find(rows, kind="calibration"):
        del row["result"]["overhead_share"]
    assert {line[-2] for line in costs(findings(rows))[1:]} == {"–"}
