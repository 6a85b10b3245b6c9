"""The digits recipe as its users run it: command lines on a small corpus."""

import json
import sys
from pathlib import Path

import pytest
import torch

from leanbrain.hyperyaml import as_override

TINY = {
    "number_of_epochs": 3,
    "batches_per_epoch": 40,
    "warmup_steps": 10,
    "lr": 0.003,
    "max_batch_s": 6.0,
    "speeds": [1.0, 1.02],
    "noise_colours": ["pink", "babble"],
    "noise_snrs_db": [20, 0],
    "seed": 3,
}
# Steps through the solver of its features cost it ten times as much.
SHORT = {"nmf_finetuned": {"batches_per_epoch": 10}}


def command(recipe, yaml, corpus, out, **options):
    settings = {
        **TINY,
        **SHORT.get(Path(yaml).stem, {}),
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


@pytest.fixture(scope="module")
def run(run_script):
    """Runs train.py as `command` has it."""
    return lambda *args, **options: run_script(*command(*args, **options)[1:])


def final_state(folder):
    """Weights, moments and random numbers of the last checkpoint."""
    newest = max(folder.glob("save/CKPT*"), key=lambda p: p.stat().st_mtime)
    names = ("model", "optimizer", "random_state", "compute_features")
    return {
        name: torch.load(newest / f"{name}.ckpt", weights_only=True)
        for name in names
    }


@pytest.fixture(scope="module", params=["fbank", "nmf", "nmf_finetuned"])
def trained(request, run, recipe, corpus, tmp_path_factory):
    name = request.param
    if name != "fbank":
        pytest.importorskip("leanbrain.nmf.features")
    folder = tmp_path_factory.mktemp(name) / "run"
    done = run(recipe, f"{name}.yaml", corpus, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return name, folder


def test_result_and_what_was_learned(trained):
    name, folder = trained
    result = json.loads((folder / "result.json").read_text())
    assert result["front_end"] == name
    assert result["steps"] == (30 if name in SHORT else 120)
    assert result["train_utterances"] == 30
    errors = result["error_percent"]
    assert list(errors) == [
        "clean", "pink_20", "pink_0", "babble_20", "babble_0"
    ]  # fmt: skip
    # Tones are easy: nine of ten errors would be chance.
    if name not in SHORT:
        assert errors["clean"] <= 40
        assert errors["babble_20"] <= errors["babble_0"]
    level = result["error_percent_by_level"]
    mean = (errors["pink_0"] + errors["babble_0"]) / 2
    assert level["0"] == pytest.approx(mean)
    by_language = result["error_percent_by_language"]["clean"]
    assert sum(by_language.values()) / 2 == pytest.approx(errors["clean"])
    assert "error_percent" in (folder / "train_log.txt").read_text()
    assert list((folder / "tensorboard").iterdir())


def test_all_front_ends_have_a_classifier_of_the_same_size(trained):
    name, folder = trained
    result = json.loads((folder / "result.json").read_text())
    # 40 x 96 x 5 + 2 x 96 x 96 x 5, biases, norms, 192 x 10 + 10
    weights = 40 * 96 * 5 + 2 * 96 * 96 * 5 + 3 * 96 * 3 + 192 * 10 + 10
    assert result["classifier_parameters"] == weights
    expected = 129 * 40 if name == "nmf_finetuned" else 0
    assert result["front_end_parameters"] == expected


def test_kill_9_and_the_same_command_again(
    run, run_killed, recipe, corpus, trained, tmp_path, assert_equal
):
    name, straight = trained
    out = tmp_path / "run"
    run_killed(*command(recipe, f"{name}.yaml", corpus, out)[1:])
    assert len(list(out.glob("save/CKPT*"))) == 1
    assert len(list(out.glob("save/.partial-*"))) == 1
    assert not (out / "result.json").exists()
    done = run(recipe, f"{name}.yaml", corpus, out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert_equal(final_state(out), final_state(straight))
    a, b = (
        json.loads((f / "result.json").read_text()) for f in (out, straight)
    )
    assert a["error_percent"] == b["error_percent"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_share": 0}, ("`train_share`", "got 0")),
        ({"grad_accumulation_factor": 2}, ("accumulation_factor", "got 2")),
        ({"noise_colours": ["blue"]}, ("`noise_colours`", "'blue'")),
        ({"speeds": []}, ("`speeds`", "got []")),
        ({"lr": 1e30}, ("loss must be finite",)),
        ({"data_folder": "nowhere"}, ("nowhere/train.csv",)),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_errors_are_one_sentence(run, recipe, corpus, tmp_path, options, words):
    done = run(recipe, "fbank.yaml", corpus, tmp_path / "run", **options)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and all(w in last for w in words), last


def test_front_ends_differ_in_their_node_alone(recipe):
    """Training, classifier and test are the same, line by line."""
    lines = {
        name: (recipe / "hparams" / f"{name}.yaml").read_text().splitlines()
        for name in ("fbank", "nmf", "nmf_finetuned", "nmf_noise")
    }
    own = ("#", "front_end", "    max_epochs", "    tuned", "    n_atoms")
    own += ("    n_mels", "compute_features", "    compute_features")
    own += ("    logger: ", "    max_iter", "    unrolled", "    compression")
    own += ("        floor", "    dictionary", "        n_bins", "    keep")
    own += ("        blocks", "            speech", "            noise: 8")
    shared = {
        name: [x for x in text if not x.startswith(own)]
        for name, text in lines.items()
    }
    assert len(shared["fbank"]) > 50
    assert all(text == shared["fbank"] for text in shared.values())
