"""What a run leaves, and that it goes on where it was killed."""

import json
import shutil

import pytest
import torch

from leanbrain.dataio.manifests import read_manifest, write_manifest
from leanbrain.masking.maskset import MaskSet


def final_state(folder):
    """All that the last checkpoint holds: weights, masks, moments, numbers."""
    newest = max(folder.glob("save/CKPT*"), key=lambda p: p.stat().st_mtime)
    names = ("model", "pruner", "optimizer", "random_state")
    return {
        name: torch.load(newest / f"{name}.ckpt", weights_only=True)
        for name in names
    }


def test_dense_and_adaptive_write_their_results(dense, adaptive):
    for folder, sparsity in ((dense, 0.0), (adaptive, 0.7)):
        result = json.loads((folder / "result.json").read_text())
        assert result["steps"] == 20
        assert result["start_steps"] == (20 if sparsity else 0)
        assert result["sparsity"] == pytest.approx(sparsity, abs=1e-3)
        assert set(result["cer"]) == {"en", "fr"}
        assert result["seconds"] > 0 and result["host"]["cores"] >= 1
        log = (folder / "train_log.txt").read_text()
        last = log.strip().splitlines()[-1].split()[-1]
        assert result["valid_cer"] == pytest.approx(float(last), rel=0.01)


def test_edits_of_utterances_add_up_to_the_error_rates(dense, adaptive):
    for folder in (dense, adaptive):
        rates = json.loads((folder / "result.json").read_text())["cer"]
        found = json.loads((folder / "utterances.json").read_text())
        assert found.keys() == rates.keys()
        for lang, rows in found.items():
            assert sorted(rows) == [f"{lang}-test-{i}" for i in range(3)]
            edits, length = (
                sum(column) for column in zip(*rows.values(), strict=True)
            )
            assert length == 9
            assert 100 * edits / length == pytest.approx(rates[lang])


def test_masks_and_their_numbers_are_kept(dense, adaptive):
    result = json.loads((adaptive / "result.json").read_text())
    masks = MaskSet.load(adaptive / "masks.pt")
    assert result["method"] == "adaptive"
    assert result["target_weights"] == masks.numel()
    assert result["union_density"] == masks.union_density()
    assert result["overlap"]["pathways"] == ["en", "fr"]
    assert result["overlap"]["matrix"][0][1] == masks.overlap("en", "fr") < 1
    for pathway, densities in result["density"].items():
        for name, density in densities.items():
            assert density == masks.density(pathway, name)
    other = json.loads((dense / "result.json").read_text())
    assert other["method"] == "dense" and not other["density"]
    assert other["target_weights"] == masks.numel()
    assert not (dense / "masks.pt").exists()


def test_flops_are_those_of_the_batches_that_there_were(
    dense, adaptive, lstm_neurons
):
    """By hand for the dense model; fewer for a sparse one."""
    flops = json.loads((dense / "result.json").read_text())["flops"]
    frames, size = 301, lstm_neurons  # 3 s, a frame per 10 ms
    convolutions = (151 * 20 * 64 + 76 * 10 * 32 * 64) * 9
    inputs = (10 * 32, 2 * size, 2 * size)
    lstm = sum(76 * 2 * 4 * size * (i + size) for i in inputs)
    output = 76 * 2 * size * 96
    assert frames // 4 + 1 == 76
    full = 6 * (convolutions + lstm + output)
    # Words of 0.6 s: each pass over a language's 12 is of 5, 5 and 2.
    words = flops / full * 3.0 / 0.6
    assert words == pytest.approx(round(words), rel=1e-9)
    assert 70 <= words <= 90
    sparse = json.loads((adaptive / "result.json").read_text())["flops"]
    assert 0.3 * flops < sparse < 0.95 * flops


def test_fixed_masks_never_change(run, recipe, corpus, dense, tmp_path):
    out = tmp_path / "run"
    options = {"dense_checkpoint": dense / "save", "method": "one_shot"}
    done = run(recipe, "pruned.yaml", corpus, out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (out / "history.jsonl").read_text().splitlines()
    updates = [x for x in map(json.loads, lines) if x["kind"] == "update"]
    assert [x["step"] for x in updates] == [1]  # the first step is dense
    assert updates[0]["overlap"] == [[1.0]]
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == "one_shot"
    assert result["sparsity"] == pytest.approx(0.7, abs=1e-3)


def test_masks_of_one_run_are_trained_by_another(
    run, recipe, corpus, dense, tmp_path
):
    """IMP on English, then fixed pathways that learn from the dense model."""
    options = {
        "dense_checkpoint": dense / "save",
        "method": "imp",
        "pruning": {"sparsity": 0.8, "rounds": 1},
        "languages": ["en"],
        "subset": True,
    }
    done = run(recipe, "pruned.yaml", corpus, tmp_path / "imp", **options)
    assert done.returncode == 0, done.stderr[-2000:]
    # The last of 2 x 10 steps was the tenth of its round: the learning rate
    # is not zero yet, as it would be with one schedule for both.
    (group,) = final_state(tmp_path / "imp")["optimizer"]["param_groups"]
    assert group["lr"] == pytest.approx(0.001 / 18)
    found = tmp_path / "imp" / "masks.pt"
    options = {
        "dense_checkpoint": dense / "save",
        "method": "fixed_pathways",
        "pruning": {"sparsity": 0.8, "initial_masks": str(found)},
        "distillation_weight": 0.5,
    }
    done = run(recipe, "pruned.yaml", corpus, tmp_path / "fixed", **options)
    assert done.returncode == 0, done.stderr[-2000:]
    masks = MaskSet.load(tmp_path / "fixed" / "masks.pt")
    assert masks.pathways == ("en", "fr")
    theirs = MaskSet.load(found)
    for pathway in masks.pathways:
        for name in masks.shapes:
            mine = masks.get(pathway, name)
            assert torch.equal(mine, theirs.get("all", name))


def test_kill_9_in_mid_epoch_and_the_same_command_again(
    run,
    run_killed,
    recipe,
    corpus,
    dense,
    adaptive,
    tmp_path,
    assert_equal,
    command,
):
    """Weights, masks, moments and random numbers: equal to a straight run.

    That of pathways.yaml: naming the method instead makes no difference.
    """
    out = tmp_path / "run"
    options = {
        "dense_checkpoint": dense / "save",
        "ckpt_interval_steps": 3,
        "method": "adaptive",
    }
    run_killed(*command(recipe, "pruned.yaml", corpus, out, **options)[1:])
    assert len(list(out.glob("save/CKPT*"))) == 1
    assert len(list(out.glob("save/.partial-*"))) == 1
    assert not (out / "result.json").exists()
    done = run(recipe, "pruned.yaml", corpus, out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(final_state(out), final_state(adaptive))
    a, b = ((f / "history.jsonl").read_text() for f in (out, adaptive))
    assert a == b


@pytest.mark.slow
def test_languages_whose_names_yaml_takes_for_something_else(
    run, recipe, corpus, tmp_path
):
    """A number and a truth value, a `#` and a `=` in the folder's name."""
    other = tmp_path / "a #1=b"
    shutil.copytree(corpus, other)
    for path in other.glob("*.csv"):
        rows = read_manifest(path).values()
        names = {"en": "1", "fr": "no"}
        renamed = [{**row, "lang": names[row["lang"]]} for row in rows]
        write_manifest(path, renamed)
    out = tmp_path / "run #2=c"
    languages = {"languages": ["1", "no"]}
    dense = run(recipe, "dense.yaml", other, out / "dense", **languages)
    assert dense.returncode == 0, dense.stderr
    start = {"dense_checkpoint": out / "dense" / "save", **languages}
    done = run(recipe, "pathways.yaml", other, out / "sparse", **start)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "sparse" / "result.json").read_text())
    assert set(found["cer"]) == {"1", "no"}
