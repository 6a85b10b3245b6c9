"""Tables in the READMEs come from the kept results, and are up to date."""

import json
import statistics

import pytest

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.findings import analyse
from leanbrain.pruning.comparison.rows import write_kept
from leanbrain.pruning.comparison.words import details, verdict
from leanbrain.text import markdown_text


@pytest.fixture(scope="module")
def tables(repo_root, pieces_of):
    folder = repo_root / "recipes" / "MultilingualPrompts" / "common"
    with pieces_of(folder) as load:
        yield load("readme_tables")


@pytest.fixture(scope="module")
def fake(repo_root, pieces_of):
    folder = repo_root / "tests/unittests/pruning/comparison"
    with pieces_of(folder) as load:
        yield load("fake_kept")


def test_the_readmes_show_what_the_csv_files_hold(tables):
    texts = {x: x.read_text(encoding="utf-8") for x in tables.READMES}
    for path, text in texts.items():
        assert tables.filled(text) == text, f"run readme_tables.py: {path.name}"
    # Pages of the Whisper recipe have none before it has results.
    assert sum("<!-- table: " in x for x in texts.values()) >= 3


def result(folder, mean, seed, start_steps=0):
    folder.mkdir(parents=True)
    content = {
        "sparsity": 0.7,
        "steps": 10,
        "start_steps": start_steps,
        "seconds": 90.0,
        "cer": {"en": mean - 1, "fr": mean + 1},
        "wer": {"en": 50.0, "fr": 60.0},
        "mean_cer": mean,
        "seed": seed,
        "host": {"cpu": "x", "cores": 2},
        "versions": {"torch": "2.11.0", "speechbrain": "1.1.2"},
        "commit": "0123456789",
    }
    (folder / "result.json").write_text(json.dumps(content))


def test_collect_and_table_by_hand(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "DEMO", tmp_path / "kept")
    monkeypatch.setattr(tables, "RESULTS", (tmp_path / "kept",))
    (tmp_path / "kept").mkdir()
    result(tmp_path / "runs" / "pathways" / "1", 10.0, 1, 1000)
    result(tmp_path / "runs" / "pathways" / "2", 12.0, 2, 1000)
    result(tmp_path / "runs" / "dense-12ab34cd", 20.0, 1)
    result(tmp_path / "runs" / "dense_trained_on-1f", 9.0, 1, 1000)
    tables.collect("mine", tmp_path / "runs")
    lines = tables.table_of("mine").splitlines()
    assert lines[0].startswith("| model | seeds | sparsity |")
    assert lines[2].startswith("| dense | 1 | 70% | 10 | 1.50 | 20.00 |")
    assert "| adaptive | 2 | 70% | 1,000 + 10 |" in lines[4]
    assert "| 11.00 ± 1.41 |" in lines[4]
    assert lines[6:8] == [
        "Mean CER, adaptive minus dense_trained_on (as many steps), by seed: "
        "+1.00.",
        "Mean CER, dense_trained_on minus dense (1,000 steps more), by seed: "
        "-11.00.",
    ]
    assert "commit 01234567" in lines[-1]


def test_a_run_twice_is_refused(tables, tmp_path):
    result(tmp_path / "dense-1a", 20.0, 1)
    result(tmp_path / "dense-2b", 30.0, 1)
    with pytest.raises(UserError, match="dense with seed 1 2 times"):
        tables.collect("mine", tmp_path)


def test_missing_results_are_named(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", (tmp_path,))
    with pytest.raises(UserError, match="got no file other.csv"):
        tables.table_of("other")
    with pytest.raises(UserError, match="must hold a result.json"):
        tables.collect("mine", tmp_path)


def filled_with(tables, *marks):
    text = "\n".join(f"<!-- table: {x} -->\n<!-- end -->" for x in marks)
    return tables.filled(text)


@pytest.fixture
def kept(tables, fake, tmp_path, monkeypatch):
    """Two methods at two sparsities, the second of them at the higher alone."""
    kept = fake.make(
        {"adaptive": ((0.3, None, None), 1, 0.6), "a|b": ((0.4,) * 3, 4, None)},
        ("en", "ru"),
        (1, 2),
        "mine",
    )
    # In the second folder: whichever recipe has them.
    monkeypatch.setattr(tables, "RESULTS", (tmp_path / "none", tmp_path))
    write_kept(kept, tmp_path)
    return kept


def test_a_grid_has_a_row_for_a_method(tables, kept):
    text = filled_with(tables, "grid_mine")
    assert tables.filled(text) == text
    (row,) = [x for x in text.splitlines() if x.startswith("| adaptive ")]
    errors = [x["mean_cer"] for x in kept.rows if x["method"] == "adaptive"]
    sd = statistics.stdev(errors)
    assert f"| {statistics.mean(errors):.2f} ± {sd:.2f} |" in row
    assert " 1,260 |" in row and "| a\\|b " in text
    assert "commit 01234567.\n<!-- end -->" in text


def test_the_words_and_tables_of_a_comparison(tables, kept):
    marks = ("verdict", "details", "reading", "differences", "languages")
    text = filled_with(tables, *(f"{x}_mine" for x in marks))
    assert tables.filled(text) == text
    found = analyse(kept)
    assert markdown_text(verdict(found)) in text
    points = found.versus[-1].difference
    assert f"| {points.mean:+.2f} ({points.low:+.2f} to " in text
    assert "Brackets hold relative differences" in text
    assert f"- {markdown_text(details(found)[0])}" in text
    assert "\n| adaptive − a\\|b |" in text


def test_the_main_table_is_of_the_main_sparsity_alone(
    tables, fake, tmp_path, monkeypatch
):
    kept = fake.make(name="all")
    monkeypatch.setattr(tables, "RESULTS", (tmp_path,))
    write_kept(kept, tmp_path)
    text = filled_with(tables, "main_all")
    rows = [x for x in text.splitlines() if x.startswith("| ")][1:]
    found = analyse(kept)
    main = [x for x in found.versus if x.point.sparsity == found.main_sparsity]
    assert len(rows) == len(main) < len(found.versus)
    for row, versus in zip(rows, main, strict=True):
        assert f"{versus.difference.mean:+.2f} (" in row
        assert f" {100 * found.main_sparsity:.0f} % |" in row


def test_a_comparison_without_results_is_named(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", (tmp_path,))
    for name in ("grid_other", "verdict_other"):
        with pytest.raises(UserError, match="got no file compare_other.json"):
            filled_with(tables, name)


def test_a_part_of_a_comparison_fills_the_tables(
    tables, fake, tmp_path, monkeypatch
):
    """Controls of one seed, a seed that has only begun, no dense control."""
    kept = fake.without(
        fake.make(name="part"),
        lambda x: x["method"] == "dense"
        or (x["method"] == "imp" and x["seed"] > 1)
        or (x["sparsity"] == 0.9 and x["seed"] == 3),
    )
    monkeypatch.setattr(tables, "RESULTS", (tmp_path,))
    write_kept(kept, tmp_path)
    kinds = ("verdict", "details", "grid", "differences", "main", "wer")
    text = filled_with(tables, *(f"{x}_part" for x in kinds))
    assert "Seed 2, 3 is not among the runs of imp (80 %)." in text
    assert "lap (90 %)" in text and "dense" not in text
    assert "Mean and standard deviation over seeds, or one seed alone;" in text
    lines = [x.split("|")[1:-1] for x in text.splitlines() if x[:2] == "| "]
    cells = [[y.strip() for y in x] for x in lines]
    (imp, *_) = [x for x in cells if x[0] == "imp" and x[1] == "80 %"]
    assert ["compared with", "sparsity", "seeds"] in [x[:3] for x in cells]
    assert imp[2] == "1"
    (grid,) = [x for x in cells if x[0] == "imp" and x[1] == "6,300"]
    assert grid[2] == "" and float(grid[3])
    first = [x for x in kept.rows if x["method"] == "lap"][0]
    rows = fake.rows_of(kept, "lap", first["sparsity"])
    wer = statistics.mean(x["wer_ru"] for x in rows)
    assert f"{wer:.2f}" in text
