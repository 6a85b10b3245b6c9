"""The comparison as its users run it: one command on a small corpus."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from leanbrain.dataio.manifests import COLUMNS, write_manifest
from leanbrain.pruning.comparison.rows import read_kept

# Trainings: masks of one language each, pathways that are fixed to them, and
# one from random weights.
SUITE = """
name: tiny
seeds: [1]
sparsities: [0.6]
steps: {epochs: 1, batches_per_epoch: 8}
start:
    lstm_neurons: 8
    number_of_epochs: 1
    batches_per_epoch: 4
    warmup_steps: 2
    max_batch_s: 3.0
overrides: {lstm_neurons: 8, warmup_steps: 2, max_batch_s: 3.0}
methods:
    - {name: dense, method: none, sparsities: [0.0]}
    - {name: lsp, per_language: True, budget: 0.5}
    - {name: fixed_pathways, masks_from: {method: lsp, sparsity: same}}
    - name: rigl
      from_scratch: True
      budget: 1.5
      settings: {interval: 2}
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Noise in the place of speech: manifests and FLAC of the real layout."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("valid", 2), ("test", 2)):
        rows = []
        for lang in ("en", "ru"):
            for i in range(count):
                name = f"{lang}-{split}-{i}"
                sound = 0.1 * random.standard_normal(4000)
                soundfile.write(folder / f"{name}.flac", sound, 8000)
                wav = f"{{data_root}}/{name}.flac"
                row = [name, 0.5, wav, lang, lang, "abc"]
                rows.append(dict(zip(COLUMNS, row, strict=True)))
        write_manifest(folder / f"{split}.csv", rows)
    return folder


@pytest.fixture(scope="module")
def compare(repo_root, corpus, tmp_path_factory):
    """Runs compare.py on the corpus with further words."""
    recipe = repo_root / "recipes" / "MultilingualPrompts" / "ASR" / "CTC"
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "tiny.yaml").write_text(SUITE)

    def compare(*words):
        command = [
            sys.executable,
            str(recipe / "compare.py"),
            str(folder / "tiny.yaml"),
            f"--data_folder={corpus}",
            f"--results_folder={folder / 'results'}",
            "--workers=1",
            *words,
        ]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=env)
        return done, folder / "results"

    return compare


@pytest.mark.slow
def test_dense_models_alone_are_kept_without_a_report(compare, tmp_path):
    words = ["--keep", str(tmp_path), "--results_folder", str(tmp_path / "x")]
    done, _ = compare("--methods", "dense", *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "report: none yet" in done.stdout
    rows = read_kept(tmp_path / "compare_tiny.json").rows
    assert [row["method"] for row in rows] == ["start", "dense"]
    assert not (tmp_path / "x" / "report.html").exists()


@pytest.mark.slow
def test_a_suite_is_trained_kept_and_reported(compare, tmp_path):
    methods = ["--methods", "lsp", "fixed_pathways", "rigl"]
    done, results = compare("--keep", str(tmp_path), *methods)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4 of 5 rows" in done.stdout, done.stdout
    kept = read_kept(tmp_path / "compare_tiny.json")
    assert kept == read_kept(results / "compare_tiny.json")
    rows = {row["method"]: row for row in kept.rows}
    assert list(rows) == ["start", "lsp", "fixed_pathways", "rigl"]
    assert [x["total_steps"] for x in rows.values()] == [0, 8, 16, 12]
    assert [x["start_steps"] for x in rows.values()] == [4, 4, 4, 0]
    # Fixed pathways train the very masks that were found before.
    lsp, fixed = rows["lsp"], rows["fixed_pathways"]
    assert 0.0 < lsp["overlap_en_ru"] < 1.0
    assert fixed["overlap_en_ru"] == lsp["overlap_en_ru"]
    assert fixed["union_density"] == lsp["union_density"] > 0.4
    assert fixed["flops"] > lsp["flops"] > 0.0
    lengths = {x: len(y) for x, y in kept.utterances["characters"].items()}
    assert lengths == {"en": 2, "ru": 2}
    assert set(kept.utterances["edits"]) == {
        "start|0|1",
        "lsp|0.6|1",
        "fixed_pathways|0.6|1",
        "rigl|0.6|1",
    }
    assert (results / "report.html").stat().st_size > 10_000
    # Once more: nothing is trained again, and a dry run says so.
    done, _ = compare("--dry_run", *methods)
    assert "All 5 trials are recorded already." in done.stdout
    shutil.rmtree(results / "trials")


@pytest.fixture
def comparing(repo_root, pieces_of):
    """The module that compare.py of both recipes is made of."""
    recipe = repo_root / "recipes" / "MultilingualPrompts" / "ASR" / "CTC"
    with pieces_of(recipe) as load:
        yield load("comparing")


def test_seeds_of_earlier_calls_stay_in_the_report(
    comparing, monkeypatch, tmp_path
):
    module = comparing
    planned = []

    def make_plan(suite, site, choice):
        planned.append(choice.seeds)
        return []

    monkeypatch.setattr(module, "seeds_in", lambda root: [1, 4])
    monkeypatch.setattr(module, "make_plan", make_plan)
    rows = SimpleNamespace(rows=[{"seed": 4, "sparsity": 0.6}])
    monkeypatch.setattr(module, "collect", lambda *_: rows)
    for name in ("write_report", "write_kept"):
        monkeypatch.setattr(module, name, lambda *_: tmp_path)
    (tmp_path / "tiny.yaml").write_text(SUITE)
    recipe = module.Recipe(tmp_path, tmp_path, "", {})
    words = [str(tmp_path / "tiny.yaml"), "--seeds=2"]
    options = module.parse(recipe, words)
    suite = SimpleNamespace(seeds=[1])
    module.report(options, suite, SimpleNamespace(root=tmp_path))
    assert planned == [[1, 2, 4]]


def test_kept_results_outlive_an_empty_folder(compare, tmp_path):
    before = {"compare_tiny.csv": "method\n", "compare_tiny.json": "{}"}
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    words = ["--results_folder", str(tmp_path / "empty")]
    done, _ = compare("--only_report", "--keep", str(tmp_path), *words)
    assert done.returncode == 2 and "got 0 rows" in done.stderr
    assert "Traceback" not in done.stderr
    for name, text in before.items():
        assert (tmp_path / name).read_text() == text


def test_a_method_that_is_not_there_is_named(compare):
    done, _ = compare("--methods", "lip")
    assert done.returncode == 2, done.stderr[-2000:]
    assert (
        "`method` must be one of dense, lsp, fixed_pathways, rigl"
        in done.stderr
    )
    assert "Traceback" not in done.stderr
