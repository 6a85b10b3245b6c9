"""Tables and words of a comparison: the numbers they were made from."""

import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_kept
from fake_kept import cells, rows_of, without

from leanbrain.checks import UserError
from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import Findings, Versus, analyse
from leanbrain.pruning.comparison.statistics import Difference


@pytest.fixture(scope="module")
def kept():
    """Kept results of 4 methods and a dense model; read only."""
    return fake_kept.make()


@pytest.fixture(scope="module")
def found(kept):
    """What the report finds in them; read only."""
    return analyse(kept, draws=200)


def cer_of(kept, method, sparsity):
    return mean(x["mean_cer"] for x in rows_of(kept, method, sparsity))


def test_the_methods_and_where_they_are(found):
    assert found.reference == "adaptive"
    assert found.methods[0] == "adaptive"
    assert set(found.methods) == {"dense", *fake_kept.METHODS}
    assert found.sparsities == (0.7, 0.8, 0.9)
    # imp was run there only.
    assert found.main_sparsity == 0.8
    assert [x.method for x in found.at(0.8)] == [
        "adaptive",
        "fixed_pathways",
        "lap",
        "imp",
    ]


def test_of_several_sparsities_the_middle_one_is_the_main_one(found):
    points = tuple(x for x in found.points if x.method != "imp")
    assert replace(found, points=points).main_sparsity == 0.8


def test_every_method_is_compared_at_equal_sparsity_and_with_dense(found):
    pairs = {
        (x.point.sparsity, x.other.method, x.other.sparsity)
        for x in found.versus
    }
    sparse = {(s, m, s) for s in (0.7, 0.8, 0.9) for m in ("lap",)}
    sparse |= {(s, "fixed_pathways", s) for s in (0.7, 0.8, 0.9)}
    dense = {(s, "dense", 0.0) for s in (0.7, 0.8, 0.9)}
    assert pairs == sparse | dense | {(0.8, "imp", 0.8)}
    assert len(found.versus) == len(pairs)


def test_differences_are_reference_minus_other(kept, found):
    table = tables.differences(found)
    assert len(table) == 1 + len(found.versus)
    for versus, row in zip(found.versus, table[1:], strict=True):
        mine = cer_of(kept, "adaptive", versus.point.sparsity)
        other = cer_of(kept, versus.other.method, versus.other.sparsity)
        gap = versus.difference
        assert gap.mean == pytest.approx(mine - other)
        assert row[2] == f"{gap.mean:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})"
        assert row[3].startswith(f"{100 * (mine / other - 1):+.1f} % (")
    assert cells(table, "fixed_pathways", "80 %")["steps other"] == "10,080"
    assert cells(table, "imp", "80 %")["steps adaptive"] == "1,260"


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (-2.0, -0.1, "lower"),
        (0.1, 2.0, "higher"),
        (-0.3, 0.1, "undecided"),
        (-0.1, 0.3, "undecided"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(found, low, high, wanted):
    one = found.versus[0]
    gap = Difference((low + high) / 2, low, high, 0.0, 0.0, 0.0)
    changed = replace(found, versus=(Versus(one.point, one.other, gap),))
    head, row = tables.differences(changed)
    assert row[head.index("error is")] == wanted
    told = {
        "lower": "Fewer than dense",
        "higher": "More than dense",
        "undecided": "Undecided against dense",
    }
    text = words.details(changed)[0]
    assert [x for x, y in told.items() if y in text] == [wanted]


def test_results_list_errors_and_costs(kept, found):
    table = tables.results(found)
    assert len(table) == 1 + len(found.points)
    assert table[1][:3] == ["dense", "0 %", "3"]
    row = cells(table, "imp", "80 %")
    rows = rows_of(kept, "imp", 0.8)
    assert row["steps"] == "1,260" and row["of all runs"] == "6,300"
    assert row["TFLOP"] == f"{rows[0]['flops'] / 1e12:,.1f}"
    assert row["kept by any"] == "20.0 %"
    error = row["CER % (95 % interval)"]
    assert error.startswith(f"{mean(x['mean_cer'] for x in rows):.2f} (")


def test_errors_of_every_language(kept, found):
    table = tables.by_language(found)
    assert table[0] == ["method", "sparsity", "mean", *kept.languages]
    row = cells(table, "lap", "90 %")
    rows = rows_of(kept, "lap", 0.9)
    assert row["uk"] == f"{mean(x['cer_uk'] for x in rows):.2f}"
    place = table.index([*row.values()])
    gap = mean(x["cer_uk"] for x in rows_of(kept, "adaptive", 0.9))
    gap -= mean(x["cer_uk"] for x in rows)
    below = dict(zip(table[0], table[place + 1], strict=True))
    words_of = cells(tables.by_language(found, "wer"), "lap", "90 %")
    assert words_of["uk"] == f"{mean(x['wer_uk'] for x in rows):.2f}"
    assert below["method"] == "adaptive − lap" and below["sparsity"] == ""
    assert below["uk"] == f"{gap:+.2f}"


def test_differences_are_of_the_common_seeds(kept):
    fewer = without(kept, lambda x: x["method"] == "lap" and x["seed"] == 2)
    found = analyse(fewer, draws=50)
    table = tables.by_language(found)
    names = [x[0] for x in table]
    gaps = [
        a["cer_en"] - b["cer_en"]
        for a in rows_of(fewer, "adaptive", 0.7)
        for b in rows_of(fewer, "lap", 0.7)
        if a["seed"] == b["seed"]
    ]
    assert len(gaps) == 2
    row = table[names.index("adaptive − lap")]
    assert row[table[0].index("en")] == f"{mean(gaps):+.2f}"
    missing = "Seed 2 is not among the runs of lap (70 %, 80 %, 90 %)."
    assert missing in words.notes(found)
    # Of how many seeds each difference is, where that differs.
    table = tables.differences(found)
    assert cells(table, "lap", "70 %")["seeds"] == "2"
    assert cells(table, "dense", "70 %")["seeds"] == "3"


def test_overlaps_are_of_methods_whose_masks_differ(found):
    table = tables.overlaps(found)
    assert {x[0] for x in table[1:]} == {"adaptive", "fixed_pathways"}
    row = cells(table, "adaptive", "80 %")
    # 0.6 + 0.01 * seed, 0.2 more for ru and uk: one of ten pairs.
    assert row["mean overlap"] == "0.64"
    assert row["by chance"] == f"{0.2 / 1.8:.2f}"
    assert row["closest"] == "ru uk" and row["overlap"] == "0.82"


def test_density_is_the_mean_over_seeds_and_pathways(found):
    columns = tables.densities(found, 0.8)
    assert list(columns) == ["adaptive", "fixed_pathways", "lap", "imp"]
    tilt = 0.3 * 0.8 * 0.2
    wanted = [0.2 + tilt, 0.2 + tilt / 2, 0.2 - tilt]
    assert [*columns["adaptive"].values()] == pytest.approx(wanted)
    assert [*columns["lap"].values()] == pytest.approx([0.2] * 3)


def test_the_verdict_names_winners_and_losers(found):
    text = words.verdict(found)
    assert "adaptive has the lowest mean CER of all sparse methods at" in text
    best = min(found.at(0.8)[1:], key=lambda x: x.mean)
    assert f"that of {best.method}, the best of the others" in text
    assert "From that of dense, without sparsity" in text
    lower = sum(x.difference.mean < 0 for x in found.versus if x.other.sparsity)
    assert f"In {lower} of 7 comparisons" in text


def test_a_reference_that_never_wins_is_told(kept):
    found = analyse(kept, "fixed_pathways", draws=50)
    text = words.verdict(found)
    assert text.startswith("fixed_pathways has the lowest mean CER of all")
    assert "of all sparse methods nowhere; " in text
    assert "adaptive has it at 70 %" in text


def test_winners_that_take_more_steps_are_told_apart():
    """The best of all costs more; the best at equal cost is another."""
    rates = {"adaptive": (0.3, 1), "lap": (0.4, 1), "lsp": (0.2, 5)}
    methods = {
        name: ((None, rate, None), runs, None)
        for name, (rate, runs) in rates.items()
    }
    found = analyse(fake_kept.make(methods), draws=20)
    text = words.verdict(found)
    assert "of all sparse methods nowhere; lsp has it at 80 %. " in text
    assert "take no more steps in all it has it at 80 %. " in text


def test_comparisons_of_equal_steps_are_counted_by_themselves():
    """Wins over shorter runs do not tell which method is better."""
    rates = {"adaptive": (0.3, 2), "lap": (0.4, 2), "rigl": (0.2, 2)}
    runs = {**rates, "short": (0.5, 1)}
    for methods, told in ((runs, True), (rates, False)):
        made = {k: ((None, x, None), n, None) for k, (x, n) in methods.items()}
        text = words.verdict(
            analyse(fake_kept.make(made), draws=50, bands=False)
        )
        assert f"In {len(methods) - 2} of {len(methods) - 1} compar" in text
        assert told == (
            "Of the 2 with methods of as many steps in all, it makes fewer "
            "errors in 1, surely in 1; surely more in 1." in text
        )
        assert told == ("with methods of as many steps" in text)


def test_steps_are_compared(found):
    text = words.details(found)[1]
    assert "It takes 1,260 steps in all, fewer than fixed_pathways (10," in text
    assert "as many as dense." in text


def test_many_methods_are_told_in_short():
    rates = (0.3, 0.35, 0.4)
    many = {f"m{i}": (rates, 1, None) for i in range(8)}
    many["longer"] = (rates, 3, None)
    kept = fake_kept.make({"adaptive": (rates, 1, None), **many}, seeds=(1, 2))
    found = analyse(kept, draws=20)
    wanted = "fewer than longer (3,780), as many as 9 of the others."
    assert wanted in words.details(found)[0]
    assert not any("−" in x[0] for x in tables.by_language(found))
    assert any("only 2 seeds" in x for x in words.notes(found))


def test_kinship_says_in_how_many_seeds(found):
    first = words.kinship(found)[0]
    assert first.startswith(
        "adaptive: ru and uk share most (0.82; more than any other pair in 3 "
        "of 3 seeds)"
    )


def test_rows_without_utterances_have_no_interval(kept):
    start = {**kept.rows[0], "method": "start", "total_steps": 0}
    found = analyse(replace(kept, rows=[start, *kept.rows]), draws=20)
    row = cells(tables.results(found), "start", "0 %")
    assert row["CER % (95 % interval)"] == f"{start['mean_cer']:.2f}"
    assert not any(x.other.method == "start" for x in found.versus)
    assert any("not compared with start" in x for x in words.notes(found))


def test_what_is_unknown_is_a_dash(kept):
    rows = [{**x, "flops": None, "mean_wer": None} for x in kept.rows]
    found = analyse(replace(kept, rows=rows), draws=20)
    row = cells(tables.results(found), "lap", "70 %")
    assert row["TFLOP"] == "–" and row["WER %"] == "–"
    assert tables.share(float("nan")) == "–"


def test_another_commit_is_told(kept):
    rows = [dict(x) for x in kept.rows]
    rows[0]["commit"] = "other"
    found = analyse(replace(kept, rows=rows), draws=20)
    assert any("2 commits" in x for x in words.notes(found))


def test_without_bands_all_else_is_the_same(kept):
    one, other = (analyse(kept, draws=20, bands=x) for x in (True, False))
    assert tables.differences(one) == tables.differences(other)
    assert words.details(one) == words.details(other)
    assert "(" not in tables.results(other)[1][3]


def test_the_same_results_give_the_same_findings(kept):
    one, other = (analyse(kept, draws=30) for _ in range(2))
    assert isinstance(one, Findings)
    assert one.versus == other.versus


def test_a_comparison_needs_sparse_rows_and_its_reference(kept):
    with pytest.raises(UserError, match="at least one sparse run, got 3 rows"):
        analyse(without(kept, lambda x: x["sparsity"] > 0))
    with pytest.raises(UserError, match="`reference` must be one of adaptive"):
        analyse(kept, "dense")


def test_one_method_alone_is_no_comparison(kept):
    alone = without(kept, lambda x: x["method"] != "adaptive")
    found = analyse(alone, draws=20)
    assert words.verdict(found).startswith("There is no other sparse method")
    assert words.details(found) == []
