"""Sentences of a comparison: verdicts, notes, related languages."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fake_kept import cells, rows_of, without

from leanbrain.pruning.comparison import tables, words
from leanbrain.pruning.comparison.findings import analyse
from leanbrain.pruning.comparison.rows import key


def with_edits_of(kept, source, target, seeds=(1, 2, 3)):
    """The same results, a method having made the edits of another one."""
    edits = dict(kept.utterances["edits"])
    rows = [dict(x) for x in kept.rows]
    for seed in seeds:
        one, other = (key(x, 0.8, seed) for x in (source, target))
        edits[other] = edits[one]
    return replace(
        kept, rows=rows, utterances={**kept.utterances, "edits": edits}
    )


def test_a_tie_is_shared(kept):
    same = with_edits_of(kept, "adaptive", "lap")
    worse = without(same, lambda x: x["method"] not in ("adaptive", "lap"))
    text = words.verdict(analyse(worse, draws=20))
    assert "lap shares it at 80 %" in text and "has it" not in text


def test_the_best_rival_is_that_of_the_common_seeds(kept):
    # lap makes fewer errors than adaptive, but was run with the hard seed only;
    # imp makes more of them with every seed.
    luck = {x["seed"]: x["mean_cer"] for x in rows_of(kept, "adaptive", 0.8)}
    hard = max(luck, key=luck.get)
    kept = with_edits_of(kept, "adaptive", "imp")
    kept = with_edits_of(kept, "adaptive", "lap", (hard,))
    edits = kept.utterances["edits"]
    for seed in (1, 2, 3):
        name = key("imp", 0.8, seed)
        edits[name] = {k: [1 + x[0], *x[1:]] for k, x in edits[name].items()}
    name = key("lap", 0.8, hard)
    edits[name] = {k: [x[0] - 1, *x[1:]] for k, x in edits[name].items()}
    found = analyse(
        without(
            kept,
            lambda x: x["method"] == "fixed_pathways"
            or (x["method"] == "lap" and x["seed"] != hard),
        ),
        draws=20,
    )
    means = {x.method: x.mean for x in found.at(0.8)}
    assert means["imp"] < means["lap"]
    text = words.verdict(found)
    assert "that of lap, the best of the others" in text
    assert "lap has it at 80 %" in text


def test_one_seed_is_told_as_what_it_is(kept):
    found = analyse(without(kept, lambda x: x["seed"] > 1), draws=20)
    assert any(
        x.startswith("There is only one seed") for x in words.notes(found)
    )
    assert "of this seed alone" in words.reading(found)
    assert "resampling seeds" not in words.reading(found)
    assert "resampling seeds" in words.reading(analyse(kept, draws=20))


def with_start(kept):
    """The same results, and those of the dense model before."""
    edits, rows = dict(kept.utterances["edits"]), list(kept.rows)
    for row in [x for x in kept.rows if x["method"] == "dense"]:
        rows.append({**row, "method": "start", "total_steps": 0})
        edits[key("start", 0.0, row["seed"])] = edits[
            key("dense", 0.0, row["seed"])
        ]
    utterances = {**kept.utterances, "edits": edits}
    return replace(kept, rows=rows, utterances=utterances)


def test_the_steps_of_the_dense_start_are_told(kept):
    found = analyse(with_start(kept), draws=20)
    text = words.details(found)[0]
    assert "start (" in text.partition("It takes")[0]
    assert "more than start (0)" in text.partition("It takes")[2]


def test_pruning_is_compared_with_a_dense_model_trained_as_long(kept):
    """A start that is better than the control is no control."""
    kept = with_start(kept)
    edits = kept.utterances["edits"]
    for seed in (1, 2, 3):
        mine = edits[key("start", 0.0, seed)]
        edits[key("start", 0.0, seed)] = {
            k: [0, *x[1:]] for k, x in mine.items()
        }
    text = words.verdict(analyse(kept, draws=20))
    assert "From that of dense, without sparsity" in text
    assert text.endswith(" (both in 1,260 steps in all).")
    # Without a control the totals are told.
    alone = without(kept, lambda x: x["method"] == "dense")
    text = words.verdict(analyse(alone, draws=20))
    assert "From that of start, without sparsity" in text
    assert text.endswith(" (in 1,260 against 0 steps in all).")


def test_unequal_totals_are_told_of_every_rival_that_is_named(kept):
    """imp takes 6,300 steps in all; of ten methods it is named as of four."""
    found = analyse(kept, draws=20)
    assert "imp, the best of the others, by" in words.verdict(found)
    assert "(in 1,260 against 6,300 steps in all)" in words.verdict(found)
    (text,) = [x for x in words.details(found) if x.startswith("At 80 %")]
    assert "imp (6,300)" in text
    alone = without(kept, lambda x: x["method"] not in ("adaptive", "imp"))
    assert "None of the others takes as many steps in all." in words.verdict(
        analyse(alone, draws=20)
    )


def test_steps_from_scratch_are_compared_with_those_of_the_start(kept):
    rows = [
        {**x, "start_steps": 0 if x["method"] == "imp" else 5000}
        for x in kept.rows
    ]
    found = analyse(replace(kept, rows=rows), draws=20)
    row = cells(tables.differences(found), "imp", "80 %")
    assert row["steps adaptive"] == "6,260" and row["steps other"] == "6,300"
    row = cells(tables.results(found), "imp", "80 %")
    assert (row["of all runs"], row["start steps"]) == ("6,300", "0")
    assert cells(tables.results(found), "lap", "80 %")["start steps"] == "5,000"
    assert "It takes 6,260 steps in all" in words.details(found)[1]
    assert any(
        x.startswith("imp are trained from random weights, all others from a")
        for x in words.notes(found)
    )
    # Where all begin alike, the start is left out, as it always was.
    rows = [{**x, "start_steps": 5000} for x in kept.rows]
    found = analyse(replace(kept, rows=rows), draws=20)
    row = cells(tables.differences(found), "imp", "80 %")
    assert row["steps adaptive"] == "1,260"
    assert not any("random weights" in x for x in words.notes(found))


def test_related_languages_are_compared_seed_by_seed(kept):
    pairs = [[["ru", "uk"], ["en", "ru"]]]
    overlap = {k: dict(x) for k, x in kept.overlap.items()}
    matrix = [list(x) for x in overlap["adaptive|0.9|3"]["matrix"]]
    i, j = kept.languages.index("ru"), kept.languages.index("uk")
    matrix[i][j] = matrix[j][i] = 0.1
    overlap["adaptive|0.9|3"]["matrix"] = matrix
    told = replace(kept, related=pairs, overlap=overlap)
    texts = words.kinship(analyse(told, draws=20))
    assert (
        "adaptive at 80 %: ru and uk share more than en and ru in 3 of 3 seeds "
        "(seed 1: 0.810 > 0.610; seed 2: 0.820 > 0.620; seed 3: 0.830 > 0.630)."
    ) in texts
    (text,) = [x for x in texts if x.startswith("adaptive at 90 %")]
    assert "in 2 of 3 seeds" in text and "seed 3: 0.100 < 0.630" in text
    # One mask for all languages has nothing to tell.
    assert not any(x.startswith(("lap", "imp", "dense")) for x in texts)


def test_commits_within_a_row_are_told(kept):
    rows = [
        {**x, "commit": "a, b"} if x["method"] == "lap" else x
        for x in kept.rows
    ]
    texts = words.notes(analyse(replace(kept, rows=rows), draws=20))
    # The report's file and the kept one have different names.
    assert "The runs are of 3 commits: each row of the CSV says which." in texts
    assert any(
        x.endswith("several commits within one row: lap (70 %, 80 %, 90 %).")
        for x in texts
    )
    rows = [
        {**x, "commit": "c"} if x["method"] == "imp" and x["seed"] == 2 else x
        for x in kept.rows
    ]
    texts = words.notes(analyse(replace(kept, rows=rows), draws=20))
    assert "Of different commits by seed: imp (80 %)." in texts
    rows = [{**x, "commit": f"c{x['seed']}"} for x in kept.rows]
    texts = words.notes(analyse(replace(kept, rows=rows), draws=20))
    assert "Of different commits by seed: all." in texts


def test_a_model_that_nobody_has_trained_is_no_run_from_scratch(kept):
    """Its steps are 0, those of the others are compared as before."""
    rows = [{**x, "start_steps": 5000} for x in kept.rows]
    as_it_is = {"total_steps": 0, "start_steps": 0, "method": "zero_shot"}
    rows += [{**x, **as_it_is} for x in rows if x["method"] == "dense"]
    found = analyse(replace(kept, rows=rows), draws=20)
    assert not found.mixed
    assert not any("random weights" in x for x in words.notes(found))
    rows = [x for x in rows if x["method"] != "zero_shot"]
    rows[0] = {**rows[0], "start_steps": 0}
    assert analyse(replace(kept, rows=rows), draws=20).mixed
