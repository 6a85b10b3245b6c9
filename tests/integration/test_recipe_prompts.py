"""The CTC recipe as its users run it: command lines on a small corpus."""

import importlib
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
from leanbrain.masking.maskset import MaskSet

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


def test_flops_are_those_of_the_batches_that_there_were(dense, adaptive):
    """By hand for the dense model; fewer for a sparse one."""
    flops = json.loads((dense / "result.json").read_text())["flops"]
    frames, size = 301, TINY["lstm_neurons"]  # 3 s, a frame per 10 ms
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


def test_fixed_masks_never_change(recipe, corpus, dense, tmp_path):
    out = tmp_path / "run"
    options = {"dense_checkpoint": dense / "save", "method": "one_shot"}
    done = run(recipe, "pruned.yaml", corpus, out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = (out / "history.jsonl").read_text().splitlines()
    updates = [x for x in map(json.loads, lines) if x["kind"] == "update"]
    assert [x["step"] for x in updates] == [0]
    assert updates[0]["overlap"] == [[1.0]]
    result = json.loads((out / "result.json").read_text())
    assert result["method"] == "one_shot"
    assert result["sparsity"] == pytest.approx(0.7, abs=1e-3)


def test_masks_of_one_run_are_trained_by_another(
    recipe, corpus, dense, tmp_path
):
    """IMP on English, then fixed pathways that learn from the dense model."""
    options = {
        "dense_checkpoint": dense / "save",
        "method": "imp",
        "pruning": "{sparsity: 0.8, rounds: 1}",
        "languages": "[en]",
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
        "pruning": f"{{sparsity: 0.8, initial_masks: {found}}}",
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


@pytest.fixture
def distillation(recipe, monkeypatch):
    monkeypatch.syspath_prepend(recipe)
    return importlib.import_module("distillation")


def test_divergence_is_that_of_real_frames(distillation):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    log_p, log_q = student.log_softmax(-1), teacher.log_softmax(-1)
    lens = torch.tensor([1.0, 0.5])
    frames = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    by_hand = 0.0
    for b, t in frames:
        ratio = log_q[b, t] - log_p[b, t]
        by_hand += float((log_q[b, t].exp() * ratio).sum()) / len(frames)
    found = distillation.frame_divergence(log_p, log_q, lens)
    assert float(found) == pytest.approx(by_hand, rel=1e-12)
    log_p[1, 2:] = float("nan")  # padding
    assert float(distillation.frame_divergence(log_p, log_q, lens)) == found


def test_a_teacher_stays_as_it_was(distillation):
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.9))
    output = torch.nn.Linear(4, 7)
    teacher = distillation.Teacher(encoder, output)
    feats = torch.randn(2, 5, 3)
    first = teacher(feats, 6)
    assert first.shape == (2, 5, 6) and not first.requires_grad
    assert torch.allclose(first.exp().sum(-1), torch.ones(2, 5))
    for parameter in (*encoder.parameters(), *output.parameters()):
        parameter.data.zero_()
    assert torch.equal(teacher(feats, 6), first)
    assert encoder.training and output.weight.requires_grad


def test_kill_9_in_mid_epoch_and_the_same_command_again(
    recipe, corpus, dense, adaptive, tmp_path
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
    process = subprocess.Popen(
        command(recipe, "pruned.yaml", corpus, out, **options),
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
    done = run(recipe, "pruned.yaml", corpus, out, **options)
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lab"}, ("`method`", "lap, learned, lsp, lth", "'lab'")),
        (
            {"method": "lap", "pruning": "{sparsty: 0.8}"},
            ("sparsty", "sparsity", "lap.yaml"),
        ),
        (
            {"method": "lap", "distillation_weight": 0.1},
            ("`distillation_weight`", "`dense_checkpoint`", "0.1"),
        ),
    ],
    ids=["method", "setting", "teacher"],
)
def test_what_no_method_has_is_named(recipe, corpus, tmp_path, options, words):
    done = run(
        recipe,
        "pruned.yaml",
        corpus,
        tmp_path / "run",
        dense_checkpoint=False,
        **options,
    )
    assert_one_sentence(done, *words)


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
    assert_one_sentence(done, "`dense_checkpoint`", "same model", "lstm")


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
