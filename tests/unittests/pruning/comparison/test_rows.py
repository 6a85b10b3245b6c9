"""Kept results: what is written is what is read."""

import json

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.rows import (
    Kept,
    key,
    parts,
    read_kept,
    write_kept,
)

ROW = {
    "method": "lap",
    "sparsity": 0.8,
    "seed": 1,
    "steps": 60,
    "total_steps": 120,
    "mean_cer": 41.25,
    "cer_en": 41.25,
    "mean_wer": 80.0,
    "flops": None,
    "union_density": 0.2,
    "minutes": 1.5,
    "commit": "abc",
    "cpu": "A CPU, with a comma",
    "cores": 2,
    "torch": "2.11.0",
    "speechbrain": "1.1.2",
}
KEPT = Kept(
    name="small",
    rows=[ROW, {**ROW, "method": "fixed|2", "sparsity": 0.0, "flops": 3e14}],
    suite="name: small\nseeds: [1]\n",
    languages=["en"],
    utterances={
        "ids": {"en": ["a", "b"]},
        "characters": {"en": [5, 7]},
        "edits": {"lap|0.8|1": {"en": [1, 0]}},
    },
    density={"lap|0.8|1": {"all": {"w": 0.2}}},
    overlap={"lap|0.8|1": {"pathways": ["all"], "matrix": [[1.0]]}},
    host={"cpu": "A CPU"},
    commit="abc",
    versions={"torch": "2.11.0"},
)


def test_kept_results_come_back_as_they_were(tmp_path):
    path = write_kept(KEPT, tmp_path / "new")
    assert path == tmp_path / "new" / "compare_small.json"
    again = read_kept(path)
    assert again == KEPT
    assert [type(x) for x in again.rows[0].values()] == [
        type(x) for x in ROW.values()
    ]


def test_what_one_row_does_not_have_is_none(tmp_path):
    rows = [ROW, {**ROW, "seed": 2, "overlap_en_ru": 0.5}]
    kept = read_kept(write_kept(Kept("x", rows, "", ["en"], {}), tmp_path))
    assert [x["overlap_en_ru"] for x in kept.rows] == [None, 0.5]


@pytest.mark.parametrize(
    "name",
    [
        ("lap", 0.8, 3),
        ("a|b", 0.95, 1),
        ("dense", 0.0, 12),
        ("near", 0.80000001, 1),
    ],
)
def test_names_of_rows_come_apart_again(name):
    assert parts(key(*name)) == name


def test_files_that_are_something_else_are_named(tmp_path):
    path = write_kept(KEPT, tmp_path)
    with pytest.raises(UserError, match="gone.json does not exist"):
        read_kept(tmp_path / "gone.json")
    table = path.with_suffix(".csv").read_text()
    path.with_suffix(".csv").write_text(table.replace(",60,", ",six,"))
    with pytest.raises(UserError, match=r"compare_small.json.*kept results"):
        read_kept(path)
    path.with_suffix(".csv").write_text(table)
    path.write_text(json.dumps({"suite": ""}))
    with pytest.raises(UserError, match=r"compare_small.json.*kept results"):
        read_kept(path)
    path.with_suffix(".csv").unlink()
    with pytest.raises(UserError, match=r"compare_small.csv does not exist"):
        read_kept(path)
