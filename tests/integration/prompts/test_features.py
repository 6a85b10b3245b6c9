"""The recipe with features learned from the speech."""

import json

import pytest
import torch


@pytest.fixture(scope="module")
def nmf_dense(run, nmf_recipe, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nmf") / "run"
    done = run(nmf_recipe, "dense.yaml", corpus, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def front_end_state(folder):
    (newest,) = folder.glob("save/CKPT*")
    return torch.load(newest / "features.ckpt", weights_only=True)


def test_one_line_makes_it_learn_its_features(nmf_dense):
    result = json.loads((nmf_dense / "result.json").read_text())
    assert set(result["cer"]) == {"en", "fr"}
    state = front_end_state(nmf_dense)
    assert state["dictionary.atoms"].shape == (129, 40)
    assert bool((state["dictionary.updates"] > 0).all())


def test_a_pruned_run_keeps_the_dense_runs_dictionary(
    run, nmf_recipe, corpus, nmf_dense, tmp_path, assert_equal
):
    out = tmp_path / "run"
    done = run(
        nmf_recipe,
        "pathways.yaml",
        corpus,
        out,
        dense_checkpoint=nmf_dense / "save",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(front_end_state(out), front_end_state(nmf_dense))


def test_a_start_with_another_front_end_is_refused(
    run, nmf_recipe, corpus, dense, tmp_path, assert_one_sentence
):
    done = run(
        nmf_recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
    )
    assert_one_sentence(done, "same front end", "features.ckpt")
