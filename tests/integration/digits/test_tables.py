"""Tables and comparisons that are made of finished runs."""

import json

import pytest

from leanbrain.checks import UserError


def kept_result(folder, front_end, seed, clean):
    folder.mkdir(parents=True)
    content = {
        "front_end": front_end,
        "train_share": 0.2,
        "seed": seed,
        "train_utterances": 30,
        "classifier_parameters": 1234,
        "front_end_parameters": 5 if front_end == "nmf" else 0,
        "steps": 10,
        "seconds": {"training": 80.0, "test": 10.0},
        "best": {"error_percent": 1.0},
        "error_percent": {"clean": clean, "pink_0": 40.0, "white_0": 60.0},
        "host": {"cpu": "x", "cores": 2},
        "versions": {"torch": "2.11.0", "speechbrain": "1.1.2"},
        "commit": "0123456789",
    }
    (folder / "result.json").write_text(json.dumps(content))


def test_collect_and_table_by_hand(piece, tmp_path, monkeypatch):
    tables = piece("readme_tables")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "kept")
    kept_result(tmp_path / "runs" / "a", "nmf", 1, 12.0)
    kept_result(tmp_path / "runs" / "b", "fbank", 1, 10.0)
    kept_result(tmp_path / "runs" / "c", "fbank", 2, 14.0)
    tables.collect("mine", tmp_path / "runs")
    assert (tmp_path / "kept/mine.png").read_bytes().startswith(b"\x89PNG")
    lines = tables.table_of("mine").splitlines()
    start = "| 20%, 30 | fbank | 2 | 1,234 | 1.5 | 12.0 ± 2.8 | 50.0 ± 0.0 |"
    assert lines[2] == start
    assert lines[3] == "| 20%, 30 | nmf | 1 | 1,234 + 5 | 1.5 | 12.0 | 50.0 |"
    assert lines[5] == (
        "- 20% of the data, nmf minus fbank, by seed: clean +2.0; 0 dB +0.0."
    )
    assert "commit 01234567" in lines[-1]
    kept_result(tmp_path / "runs" / "d", "nmf", 1, 12.0)
    with pytest.raises(UserError, match="got nmf, 0.2 and 1 2 times"):
        tables.collect("mine", tmp_path / "runs")
    with pytest.raises(UserError, match="got no file other.csv"):
        tables.table_of("other")


def test_the_readme_shows_what_the_csv_files_hold(piece):
    tables = piece("readme_tables")
    for path in tables.READMES:
        text = path.read_text(encoding="utf-8")
        assert "<!-- table: " in text
        assert tables.filled(text) == text, f"run readme_tables.py: {path.name}"


def test_compare_uses_finished_runs_again(piece, corpus, tmp_path, capsys):
    """Two runs that are done: nothing is trained, CSV and PNG are made."""
    compare = piece("compare")
    arguments = ["--results_folder", str(tmp_path), "--seeds", "1", "2"]
    arguments += ["--data_folder", str(corpus), "--front_ends", "fbank"]
    arguments += ["--train_shares", "0.2"]
    options, rest = compare.parse(arguments)
    for _, settings, folder in compare.plan(options, rest, corpus):
        kept_result(folder, "fbank", settings["seed"], 10.0)
    compare.main(arguments)
    out = capsys.readouterr().out
    assert "2 of 2 runs finished before" in out
    assert (tmp_path / "compare.csv").read_text().count("\n") == 3
    assert (tmp_path / "compare.png").stat().st_size > 1000


def test_time_left_is_that_of_what_is_to_do(piece, tmp_path, monkeypatch):
    compare = piece("compare")
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    clock = compare.Clock()
    assert clock.left(["fbank"]) is None and clock.left([]) == 0
    clock.note("fbank", 60.0)
    clock.note("fbank", 180.0)
    assert clock.left(["fbank", "fbank"]) == 4.0
    assert clock.left(["fbank", "nmf"]) is None
