"""What is missing is said wherever a number would hide it."""

import copy
import dataclasses
import importlib.util
import math
from pathlib import Path

import fake_ledger as fake
import pytest
from fake_report import RULES, findings

from leanbrain.optbench.report.page import html_page, markdown_page
from leanbrain.optbench.report.ratios import bound_of, ratio_of, span_of
from leanbrain.optbench.report.tables import differences, scores
from leanbrain.optbench.report.tuned import tuned, uneven
from leanbrain.optbench.report.words import notes, protocol, verdict
from leanbrain.optbench.statistics.comparison import Comparison
from leanbrain.text import number

RECIPE = Path(__file__).parents[3] / "recipes" / "OptimizerBenchmark"
PAIR = {"adamw": (1.0, 0.001), "other": (3.0, 0.001)}


@pytest.fixture
def rows():
    return fake.fake_rows(PAIR, faults=False)


@pytest.fixture(scope="module")
def readme():
    path = RECIPE / "readme_tables.py"
    spec = importlib.util.spec_from_file_location("optbench_tables", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def comparison(first, second):
    """One of whose study times these shares are missing."""
    half = (first + second) / 2
    known = (0.311, 0.268, 0.364, "faster", ("x",))
    return Comparison(*known, half, (first, second))


@pytest.mark.parametrize(
    ("first", "second", "ratio", "span", "bound"),
    [
        (0.0, 0.0, "0.311", "0.268 to 0.364", ""),
        (0.0, 1.0, "at most 0.311", "at most 0.364", "50 %"),
        (0.0, 0.2, "at most 0.311", "at most 0.364", "10 %"),
        (0.2, 0.0, "at least 0.311", "at least 0.268", "10 %"),
        (0.2, 1.0, "0.311 up to the budget", "none", "60 %"),
        (
            0.2,
            0.2,
            "0.311 up to the budget",
            "0.268 to 0.364 up to the budget",
            "20 %",
        ),
    ],
)
def test_a_ratio_of_missing_times_is_a_bound(
    first, second, ratio, span, bound, readme
):
    one = comparison(first, second)
    assert (ratio_of(one), span_of(one)) == (ratio, span)
    wanted = f"a bound: {bound} of the study times were not reached"
    assert bound_of(one) == (wanted if bound else "")
    kept = readme.comparison_of(one)
    text = readme.versus(kept)
    assert kept[4] == one.unreached
    assert (f"({bound} missing)" in text) is bool(bound)
    # Never two ends where one is open.
    assert ("0.27 to 0.36" in text) is (" to 0.364" in span)
    assert ("up to the budget" in text) is ("up to the budget" in span)
    for word in ("at most", "at least"):
        assert (word in text) is (word in ratio)


def test_who_never_reached_anything_has_no_interval_with_two_ends(rows):
    for row in fake.find(rows, optimizer="adamw"):
        row["result"]["curve"] = []
    found = findings(rows)
    one = found.comparisons["adamw"]
    text = verdict(found)
    said = "a bound: 50 % of the study times were not reached"
    ratio, high = number(one.ratio), number(one.high)
    assert f"ratio of times at most {ratio}, 95 % interval at" in text
    assert f"interval at most {high}, {said}" in text
    assert f"{number(one.low)} to" not in text
    (_, row) = differences(found)
    assert row == [
        "other",
        f"at most {ratio}",
        f"at most {high}",
        f"faster, {said}",
    ]


def test_where_both_reached_all_nothing_is_a_bound(rows):
    found = findings(rows)
    text = verdict(found) + str(differences(found))
    assert "bound" not in text and "at most" not in text


def test_an_interval_that_is_unknown_is_kept_as_open(readme):
    open_ended = Comparison(0.5, 0.0, math.inf, "undecided", ("x",), 0.0)
    kept = readme.comparison_of(open_ended)
    assert kept == [0.5, None, None, "undecided", 0.0]
    assert readme.versus(kept) == "0.50 (no interval): undecided"


def test_what_leaves_variants_out_says_so(rows):
    found = findings(rows)
    header = scores(found)[0]
    alone = [x for x in header if x.endswith(", without variants")]
    assert [x.split()[0] for x in alone] == ["speed-up", "score", "targets"]
    assert "(on the workloads themselves, without variants)" in verdict(found)
    assert "Variants enter nothing but the score" in protocol(found)
    assert "Against adamw, without variants" in markdown_page("t", found, "")
    rules = dataclasses.replace(RULES, variants=False)
    found = findings(rows, rules)
    page = markdown_page("t", found, "")
    assert "without variants" not in page
    assert "Variants enter" not in protocol(found)


def test_no_verdict_is_final_before_the_variants_were_run(rows):
    assert "not the last word" not in verdict(findings(rows))
    kept = [
        x
        for x in rows
        if x["config"].get("variant") is None
        or x["config"]["workload"] != fake.path_of("lstm_ctc")
    ]
    wanted = "This is not the last word: the variants of lstm_ctc, which"
    assert wanted in verdict(findings(kept))
    rules = dataclasses.replace(RULES, variants=False)
    assert "not the last word" not in verdict(findings(kept, rules))


@pytest.mark.parametrize(("most", "said"), [(0.999, 0), (0.001, 3)])
def test_long_evaluations_are_told(rows, most, said):
    found = findings(rows, dataclasses.replace(RULES, eval_share=most))
    told = [x for x in notes(found) if x.startswith("Evaluation took")]
    assert len(told) == said
    for workload in fake.WORKLOADS if said else ():
        trials = [
            x["result"]
            for x in rows
            if x["config"]["workload"] == fake.path_of(workload)
            and x["config"]["kind"] != "calibration"
        ]
        spent = sum(x["evaluation_s"] for x in trials)
        share = spent / (spent + sum(x["curve"][-1]["step_s"] for x in trials))
        assert any(
            f"took {100 * share:.0f} % of the time of the trials on {workload}"
            in x
            for x in told
        )


def test_what_was_tuned_is_what_the_score_trials_got(rows):
    found = findings(rows)
    header, *lines = tuned(found)
    assert header[1:] == ["hyper-parameter", "lowest", "highest", "values"]
    assert len(lines) == 4
    for name, key, low, high, count in lines:
        values = {
            x["config"]["hyperparameters"][key]
            for x in fake.find(rows, optimizer=name, kind="score")
        }
        assert float(low) == pytest.approx(min(values), rel=6e-3)
        assert float(high) == pytest.approx(max(values), rel=6e-3)
        assert int(count) == len(values)
    # Numbers that nobody scored by do not widen a range.
    fake.find(rows, kind="variant")[0]["config"]["hyperparameters"]["lr"] = 9.0
    assert tuned(findings(rows)) == [header, *lines]
    for page in (html_page, markdown_page):
        assert "What was tuned" in page("t", found, "")


def test_tuning_fewer_numbers_than_the_reference_is_told(rows):
    assert uneven(findings(rows)) == []
    fixed = copy.deepcopy(rows)
    for row in fake.find(fixed, optimizer="other"):
        row["config"]["hyperparameters"]["lr"] = 0.01
    found = findings(fixed)
    (sentence,) = uneven(found)
    assert sentence.endswith(" adamw, which tuned 2: other 1.")
    assert sentence in notes(found)
    for row in fake.find(fixed, optimizer="other"):
        row["config"]["hyperparameters"] = {}
    found = findings(fixed)
    assert ["other", "none", "–", "–", "0"] in tuned(found)
    assert uneven(found)[0].endswith("other 0.")
