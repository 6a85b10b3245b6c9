"""The demo: the control trains on exactly as the pruned models do."""

import importlib.util

import numpy as np
import pytest
import soundfile
from hyperpyyaml import load_hyperpyyaml

from leanbrain.dataio.manifests import SPLITS, read_manifest
from leanbrain.files import read_json


@pytest.fixture(scope="module")
def demo(recipe):
    spec = importlib.util.spec_from_file_location("demo", recipe / "demo.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def training(demo, recipe, name, data_folder):
    """All of a run's YAML that decides how it is trained, as it is loaded."""
    _, overrides = demo.budgets(data_folder)
    own = overrides[name]
    if name != "dense":
        own = {**own, "dense_checkpoint": "x"}
    path = recipe / "hparams" / demo.RUNS[name]
    with open(path, encoding="utf-8") as stream:
        found = load_hyperpyyaml(stream, own)
    names = "total_steps number_of_epochs batches_per_epoch lr warmup_steps"
    names += " weight_decay max_batch_s temperature lstm_neurons seed"
    return {x: found[x] for x in names.split()} | {"method": own.get("method")}


@pytest.mark.parametrize("data_folder", ["", "mine"])
def test_the_control_trains_on_as_the_pruned_models(demo, recipe, data_folder):
    """Unequal totals would credit training to pruning."""
    runs = {x: training(demo, recipe, x, data_folder) for x in demo.RUNS}
    assert runs.pop("dense")["total_steps"] > 0
    assert runs["dense_trained_on"].pop("method") == "none"
    assert runs["fixed"].pop("method") == "one_shot"
    assert runs["adaptive"].pop("method") is None
    assert runs["dense_trained_on"] == runs["adaptive"] == runs["fixed"]


@pytest.fixture
def own_folder(corpus, tmp_path):
    """The corpus at the rates of public ones, 16 and 48 kHz."""
    folder = tmp_path / "own"
    folder.mkdir()
    for split in SPLITS:
        rows = read_manifest(corpus / f"{split}.csv", corpus).values()
        for i, row in enumerate(rows):
            rate = (16000, 48000)[i % 2]
            sound, old = soundfile.read(row["wav"])
            sound = np.repeat(sound, rate // old)
            soundfile.write(folder / f"{row['ID']}.flac", sound, rate)
        text = (corpus / f"{split}.csv").read_text()
        (folder / f"{split}.csv").write_text(text)
    return folder


@pytest.mark.slow
def test_the_demo_on_a_folder_of_other_rates(
    demo, own_folder, run_script, tmp_path, monkeypatch, capsys
):
    """`make demo DATA=<folder>`, but for the number of its steps."""
    tiny = {"number_of_epochs": 1, "batches_per_epoch": 3, "lstm_neurons": 8}
    seed, overrides = demo.budgets(own_folder)
    short = {name: {**own, **tiny} for name, own in overrides.items()}
    monkeypatch.setattr(demo, "budgets", lambda *_: (seed, short))
    said = []

    def run(command):
        done = run_script(*command[1:])
        said.append(done.stdout + done.stderr)
        return done

    monkeypatch.setattr(demo.subprocess, "run", run)
    arguments = ["--results_folder", str(tmp_path / "results")]
    arguments += ["--data_folder", str(own_folder)]
    demo.main(arguments)
    assert "report: " in capsys.readouterr().out
    runs = sorted((tmp_path / "results" / "runs").iterdir())
    assert len(runs) == len(demo.RUNS) == len(said)
    words = "train: 12 at 16000 Hz, 12 at 48000 Hz of 24 files are resampled"
    assert all(words in text for text in said), said[0][-2000:]
    assert all(read_json(x / "result.json")["steps"] for x in runs)
    # Other audio is other data: the runs are not used again.
    path = own_folder / "fr-test-0.flac"
    sound, rate = soundfile.read(path)
    soundfile.write(path, sound[::-1], rate)
    settings = {"data_folder": str(own_folder)}
    changed = demo.run_folder(tmp_path, "dense", settings)
    soundfile.write(path, sound, rate)
    assert demo.run_folder(tmp_path, "dense", settings) != changed
