"""What a run leaves, that it goes on where it was killed, and its errors."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from leanbrain.dataio.manifests import read_manifest, write_manifest
from leanbrain.masking.maskset import MaskSet


@pytest.fixture(scope="module")
def dense(train, tmp_path_factory):
    out = tmp_path_factory.mktemp("dense") / "run"
    done = train("dense.yaml", out)
    assert done.returncode == 0, done.stderr[-2000:]
    said = (out / "log.txt").read_text()
    assert "12 steps of about" in said and "with 2 validations of" in said
    result = result_of(out)
    for lang in ("en", "fr"):
        cer, wer = (result[name][lang] for name in ("cer", "wer"))
        assert f"{lang} {cer:.1f} % CER {wer:.1f} % WER" in said
    return out


@pytest.fixture(scope="module")
def adaptive(train, dense, tmp_path_factory):
    out = tmp_path_factory.mktemp("adaptive") / "run"
    options = {"dense_checkpoint": dense / "save", "ckpt_interval_steps": 4}
    done = train("pathways.yaml", out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return out


def result_of(folder):
    return json.loads((folder / "result.json").read_text())


def final_state(folder):
    """All that the last checkpoint holds."""
    newest = max(folder.glob("save/CKPT*"), key=lambda p: p.stat().st_mtime)
    names = ("model", "pruner", "optimizer", "random_state")
    return {
        name: torch.load(newest / f"{name}.ckpt", weights_only=True)
        for name in names
    }


def test_dense_and_adaptive_write_their_results(dense, adaptive):
    for folder, sparsity in ((dense, 0.0), (adaptive, 0.5)):
        result = result_of(folder)
        assert result["steps"] == 12 and result["flops"] > 0
        assert result["start_steps"] == (12 if sparsity else 0)
        assert result["sparsity"] == pytest.approx(sparsity, abs=1e-3)
        assert set(result["cer"]) == set(result["wer"]) == {"en", "fr"}
        rows = json.loads((folder / "utterances.json").read_text())
        assert sorted(rows["fr"]) == [f"fr-test-{i}" for i in range(3)]
        assert list((folder / "tensorboard").rglob("events*"))
    masks = MaskSet.load(adaptive / "masks.pt")
    assert masks.pathways == ("en", "fr")
    # All linear layers and convolutions, and nothing of the embeddings.
    assert masks.numel() == result_of(dense)["target_weights"]
    assert not [name for name in masks.shapes if "embed" in name]
    assert 0 < masks.overlap("en", "fr") < 1


def test_flops_are_those_of_the_layers(dense):
    """By hand: 0.6 s in a window of 1.5 s; prefix, a space, three letters."""
    frames, tokens, width, inner, layers = 75, 8, 16, 32, 2
    layer = 4 * width**2 + 2 * width * inner
    encoder = 2 * frames * 3 * 80 * width + frames * 3 * width**2
    encoder += layers * frames * layer
    decoder = layers * (tokens * (layer + 2 * width**2))
    decoder += layers * frames * 2 * width**2
    decoder += tokens * 51865 * width
    flops = result_of(dense)["flops"]
    words = flops / (6 * (encoder + decoder))
    assert words == pytest.approx(round(words), rel=1e-9)
    assert 12 * 4 <= words <= 12 * 6


def test_kill_9_in_mid_epoch_and_the_same_command_again(
    train, run_killed, whisper_words, dense, adaptive, tmp_path, assert_equal
):
    """That of pathways.yaml: naming the method instead is the same."""
    out = tmp_path / "run"
    options = {
        "dense_checkpoint": dense / "save",
        "ckpt_interval_steps": 4,
        "method": "adaptive",
        "pruning": {"sparsity": 0.5},
    }
    run_killed(*whisper_words("pruned.yaml", out, **options))
    assert not (out / "result.json").exists()
    done = train("pruned.yaml", out, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(final_state(out), final_state(adaptive))
    a, b = ((f / "history.jsonl").read_text() for f in (out, adaptive))
    assert a == b
    assert result_of(out)["cer"] == result_of(adaptive)["cer"]


def test_what_is_batched_together_does_not_change_results(
    train, whisper_words, tmp_path
):
    """Without training, of windows of 30 s and short ones."""
    found = {}
    for seconds, window in ((4.0, None), (100.0, None), (100.0, 30)):
        out = tmp_path / f"{seconds}-{window}"
        options = {"max_batch_s": seconds, "number_of_epochs": 0}
        done = train("dense.yaml", out, window_s=window, **options)
        assert done.returncode == 0, done.stderr[-2000:]
        assert result_of(out)["steps"] == 0
        found[out] = json.loads((out / "utterances.json").read_text())
    small, large, _ = found.values()
    assert small == large


def changed_corpus(corpus, target, name, sound, rate=8000):
    """A copy whose `name` sounds different."""
    shutil.copytree(corpus, target)
    path = target / f"{name}.flac"
    # A FLAC of no samples is not readable; a WAV is.
    soundfile.write(path, sound, rate, format="WAV")
    for path in target.glob("*.csv"):
        rows = list(read_manifest(path).values())
        for row in rows:
            if row["ID"] == name:
                row["duration"] = max(1, len(sound)) / rate
        write_manifest(path, rows)
    return target


TONE = 0.1 * np.sin(np.arange(8000) * 0.3)


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (np.tile(TONE, 31), ("at most 30 s", "en-train-3")),
        (np.stack([TONE, TONE], 1), ("mono", "2 channels")),
        (TONE[:0], ("must not be empty", "en-train-3")),
    ],
    ids=["long", "stereo", "empty"],
)
def test_speech_that_whisper_cannot_take(
    train, corpus, tmp_path, sound, words, assert_one_sentence
):
    data = changed_corpus(corpus, tmp_path / "data", "en-train-3", sound)
    done = train("dense.yaml", tmp_path / "run", data=data)
    assert_one_sentence(done, *words)


def test_other_sampling_rates_are_heard(train, corpus, tmp_path):
    """One utterance of 44.1 kHz among those of 8 kHz."""
    random = np.random.default_rng(0)
    sound = 0.1 * random.standard_normal(22050)
    data = changed_corpus(
        corpus, tmp_path / "data", "en-test-0", sound, rate=44100
    )
    options = {"number_of_epochs": 0, "data": data}
    done = train("dense.yaml", tmp_path / "run", **options)
    assert done.returncode == 0, done.stderr[-2000:]
    said = (tmp_path / "run" / "log.txt").read_text()
    assert "1 at 44100 Hz" in said and "resampled to 16000 Hz" in said


def test_weights_that_are_not_there(train, tmp_path, assert_one_sentence):
    done = train(
        "dense.yaml", tmp_path / "run", whisper_source=tmp_path / "none"
    )
    assert_one_sentence(done, "`whisper_source`", "python whisper_prepare.py")
