"""What was found in the data: all of it in one table."""

import logging

import pytest

from leanbrain.checks import UserError
from leanbrain.dataio.findings import Effect, Finding, report
from leanbrain.tables import read_csv

KEPT = [Finding("test", f"k{i}", Effect.KEPT, "be loud", "2") for i in range(9)]
BAD = [
    Finding("train", "a", Effect.REFUSED, "must be mono", "2 channels"),
    Finding("train", "b", Effect.REFUSED, "must be mono", "3 channels"),
    Finding("train", "b", Effect.REFUSED, "must not be empty", "0 samples"),
]


def test_what_is_kept_is_said_and_no_error(tmp_path, caplog):
    report(KEPT, tmp_path, 100)
    rows = read_csv(tmp_path / "findings.csv")
    assert [row["ID"] for row in rows] == [x.name for x in KEPT]
    assert rows[0]["effect"] == "kept"
    # A log is no place for thousands of lines: the table is.
    assert "k4" in caplog.text and "k5" not in caplog.text
    assert "(4 more)" in caplog.text and "All 9: " in caplog.text


def test_what_is_refused_comes_first_and_is_counted(tmp_path, caplog):
    with pytest.raises(UserError) as caught:
        report([*KEPT, *BAD], tmp_path, 100)
    assert str(caught.value) == (
        "2 of 100 utterances are of no use, the first is 'a' of train: it "
        f"must be mono, got 2 channels; all are in {tmp_path}/findings.csv."
    )
    rows = read_csv(tmp_path / "findings.csv")
    assert [row["ID"] for row in rows][:3] == ["a", "b", "b"]
    assert len(rows) == 12


def test_nothing_found_leaves_no_table(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    report(KEPT, tmp_path, 100)
    caplog.clear()
    report([], tmp_path, 100)
    assert not list(tmp_path.iterdir()) and not caplog.text
