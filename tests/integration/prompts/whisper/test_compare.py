"""The comparison of methods on Whisper: its suite, its controls, one run."""

import subprocess
import sys

import pytest
import torch

from leanbrain.checks import UserError
from leanbrain.pruning.comparison.rows import read_kept
from leanbrain.pruning.comparison.suite_file import load_suite
from leanbrain.pruning.methods import load_method

SUITE = """
name: tiny
seeds: [1, 2]
sparsities: [0.5]
steps: {epochs: 1, batches_per_epoch: 4}
zero_shot: {window_s: 10}
keep_checkpoints: False
start: &small {max_batch_s: 4.0, warmup_steps: 1, valid_utterances: 2}
overrides: *small
methods:
    - {name: lap, seeds: [1], settings: {rounds: 1}}
"""
PLACES = {"total_steps": 10, "pathways": ["de", "en"], "sparsity": 0.5}


@pytest.fixture(scope="module")
def suite(whisper_recipe):
    return load_suite(whisper_recipe / "suites" / "whisper.yaml")


@pytest.fixture
def compare(whisper_recipe, folder, tmp_path):
    """Runs compare.py on a suite with further words."""

    def compare(suite, *words):
        script = whisper_recipe / "compare.py"
        given = [f"--whisper_source={folder}", f"--results_folder={tmp_path}"]
        command = [sys.executable, str(script), str(suite), *given, *words]
        return subprocess.run(command, capture_output=True, text=True)

    return compare


def test_all_methods_take_as_many_steps(suite):
    finders = {x.masks_from.method for x in suite.methods if x.masks_from}
    assert finders == {"mask_finding"}
    for method in suite.methods:
        if method.name in finders:
            continue
        total = suite.steps.scaled(method.budget).total
        if method.masks_from:
            finder = suite.method(method.masks_from.method)
            each = suite.steps.scaled(finder.budget).total
            total += each * len(suite.languages)
        assert total == suite.steps.total == 795, method.name


def test_the_one_mask_is_learned_as_those_of_each_language(suite):
    one, many = suite.method("adaptive_one_mask"), suite.method("adaptive")
    assert one.file == many.file
    assert one.settings == {"pathways": ["all"], **many.settings}
    assert one.overrides == many.overrides
    given = {**PLACES, **one.settings}
    assert load_method(one.file, **given)["pruner"].pathways == ("all",)


def random_masks(suite, toy, **settings):
    """The masks of the control at the start of a run."""
    file = suite.method("random_masks").file
    pruner = load_method(file, **{**PLACES, **settings})["pruner"]
    brain = toy.make_brain(pruner=pruner)
    brain.init_optimizers()
    pruner.start()
    return pruner.masks


def test_random_masks_are_of_each_language_and_of_the_seed(suite, toy):
    masks = random_masks(suite, toy, seed=1)
    again = random_masks(suite, toy, seed=1)
    other = random_masks(suite, toy, seed=2)
    for name in masks.shapes:
        de, en = (masks.get(x, name) for x in ("de", "en"))
        assert de.float().mean() == pytest.approx(0.5, abs=1 / de.numel())
        assert torch.equal(de, again.get("de", name))
        assert not torch.equal(de, en)
        assert not torch.equal(de, other.get("de", name))


def test_a_whisper_is_known_by_its_files(piece, folder, tmp_path):
    as_input = piece("whisper_source").as_input
    given = as_input(str(folder))
    assert (given.key, given.value) == ("whisper_source", str(folder))
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    moved = as_input(str(tmp_path))
    assert moved.digest == given.digest and moved.value == str(tmp_path)
    with (tmp_path / "config.json").open("a") as file:
        file.write(" ")
    assert as_input(str(tmp_path)).digest != given.digest
    assert as_input("openai/whisper-base").value == "openai/whisper-base"
    with pytest.raises(UserError, match="got no folder results/none"):
        as_input("results/none/base")


def test_a_whisper_that_is_not_there_is_named(compare, corpus):
    words = [f"--data_folder={corpus}", "--whisper_source=/none"]
    done = compare("suite.yaml", *words)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "whisper_prepare.py" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_suite_is_run_and_kept(compare, corpus, tmp_path):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(SUITE)
    words = [f"--data_folder={corpus}", "--workers=1", "--debug"]
    done = compare(suite, *words)
    assert done.returncode == 0, done.stderr[-2000:]
    kept = read_kept(tmp_path / "compare_tiny.json")
    rows = {x["method"]: x for x in kept.rows}
    assert list(rows) == ["zero_shot", "start", "lap"]
    steps = [(x["total_steps"], x["start_steps"]) for x in rows.values()]
    assert steps == [(0, 0), (0, 4), (40, 4)]
    for row in rows.values():
        mean = (row["wer_en"] + row["wer_fr"]) / 2
        assert row["mean_wer"] == pytest.approx(mean)
    saved = list(tmp_path.glob("trials/*/work/save"))
    assert len(saved) == 1  # of the dense start
    assert len(list(tmp_path.glob("trials/*/work/masks.pt"))) == 1
    done = compare(suite, *words, "--dry_run")
    assert "All 3 trials are recorded already." in done.stdout
