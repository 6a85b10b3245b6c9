"""Keeping results: a part of them never replaces the whole."""

from dataclasses import replace

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.keeping import keep
from leanbrain.pruning.comparison.rows import read_kept


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
