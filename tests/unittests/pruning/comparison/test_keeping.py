"""Keeping results: a part of them never replaces the whole."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fake_kept

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.keeping import keep, merged
from leanbrain.pruning.comparison.rows import key, read_kept


def contents(folder):
    return {x.name: x.read_text() for x in folder.iterdir()}


def test_rows_that_were_kept_are_not_lost(kept, tmp_path):
    path = keep(kept, tmp_path)
    before = contents(tmp_path)
    lost = [x for x in kept.rows if (x["method"], x["seed"]) != ("lap", 2)]
    part = replace(kept, rows=lost)
    message = "must not lose rows.*without 3 of them, such as .*0.7.2"
    with pytest.raises(UserError, match=message):
        keep(part, tmp_path)
    assert contents(tmp_path) == before
    assert keep(part, tmp_path, force=True) == path
    assert len(read_kept(path).rows) == len(lost)
    # More rows, and other results of the same ones, are welcome.
    rows = [{**x, "mean_cer": 1.0} for x in kept.rows]
    keep(replace(kept, rows=rows), tmp_path)
    assert {x["mean_cer"] for x in read_kept(path).rows} == {1.0}


def test_other_files_are_not_overwritten(kept, tmp_path):
    (tmp_path / "compare_fake.csv").write_text("something else\n")
    with pytest.raises(UserError, match=r"compare_fake.json does not exist"):
        keep(kept, tmp_path)
    assert (tmp_path / "compare_fake.csv").read_text() == "something else\n"


def test_results_of_other_speech_are_not_replaced(kept, tmp_path):
    path = keep(kept, tmp_path)
    before = path.read_bytes()
    ids = {**kept.utterances["ids"], "ru": ["another"]}
    other = replace(kept, utterances={**kept.utterances, "ids": ids})
    with pytest.raises(UserError, match=r"utterances .*got others of ru\."):
        keep(other, tmp_path)
    assert path.read_bytes() == before
    keep(other, tmp_path, force=True)
    assert path.read_bytes() != before


def with_starts(kept, errors, start_steps=5):
    """The same results; their rows start from dense models of some errors."""
    rows = [{**x, "start_steps": start_steps} for x in kept.rows]
    starts = [
        {**rows[0], "method": "start", "seed": seed, "mean_cer": error}
        for seed, error in errors.items()
    ]
    return replace(kept, rows=[*starts, *rows])


def name_of(row):
    return key(row["method"], row["sparsity"], row["seed"])


def names(kept):
    return [(x["method"], x["sparsity"], x["seed"]) for x in kept.rows]


ERRORS = {1: 40.0, 2: 41.0, 3: 42.0}


def test_merged_rows_are_those_of_both_and_new_ones_win(kept, tmp_path):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    part = fake_kept.without(whole, lambda x: x["method"] in ("lap", "imp"))
    lost = {f"lap|{x}|{y}" for x in (0.7, 0.8, 0.9) for y in (1, 2, 3)}
    for name in ("density", "overlap"):
        held = getattr(part, name)
        short = {k: v for k, v in held.items() if k not in lost}
        part = replace(part, **{name: short})
    edits = {k: v for k, v in part.utterances["edits"].items() if k not in lost}
    part = replace(part, utterances={**part.utterances, "edits": edits})
    rows = [{**x, "mean_wer": -1.0} for x in part.rows]
    extra = {**rows[-1], "method": "parp"}
    result = merged(replace(part, rows=[*rows, extra]), tmp_path)
    assert names(result) == [*names(whole), ("parp", 0.9, 3)]
    changed = {x["method"] for x in result.rows if x["mean_wer"] == -1.0}
    assert changed == {"start", "dense", "adaptive", "fixed_pathways", "parp"}
    assert result.density == whole.density
    assert result.overlap == whole.overlap
    assert result.utterances == whole.utterances
    # What was merged can be kept: no row is lost.
    keep(result, tmp_path)


def test_rows_of_another_dense_model_are_not_merged(kept, tmp_path):
    keep(with_starts(kept, ERRORS), tmp_path)
    before = contents(tmp_path)
    other = with_starts(kept, {**ERRORS, 2: 41.5})
    part = fake_kept.without(
        other, lambda x: x["method"] == "lap" and x["seed"] == 2
    )
    with pytest.raises(UserError, match=r"lap.0.7.2 .*41.0 and 41.5.*again"):
        merged(part, tmp_path)
    assert contents(tmp_path) == before


def test_rows_from_random_weights_are_merged_whatever_the_starts(
    kept, tmp_path
):
    whole = with_starts(kept, ERRORS, start_steps=0)
    keep(whole, tmp_path)
    other = with_starts(kept, {1: 50.0, 2: 50.0, 3: 50.0}, start_steps=0)
    part = fake_kept.without(other, lambda x: x["method"] == "lap")
    assert names(merged(part, tmp_path)) == names(whole)


def test_rows_from_random_weights_alone_join_any(kept, tmp_path):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    scratch = {**whole.rows[-1], "method": "rigl", "start_steps": 0}
    result = merged(replace(whole, rows=[scratch]), tmp_path)
    assert names(result) == [*names(whole), ("rigl", 0.8, 3)]


def test_rows_of_other_speech_are_not_merged(kept, tmp_path):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    ids = {**kept.utterances["ids"], "ru": ["another"]}
    other = replace(whole, utterances={**kept.utterances, "ids": ids})
    with pytest.raises(UserError, match=r"utterances .*got others of ru\."):
        merged(other, tmp_path)


def test_more_languages_or_other_references_are_other_speech(kept, tmp_path):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    heard = kept.utterances
    others = {
        "it": {**heard, "ids": {**heard["ids"], "it": ["one"]}},
        "ru": {**heard, "characters": {**heard["characters"], "ru": [9] * 20}},
    }
    for language, utterances in others.items():
        with pytest.raises(UserError, match=f"got others of {language}"):
            merged(replace(whole, utterances=utterances), tmp_path)


def test_rows_of_another_budget_are_not_merged(kept, tmp_path):
    keep(with_starts(kept, ERRORS), tmp_path)
    suite = kept.suite.replace("seeds: [1, 2, 3]", "seeds: [1]")
    merged(replace(with_starts(kept, ERRORS), suite=suite), tmp_path)
    suite = kept.suite.replace("epochs: 2", "epochs: 3")
    with pytest.raises(
        UserError, match="suites with the same `steps`, got .*3"
    ):
        merged(replace(with_starts(kept, ERRORS), suite=suite), tmp_path)


def test_rows_of_a_method_with_other_settings_are_not_merged(kept, tmp_path):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    fewer = kept.suite.replace("{name: imp}", "{name: imp, sparsities: [0.8]}")
    merged(replace(whole, suite=fewer), tmp_path)
    fewer = kept.suite.replace("{name: imp}", "{name: imp, seeds: [1]}")
    fewer += "keep_checkpoints: False\n"
    merged(replace(whole, suite=fewer), tmp_path)
    more = kept.suite.replace(
        "{name: imp}", "{name: imp, settings: {rounds: 9}}"
    )
    with pytest.raises(UserError, match=r"got .*rounds.* for imp beside {}\."):
        merged(replace(whole, suite=more), tmp_path)


def test_masks_that_are_replaced_take_with_them_what_starts_from_them(
    kept, tmp_path
):
    whole = with_starts(kept, ERRORS)
    keep(whole, tmp_path)
    new = fake_kept.without(whole, lambda x: x["method"] == "fixed_pathways")
    with pytest.raises(UserError, match="run fixed_pathways again as well"):
        merged(new, tmp_path)
    # Other seeds keep theirs.
    new = fake_kept.without(whole, lambda x: x["seed"] == 3)
    assert len(merged(new, tmp_path).rows) == len(whole.rows)


def test_where_nothing_is_there_nothing_is_added(kept, tmp_path):
    assert merged(kept, tmp_path) == kept


def test_half_of_the_files_is_not_replaced(kept, tmp_path):
    path = keep(kept, tmp_path)
    path.with_suffix(".csv").unlink()
    with pytest.raises(UserError, match="compare_fake.csv"):
        keep(kept, tmp_path)
