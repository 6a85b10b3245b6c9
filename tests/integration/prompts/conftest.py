"""The CTC recipe as its users run it: command lines on a small corpus."""

import shutil
import sys

import numpy as np
import pytest
import soundfile

from leanbrain.dataio.manifests import COLUMNS, write_manifest
from leanbrain.hyperyaml import as_override

TINY = {
    "lstm_neurons": 8,
    "number_of_epochs": 2,
    "batches_per_epoch": 10,
    "warmup_steps": 2,
    "max_batch_s": 3.0,
    "languages": ["en", "fr"],
    "seed": 3,
}


@pytest.fixture(scope="session")
def recipe(repo_root):
    return repo_root / "recipes" / "MultilingualPrompts" / "ASR" / "CTC"


@pytest.fixture(scope="session")
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
        *(as_override(key, value) for key, value in settings.items()),
    ]


@pytest.fixture(name="command", scope="session")
def command_of():
    """The words of a command line."""
    return command


@pytest.fixture(scope="session")
def lstm_neurons():
    """Width of the model."""
    return TINY["lstm_neurons"]


@pytest.fixture(scope="session")
def run(run_script):
    """Runs train.py as `command` has it."""
    return lambda *args, **options: run_script(*command(*args, **options)[1:])


@pytest.fixture(scope="session")
def dense(run, recipe, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense") / "run"
    done = run(recipe, "dense.yaml", corpus, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def adaptive(run, recipe, corpus, dense, tmp_path_factory):
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


@pytest.fixture(scope="session")
def nmf_recipe(repo_root, recipe, tmp_path_factory):
    """The recipe with one line changed: features learned from the speech."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(repo_root / "hparams", root / "hparams")
    copy = root / recipe.relative_to(repo_root)
    # Other tests run the recipe at the same time: what Python caches of it
    # comes and goes.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(recipe, copy, ignore=ignored)
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


def check_one_sentence(done, *words):
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last, last


@pytest.fixture(scope="session")
def assert_one_sentence():
    """Asserts that a command ended with one sentence that has some words."""
    return check_one_sentence
