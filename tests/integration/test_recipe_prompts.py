"""The CTC recipe as its users run it: command lines on a small corpus."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import torch

from leanbrain.dataio.manifests import COLUMNS, write_manifest

TINY = {
    "lstm_neurons": 8,
    "number_of_epochs": 2,
    "batches_per_epoch": 10,
    "warmup_steps": 2,
    "max_batch_s": 3.0,
    "languages": "[en, fr]",
    "seed": 3,
}


@pytest.fixture(scope="module")
def recipe(repo_root):
    return repo_root / "recipes" / "MultilingualPrompts" / "ASR" / "CTC"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones in the place of letters: manifests and FLAC of the real layout."""
    folder = tmp_path_factory.mktemp("tones")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("valid", 3), ("test", 3)):
        rows = []
        for lang in ("en", "fr"):
            for i in range(count):
                text = "".join(random.choice(list("abc"), 3))
                tones = [
                    np.sin(np.arange(1600) * (0.1 + 0.2 * "abc".index(c)))
                    for c in text
                ]
                name = f"{lang}-{split}-{i}"
                sound = 0.3 * np.concatenate(tones)
                noise = 0.01 * random.standard_normal(sound.shape)
                soundfile.write(folder / f"{name}.flac", sound + noise, 8000)
                wav = f"{{data_root}}/{name}.flac"
                row = [name, len(sound) / 8000, wav, lang, lang, text]
                rows.append(dict(zip(COLUMNS, row, strict=False)))
        write_manifest(folder / f"{split}.csv", rows)
    return folder


def command(recipe, yaml, corpus, out, **options):
    settings = {
        **TINY,
        "data_folder": corpus,
        "output_folder": out,
        **options,
    }
    return [
        sys.executable,
        str(recipe / "train.py"),
        str(recipe / "hparams" / yaml),
        "--noprogressbar",
        *(f"--{key}={value}" for key, value in settings.items()),
    ]


def run(*args, **options):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command(*args, **options), capture_output=True, text=True, env=env
    )


def final_state(folder):
    """All that the last checkpoint holds: weights, masks, moments, numbers."""
    newest = max(folder.glob("save/CKPT*"), key=lambda p: p.stat().st_mtime)
    names = ("model", "pruner", "optimizer", "random_state")
    return {
        name: torch.load(newest / f"{name}.ckpt", weights_only=True)
        for name in names
    }


def assert_equal(a, b, where=""):
    assert type(a) is type(b), where
    if torch.is_tensor(a):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            assert_equal(x, y, f"{where}/{i}")
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def dense(recipe, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense") / "run"
    done = run(recipe, "dense.yaml", corpus, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def adaptive(recipe, corpus, dense, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptive") / "run"
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        folder,
        dense_checkpoint=dense / "save",
        ckpt_interval_steps=3,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_dense_and_adaptive_write_their_results(dense, adaptive):
    for folder, sparsity in ((dense, 0.0), (adaptive, 0.7)):
        result = json.loads((folder / "result.json").read_text())
        assert result["steps"] == 20
        assert result["sparsity"] == pytest.approx(sparsity, abs=1e-3)
        assert set(result["cer"]) == {"en", "fr"}
        assert result["seconds"] > 0 and result["host"]["cores"] >= 1
    log = (adaptive / "train_log.txt").read_text()
    assert "mean_cer" in log


def test_fixed_masks_never_change(recipe, corpus, dense, tmp_path):
    out = tmp_path / "run"
    done = run(
        recipe, "fixed.yaml", corpus, out, dense_checkpoint=dense / "save"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (out / "history.jsonl").read_text().splitlines()
    updates = [x for x in map(json.loads, lines) if x["kind"] == "update"]
    assert [x["step"] for x in updates] == [0]
    assert updates[0]["overlap"] == [[1.0, 1.0], [1.0, 1.0]]
    result = json.loads((out / "result.json").read_text())
    assert result["sparsity"] == pytest.approx(0.7, abs=1e-3)


def test_kill_9_in_mid_epoch_and_the_same_command_again(
    recipe, corpus, dense, adaptive, tmp_path
):
    """Weights, masks, moments and random numbers: equal to a straight run."""
    out = tmp_path / "run"
    options = {"dense_checkpoint": dense / "save", "ckpt_interval_steps": 3}
    process = subprocess.Popen(
        command(recipe, "pathways.yaml", corpus, out, **options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("save/CKPT*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list(out.glob("save/CKPT*")), "no checkpoint was seen in time"
    assert not (out / "result.json").exists()
    done = run(recipe, "pathways.yaml", corpus, out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(final_state(out), final_state(adaptive))
    a, b = ((f / "history.jsonl").read_text() for f in (out, adaptive))
    assert a == b


def assert_one_sentence(done, *words):
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last, last


def test_a_language_without_a_pathway_is_named(recipe, corpus, dense, tmp_path):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
        languages="[en, xx]",
    )
    assert_one_sentence(done, "xx", "en, fr")


def test_a_manifest_language_that_no_pathway_names(recipe, corpus, tmp_path):
    done = run(recipe, "dense.yaml", corpus, tmp_path / "run", languages="[en]")
    assert_one_sentence(done, "`languages`", "fr")


def test_gradient_accumulation_is_refused(recipe, corpus, tmp_path):
    done = run(
        recipe,
        "dense.yaml",
        corpus,
        tmp_path / "run",
        grad_accumulation_factor=2,
    )
    assert_one_sentence(done, "`grad_accumulation_factor` must be 1", "got 2")


def test_a_dense_run_refuses_a_pruned_checkpoint(recipe, corpus, adaptive):
    done = run(recipe, "dense.yaml", corpus, adaptive)
    assert_one_sentence(done, "dense", "pruner.ckpt")


def test_a_pruned_run_refuses_a_dense_checkpoint(recipe, corpus, dense):
    done = run(
        recipe, "pathways.yaml", corpus, dense, dense_checkpoint=dense / "save"
    )
    assert_one_sentence(done, "pruned", "pruner.ckpt")


def test_a_start_from_a_pruned_model_is_refused(
    recipe, corpus, adaptive, tmp_path
):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=adaptive / "save",
    )
    assert_one_sentence(done, "dense")


def test_a_start_from_another_model_is_refused(recipe, corpus, dense, tmp_path):
    done = run(
        recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
        lstm_neurons=4,
    )
    assert_one_sentence(done, "`dense_checkpoint`", "lstm_neurons")


def test_a_loss_that_is_never_finite_names_the_batch(recipe, corpus, tmp_path):
    done = run(recipe, "dense.yaml", corpus, tmp_path / "run", lr=1e30)
    assert_one_sentence(done, "loss must be finite")


def test_a_corrupt_audio_file_is_named(recipe, corpus, tmp_path):
    broken = tmp_path / "corpus"
    shutil.copytree(corpus, broken)
    (broken / "fr-train-3.flac").write_bytes(b"no audio")
    done = run(recipe, "dense.yaml", broken, tmp_path / "run")
    assert_one_sentence(done, "fr-train-3.flac")


def test_missing_data_is_named(recipe, tmp_path):
    done = run(recipe, "dense.yaml", tmp_path / "nowhere", tmp_path / "run")
    assert_one_sentence(done, "nowhere")


@pytest.fixture(scope="module")
def nmf_recipe(repo_root, recipe, tmp_path_factory):
    """The recipe with one line changed: features learned from the speech."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(repo_root / "hparams", root / "hparams")
    copy = root / recipe.relative_to(repo_root)
    shutil.copytree(recipe, copy)
    path = copy / "hparams" / "model.yaml"
    lines = path.read_text().splitlines()
    changed = [
        line.replace("features/fbank.yaml", "features/nmf.yaml")
        if "!include" in line
        else line
        for line in lines
    ]
    assert sum(a != b for a, b in zip(lines, changed, strict=True)) == 1
    path.write_text("\n".join(changed) + "\n")
    return copy


@pytest.fixture(scope="module")
def nmf_dense(nmf_recipe, corpus, tmp_path_factory):
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
    nmf_recipe, corpus, nmf_dense, tmp_path
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
    nmf_recipe, corpus, dense, tmp_path
):
    done = run(
        nmf_recipe,
        "pathways.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=dense / "save",
    )
    assert_one_sentence(done, "same front end", "features.ckpt")
