"""A user's mistake is one sentence, and nothing is lost."""

import shutil

import pytest


def test_a_language_without_a_pathway_is_named(
    run, recipe, corpus, dense, tmp_path, assert_one_sentence
):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
        languages=["en", "xx"],
    )
    assert_one_sentence(done, "xx", "en, fr")


def test_a_manifest_language_that_no_pathway_names(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    done = run(recipe, "dense.yaml", corpus, tmp_path / "run", languages=["en"])
    assert_one_sentence(done, "`languages`", "fr")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"method": "lab"},
            ("hparams/pruning", "lap, learned, lsp, lth", "'lab'"),
        ),
        (
            {"method": "lap", "pruning": {"sparsty": 0.8}},
            ("sparsty", "sparsity", "lap.yaml"),
        ),
        (
            {"method": "lap", "distillation_weight": 0.1},
            ("`distillation_weight`", "`dense_checkpoint`", "0.1"),
        ),
        ({}, ("pruned.yaml must be given a value for `method`",)),
        ({"methods": "lap"}, ("no key 'methods' (nearest: method",)),
    ],
    ids=["method", "setting", "teacher", "none", "key"],
)
def test_what_no_method_has_is_named(
    run, recipe, corpus, tmp_path, options, words, assert_one_sentence
):
    done = run(
        recipe,
        "pruned.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=False,
        **options,
    )
    assert_one_sentence(done, *words)


def test_gradient_accumulation_is_refused(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    done = run(
        recipe,
        "dense.yaml",
        corpus,
        tmp_path / "run",
        grad_accumulation_factor=2,
    )
    assert_one_sentence(done, "`grad_accumulation_factor` must be 1", "got 2")


def test_a_dense_run_refuses_a_pruned_checkpoint(
    run, recipe, corpus, adaptive, assert_one_sentence
):
    done = run(recipe, "dense.yaml", corpus, adaptive)
    assert_one_sentence(done, "dense", "pruner.ckpt")


def test_a_pruned_run_refuses_a_dense_checkpoint(
    run, recipe, corpus, dense, assert_one_sentence
):
    done = run(
        recipe, "pathways.yaml", corpus, dense, dense_checkpoint=dense / "save"
    )
    assert_one_sentence(done, "pruned", "pruner.ckpt")


def test_a_start_from_a_pruned_model_is_refused(
    run, recipe, corpus, adaptive, tmp_path, assert_one_sentence
):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=adaptive / "save",
    )
    assert_one_sentence(done, "dense")


def test_a_start_from_another_model_is_refused(
    run, recipe, corpus, dense, tmp_path, assert_one_sentence
):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
        lstm_neurons=4,
    )
    assert_one_sentence(done, "`dense_checkpoint`", "same model", "lstm")


def test_a_loss_that_is_never_finite_names_the_batch(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    done = run(recipe, "dense.yaml", corpus, tmp_path / "run", lr=1e30)
    assert_one_sentence(done, "loss must be finite")


def test_a_corrupt_audio_file_is_named(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    (broken / "fr-train-3.flac").write_bytes(b"no audio")
    done = run(recipe, "dense.yaml", broken, tmp_path / "run")
    assert_one_sentence(done, "fr-train-3.flac")


def test_missing_data_is_named(run, recipe, tmp_path, assert_one_sentence):
    done = run(recipe, "dense.yaml", tmp_path / "nowhere", tmp_path / "run")
    assert_one_sentence(done, "nowhere")


def test_languages_that_yaml_takes_for_numbers(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    done = run(recipe, "dense.yaml", corpus, tmp_path / "run", languages=[1, 2])
    assert_one_sentence(done, "`languages`", "got 1 (type int;", "quotes")


def test_an_output_folder_that_cannot_be(
    run, recipe, corpus, tmp_path, assert_one_sentence
):
    (tmp_path / "file").write_text("")
    done = run(recipe, "dense.yaml", corpus, tmp_path / "file" / "run")
    assert_one_sentence(done, "file/run", "Not a directory")


@pytest.mark.parametrize("script", ["demo.py", "compare.py"])
def test_a_results_folder_that_cannot_be(
    run_script, recipe, tmp_path, script, assert_one_sentence
):
    """Said before any speech is synthesised."""
    (tmp_path / "file").write_text("")
    suite = ["suites/embedded.yaml"] if script == "compare.py" else []
    options = ["--results_folder", tmp_path / "file" / "results"]
    done = run_script(recipe / script, *suite, *options)
    assert_one_sentence(done, "file/results must be one that can be written")
